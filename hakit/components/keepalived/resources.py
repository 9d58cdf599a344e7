"""What keepalived needs on a host: its configuration, its helpers, drop-ins, a user for checks, its unit."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from hakit.agent.resources.account import Group, User
from hakit.agent.resources.files import Validator
from hakit.agent.resources.package import Package
from hakit.agent.resources.paths import Directory
from hakit.agent.resources.unit import Unit
from hakit.components.keepalived.alike import NOT_ADVERTISED, agreement
from hakit.components.keepalived.paths import (
    CHECK_HTTP,
    CONFIG,
    DROP_IN,
    LASTING,
    LIBRARY,
    MAINTENANCE,
    NOTIFY,
    RELEASE,
    RUN_FOLDER,
    RUNTIME,
    SCRIPT_USER,
    STATE_FOLDER,
    STATES,
    TRACK,
    UNIT,
)
from hakit.components.keepalived.routers import CHECK_WAIT, memberships
from hakit.components.keepalived.settings import KeepalivedSettings, plain_word
from hakit.inventory.origin import Text, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.resources.base import Resource
    from hakit.components.base import Facts, Health, HostContext
    from hakit.components.keepalived.routers import Member, VirtualRouter
    from hakit.components.keepalived.settings import Instance

MAINTENANCE_NAME = "hakit_maintenance"
"""What keepalived.conf calls the file that takes a host out of service."""
CHECK_INTERVAL, CHECK_INTERVAL_2_3 = 1.0, 0.5
"""Seconds between two checks of a tracked component; keepalived before 2.3 takes whole seconds only."""

VALIDATOR = Validator(
    argv=("/usr/sbin/keepalived", "-t", "-f", f"{{{CONFIG}}}"),
    path=CONFIG,
    # keepalived 2.2.7 ends by SIGTERM, good or bad, when it has checks that don't run as root.
    swap=((rf"^(\s*script_user) {SCRIPT_USER}$", r"\1 root"), (r"^(\s*user) \S+$", r"\1 root")),
    # It skips a file it does not like the look of, and calls that success.
    reject=r"is not a regular non-executable file",
    place=r"^\((?:[^():]*: )?Line (?P<line>\d+)\) (?P<message>.*)$",
)


@dataclass(frozen=True, slots=True)
class TrackedUnit:
    """A component that must serve: its unit, and where a request must be answered."""

    component: str
    unit: str
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, component: str, health: Health) -> TrackedUnit:
        """The tracked unit of a component's proof of health, an http URL."""
        url = urlsplit(health.url)
        return cls(component, health.unit, url.hostname or "127.0.0.1", url.port or 80, url.path or "/")


@dataclass(frozen=True, slots=True)
class InstanceView:
    """An instance as this host's keepalived.conf shows it.

    `advertised` is the one address in the adverts, `others` move along without standing there: so addresses can be
    added and removed without a moment in which the members disagree and both take them. `gently`: out of service it
    becomes the last choice, so that a peer takes the addresses before they are given up; otherwise it is at fault.
    """

    name: str
    settings: Instance
    priority: int
    source: str
    peers: tuple[str, ...]
    advertised: str
    others: tuple[str, ...]
    units: tuple[TrackedUnit, ...]
    gently: bool = True

    @property
    def unicast(self) -> bool:
        """Whether adverts go to peers by name; without peers keepalived can't."""
        return self.settings.unicast and bool(self.peers)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The NICs it tracks, each once, beside its own, which keepalived tracks anyway (and says so)."""
        return _once(*(one for one in self.settings.track_interfaces if one != self.settings.interface))

    @property
    def scripts(self) -> tuple[str, ...]:
        """All checks it tracks, by their names in keepalived.conf."""
        return _once(*(answers(one.component) for one in self.units), *self.settings.track_scripts)

    @property
    def files(self) -> tuple[str, ...]:
        """All files it tracks, by their names in keepalived.conf."""
        return _once(*(lives(one.component) for one in self.units), *self.settings.track_files)


def lives(component: str) -> str:
    """What keepalived.conf calls the file that tells whether a tracked component's unit is there."""
    return f"{component}_lives"


def answers(component: str) -> str:
    """What keepalived.conf calls the check that asks a tracked component."""
    return f"{component}_answers"


def _once(*names: str) -> tuple[str, ...]:
    """Each name once: keepalived complains of what it is to track twice."""
    return tuple(dict.fromkeys(names))


def split_addresses(settings: Instance, source: str) -> tuple[str, tuple[str, ...]]:
    """The address that stands in the adverts, and all others.

    It is the first one of the family that the adverts use: adverts carry one family only (RFC 5798, 5.2.9).
    """
    stated = settings.unicast or settings.source is not None
    family = ipaddress.ip_address(source).version if stated else None
    advertised = settings.addresses[0]
    for address in settings.addresses:
        if ipaddress.ip_interface(address).version == family:
            advertised = address
            break
    return advertised, tuple(address for address in settings.addresses if address is not advertised)


def seconds(value: float) -> str:
    """Seconds as keepalived.conf writes them; text from the inventory remembers its place."""
    text = f"{value:g}"
    origin = origin_of(value)
    return Text.at(text, origin) if origin else text


def _view(router: VirtualRouter, own: Member, units: tuple[TrackedUnit, ...]) -> InstanceView:
    advertised, others = split_addresses(own.settings, own.source)
    return InstanceView(
        name=router.name,
        settings=own.settings,
        priority=own.priority,
        source=own.source,
        peers=tuple(member.source for member in router.members if member is not own),
        advertised=advertised,
        others=others,
        units=units,
        gently=steps_aside(router),
    )


def steps_aside(router: VirtualRouter) -> bool:
    """Whether a lower priority has a peer take the addresses: all must preempt, and the weight must count.

    A sync group ignores weights unless told otherwise (keepalived.conf(5), sync_group_tracking_weight).
    """
    if not all(member.settings.preempt for member in router.members):
        return False
    for member in router.members:
        settings = member.host.settings["keepalived"]
        assert isinstance(settings, KeepalivedSettings)  # noqa: S101 - narrows the type, the registry guarantees it
        groups = settings.sync_groups.values()
        if any(router.name in group.instances and not group.tracking_weight for group in groups):
            return False
    return True


def instance_views(ctx: HostContext) -> tuple[InstanceView, ...]:
    """This host's instances, in the order of its settings."""
    views = []
    for router, member in memberships(ctx.site, ctx.host):
        found = ((str(component), ctx.health(component)) for component in member.settings.track)
        units = tuple(TrackedUnit.of(component, health) for component, health in found if health is not None)
        views.append(_view(router, member, units))
    return tuple(views)


def check_interval(facts: Facts) -> float:
    """Seconds between two checks of a tracked component, as the host's keepalived can take them."""
    version = facts.version("keepalived")
    fractions = version >= (2, 3) if version is not None else facts.release >= 13  # noqa: PLR2004 - which brings 2.3.3
    return CHECK_INTERVAL_2_3 if fractions else CHECK_INTERVAL


def resources(ctx: HostContext) -> Iterator[Resource]:
    """Everything keepalived needs on a host."""
    views = instance_views(ctx)
    units = tuple(dict.fromkeys(unit for view in views for unit in view.units))
    unit_drop_ins = {unit.unit: f"/etc/systemd/system/{unit.unit}.d/50-hakit-keepalived.conf" for unit in units}

    for package in ("keepalived", "iproute2"):
        yield Package(package=package, component=ctx.component)
    yield from _script_user(ctx)
    yield Directory(path=LIBRARY, component=ctx.component)
    # keepalived 2.3 rejects a file to track in a folder that is not there, and judges before it has ever run.
    yield Directory(path=LASTING, component=ctx.component)
    if units:
        yield Directory(path=RUN_FOLDER, component=ctx.component)
        yield Directory(path=STATE_FOLDER, after=(f"directory:{RUN_FOLDER}",), component=ctx.component)
    yield ctx.file(RELEASE, ctx.template("release", instances=views), mode=0o755)
    yield ctx.file(NOTIFY, ctx.template("notify", states=STATES), mode=0o755)
    if units:
        yield ctx.file(TRACK, ctx.template("track", units=units, state=STATE_FOLDER), mode=0o755)
        yield ctx.file(CHECK_HTTP, ctx.template("check-http", wait=CHECK_WAIT), mode=0o755)
        for unit, path in unit_drop_ins.items():
            yield ctx.file(path, ctx.template("unit.drop-in", unit=unit, track=TRACK))
    folders = {"runtime": RUNTIME, "states": STATES, "script_user": SCRIPT_USER}
    yield ctx.file(DROP_IN, ctx.template("drop-in", units=units, track=TRACK, release=RELEASE, **folders))
    yield _configuration(ctx, views, units)
    yield Unit(
        unit=UNIT,
        reload_on=(CONFIG, DROP_IN, *unit_drop_ins.values()),
        # A reload tells no states: only a start makes the files that NOTIFY keeps.
        restart_on=(NOTIFY, "package:keepalived"),
        after=("package:keepalived", f"files:{RELEASE}", f"user:{SCRIPT_USER}"),
        component=ctx.component,
    )


def _script_user(ctx: HostContext) -> Iterator[Resource]:
    yield Group(group=SCRIPT_USER, system=True, component=ctx.component)
    yield User(  # noqa: S604 - a login shell, not a process with shell=True
        user=SCRIPT_USER,
        group=SCRIPT_USER,
        home="/nonexistent",
        shell="/usr/sbin/nologin",
        comment="runs keepalived's checks",
        system=True,
        component=ctx.component,
    )


def _configuration(ctx: HostContext, views: tuple[InstanceView, ...], units: tuple[TrackedUnit, ...]) -> Resource:
    content = ctx.template(
        "keepalived.conf",
        settings=ctx.settings(KeepalivedSettings),
        instances=views,
        units=units,
        check_http=CHECK_HTTP,
        check_interval=check_interval(ctx.facts),
        maintenance=MAINTENANCE,
        maintenance_name=MAINTENANCE_NAME,
        not_advertised=NOT_ADVERTISED,
        notify=NOTIFY,
        state=STATE_FOLDER,
        script_user=SCRIPT_USER,
        seconds=seconds,
        lives=lives,
        answers=answers,
        password=lambda secret: secret.written(plain_word),
    )
    return ctx.file(
        CONFIG,
        content,
        mode=0o600 if any(view.settings.auth for view in views) else 0o644,
        validate=(VALIDATOR,),
        agree=(agreement(view.settings for view in views),),
        after=(
            "package:keepalived",
            f"user:{SCRIPT_USER}",
            f"files:{NOTIFY}",
            f"directory:{LASTING}",
            *((f"files:{CHECK_HTTP}", f"files:{TRACK}", f"directory:{STATE_FOLDER}") if units else ()),
        ),
    )
