"""What a host needs for its arrays: mdadm.conf and the early boot before the arrays, then what stands on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.agent.resources import raid
from hakit.agent.resources.files import File
from hakit.agent.resources.package import Package
from hakit.agent.resources.unit import Unit
from hakit.components.raid.model import (
    REDUNDANT,
    consistency,
    device,
    escape,
    group_name,
    short,
    stores,
    unit_name,
)
from hakit.components.raid.seen import filesystem, foreign, identities
from hakit.components.raid.settings import RaidSettings
from hakit.components.raid.values import kibibytes
from hakit.inventory.types import mebibytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.agent.resources.base import Resource
    from hakit.agent.resources.files import Files
    from hakit.components.base import HostContext
    from hakit.components.raid.model import Store
    from hakit.components.raid.seen import Known
    from hakit.components.raid.settings import Array

CONF = "/etc/mdadm/mdadm.conf"
DEFAULTS = "/etc/default/mdadm"
EVENT = "/usr/local/sbin/hakit-raid-event"
TIMEOUTS = "/usr/local/sbin/hakit-disk-timeouts"
NAMES = "/etc/udev/rules.d/65-hakit-raid.rules"
RULES = "/etc/udev/rules.d/60-hakit-disk-timeouts.rules"
TOLD = "hakit-disk-timeouts.service"
SYSTEMD = "/etc/systemd/system"
MONITOR = "mdmonitor.service"
TIMERS = ("mdcheck_start.timer", "mdcheck_continue.timer")
REMINDER = "mdmonitor-oneshot.timer"
PROGRAMS = {"ext4": "e2fsprogs", "xfs": "xfsprogs"}
OPTIONS = {"ext4": ("nofail", "noatime", "errors=remount-ro"), "xfs": ("nofail", "noatime")}
"""What a mount says by itself: a host boots without its array, and reading does not write. ext4 goes on after an error
that it finds unless it is told otherwise (ext4(5))."""


def resources(ctx: HostContext) -> Iterator[Resource]:
    """Everything that a host's arrays need. Raises RefusedError where the host is not as the inventory says."""
    settings = ctx.settings(RaidSettings)
    if not settings.arrays:
        return
    known = identities(ctx.host, settings, ctx.facts)
    packages = tuple(_packages(ctx, settings))
    for package in packages:
        yield Package(package=package, component=ctx.component)
    yield from _configuration(ctx, settings, known)
    early = _early_boot(ctx, settings)
    yield early
    needed = (*(f"package:{package}" for package in packages), *early.after, early.key)
    arrays = []
    for name, array in settings.arrays.items():
        arrays.append(_array(ctx, name, array, known[name], needed))
        yield arrays[-1]
        yield from _volumes(ctx, name, array, arrays[-1].key)
        for store in stores(name, array):
            yield from _store(ctx, store, known[name])
    yield from _upkeep(ctx, settings, tuple(one.key for one in arrays))


def _packages(ctx: HostContext, settings: RaidSettings) -> Iterator[str]:
    yield "mdadm"
    arrays = settings.arrays.items()
    if any(array.lvm is not None for _, array in arrays):
        yield "lvm2"
    kinds = {store.settings.filesystem for name, array in arrays for store in stores(name, array)}
    yield from (package for kind, package in PROGRAMS.items() if kind in kinds)
    if _tells_timeouts(ctx, settings):
        yield "smartmontools"


def _tells_timeouts(ctx: HostContext, settings: RaidSettings) -> bool:
    """Whether there are disks that can be told; where nothing is known of the host's, there may be."""
    storage = ctx.facts.storage
    return settings.timeouts.enabled and (storage is None or any(disk.bus == "ata" for disk in storage.disks))


def _configuration(ctx: HostContext, settings: RaidSettings, known: Mapping[str, Known]) -> Iterator[Files]:
    """What mdadm reads."""
    monitor = settings.monitor
    arrays = [
        {"name": name, "device": device(name), "uuid": known[name].uuid, "spares": len(array.spares)}
        for name, array in settings.arrays.items()
    ]
    yield ctx.file(
        CONF,
        ctx.template(
            "mdadm.conf",
            homehost=short(ctx.host.name),
            mail=monitor.mail or "root",
            program=EVENT,
            arrays=arrays,
            foreign=foreign(known, ctx.facts.storage),
        ),
    )
    # After Debian's 63-md-raid-arrays.rules, which reads the UUID.
    yield ctx.file(NAMES, ctx.template("names.rules", arrays=arrays))
    yield ctx.file(
        EVENT, ctx.template("raid-event", mail=monitor.mail or "", program=monitor.program or ""), mode=0o755
    )
    if ctx.facts.release == 12:  # noqa: PLR2004 - Debian 12: cron jobs that Debian 13 has no more
        yield ctx.file(DEFAULTS, ctx.template("default"))
    if _has_ten(settings):
        yield ctx.file(raid.STARTED, ctx.template("started.conf"))


def _has_ten(settings: RaidSettings) -> bool:
    """Whether a boot may find a RAID 10 in the midst of a reshape, and has to start it writable."""
    return any(array.level == 10 for array in settings.arrays.values())  # noqa: PLR2004 - the level


def _early_boot(ctx: HostContext, settings: RaidSettings) -> raid.Initramfs:
    also = (raid.STARTED,) if _has_ten(settings) else ()
    after = tuple(f"files:{path}" for path in (CONF, *also))
    return raid.Initramfs(path=CONF, also=also, after=after, component=ctx.component)


def _array(ctx: HostContext, name: str, array: Array, known: Known, needed: tuple[str, ...]) -> raid.Array:
    return raid.Array(
        array=str(name),
        host=short(ctx.host.name),
        uuid=known.uuid,
        level=int(array.level),
        devices=tuple(map(str, array.devices)),
        spares=tuple(map(str, array.spares)),
        journal=str(array.journal or ""),
        partition=bool(array.partition),
        size=mebibytes(array.size) if array.size else 0,
        chunk=kibibytes(array.chunk) if array.chunk else 0,
        layout=str(array.layout or ""),
        consistency=consistency(array),
        adopt=bool(array.adopt),
        wipe=tuple(map(str, ctx.settings(RaidSettings).wipe)),
        confirmed=tuple(sorted(ctx.wipe)),
        after=needed,
        component=ctx.component,
    )


def _volumes(ctx: HostContext, name: str, array: Array, key: str) -> Iterator[Resource]:
    if array.lvm is None:
        return
    group = raid.Volumegroup(group=group_name(name, array), array=str(name), after=(key,), component=ctx.component)
    yield group
    before = group.key
    for volume, settings in array.lvm.volumes.items():
        size = mebibytes(settings.size) if settings.size else 0
        # One after the other: what is left belongs to the last one.
        one = raid.Volume(group=group.group, volume=str(volume), size=size, after=(before,), component=ctx.component)
        yield one
        before = one.key


def _store(ctx: HostContext, store: Store, known: Known) -> Iterator[Resource]:
    settings = store.settings
    kind, uuid = str(settings.filesystem), filesystem(store, known, ctx.facts.storage)
    below = f"volume:{store.group}/{store.volume}" if store.volume else f"array:{store.array}"
    made = raid.Filesystem(
        device=store.device,
        kind=kind,
        uuid=uuid,
        array="" if store.volume else known.uuid,
        label=str(settings.label or ""),
        options=tuple(map(str, settings.mkfs)),
        after=(below,),
        component=ctx.component,
    )
    yield made
    if settings.mount is None:
        return
    unit = unit_name(settings.mount)
    what = f"/dev/disk/by-uuid/{uuid}"
    options = tuple(dict.fromkeys((*OPTIONS[kind], *settings.options)))
    content = ctx.template(
        "mount",
        array=store.array,
        what=what,
        where=settings.mount,
        kind=kind,
        options=options,
        check=f"systemd-fsck@{escape(what)}.service" if kind == "ext4" else "",
    )
    yield raid.Mount(
        path=str(settings.mount),
        unit=unit,
        uuid=uuid,
        file=File(path=f"{SYSTEMD}/{unit}", content=content),
        after=(made.key,),
        component=ctx.component,
    )


def _upkeep(ctx: HostContext, settings: RaidSettings, arrays: tuple[str, ...]) -> Iterator[Resource]:
    """Who watches the arrays, and when they are read through: Debian's own units, and no second ones beside them."""
    if _tells_timeouts(ctx, settings):
        timeouts = settings.timeouts
        tenths, seconds = round(timeouts.disk * 10), round(timeouts.kernel)
        yield ctx.file(TIMEOUTS, ctx.template("disk-timeouts", tenths=tenths, seconds=seconds), mode=0o755)
        yield ctx.file(RULES, ctx.template("disk-timeouts.rules", program=TIMEOUTS), after=(f"files:{TIMEOUTS}",))
        yield ctx.file(f"{SYSTEMD}/{TOLD}", ctx.template("disk-timeouts.service", program=TIMEOUTS))
        yield Unit(unit=TOLD, restart_on=(TIMEOUTS,), component=ctx.component)
    if not any(array.level in REDUNDANT for array in settings.arrays.values()):
        return  # there is nothing to watch: mdadm's monitor ends at once
    yield Unit(unit=MONITOR, enabled=None, restart_on=(CONF,), after=arrays, component=ctx.component)
    watched = (*arrays, f"unit:{MONITOR}")
    yield Unit(unit=REMINDER, after=watched, component=ctx.component)
    scrub = settings.scrub
    start, resume = TIMERS
    if scrub.enabled:
        drop_in = f"{SYSTEMD}/{start}.d/50-hakit.conf"
        yield ctx.file(drop_in, ctx.template("timer", schedule=scrub.schedule))
        for timer in TIMERS:
            service = timer.replace(".timer", ".service")
            window = ctx.template("window", seconds=round(scrub.window))
            yield ctx.file(f"{SYSTEMD}/{service}.d/50-hakit.conf", window)
    enabled = bool(scrub.enabled)
    yield Unit(unit=start, enabled=enabled, running=enabled, after=watched, component=ctx.component)
    # A check that is not done in time starts this one, and the last one stops it.
    going = None if enabled else False
    yield Unit(unit=resume, enabled=enabled, running=going, after=watched, component=ctx.component)
