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
from hakit.components.keepalived.routers import CHECK_WAIT, virtual_routers
from hakit.components.keepalived.settings import KeepalivedSettings
from hakit.inventory.origin import Text, origin_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.resources.base import Resource
    from hakit.components.base import Health, HostContext
    from hakit.components.keepalived.routers import Member, VirtualRouter
    from hakit.components.keepalived.settings import Instance

UNIT = "keepalived.service"
CONFIG = "/etc/keepalived/keepalived.conf"
LIBRARY = "/usr/local/lib/hakit"
TRACK = f"{LIBRARY}/keepalived-track"
RELEASE = f"{LIBRARY}/keepalived-release"
CHECK_HTTP = f"{LIBRARY}/keepalived-http"
STATE_FOLDER = "/run/hakit/keepalived"
"""Holds a file for each tracked unit."""
SCRIPT_USER = "keepalived_script"
"""The user keepalived.conf(5) names as default for checks; Debian's package does not make it."""

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
    added and removed without a moment in which the members disagree and both take them.
    """

    name: str
    settings: Instance
    priority: int
    source: str
    peers: tuple[str, ...]
    advertised: str
    others: tuple[str, ...]
    units: tuple[TrackedUnit, ...]

    @property
    def unicast(self) -> bool:
        """Whether adverts go to peers by name; without peers keepalived can't."""
        return self.settings.unicast and bool(self.peers)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The NICs it tracks beside its own, which keepalived tracks anyway (and complains when told to)."""
        return tuple(one for one in self.settings.track_interfaces if one != self.settings.interface)

    @property
    def scripts(self) -> tuple[str, ...]:
        """All checks it tracks, by their names in keepalived.conf."""
        return tuple(f"{one.component}_answers" for one in self.units) + self.settings.track_scripts

    @property
    def files(self) -> tuple[str, ...]:
        """All files it tracks, by their names in keepalived.conf."""
        return tuple(f"{one.component}_lives" for one in self.units) + self.settings.track_files


def split_addresses(settings: Instance, source: str) -> tuple[str, tuple[str, ...]]:
    """The address that stands in the adverts, and all others.

    It is the first one of the family that the adverts use: adverts carry one family only (RFC 5798, 5.2.9).
    """
    family = ipaddress.ip_address(source).version if settings.unicast else None
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


def _view(name: str, router: VirtualRouter, own: Member, units: tuple[TrackedUnit, ...]) -> InstanceView:
    advertised, others = split_addresses(own.settings, own.source)
    return InstanceView(
        name=name,
        settings=own.settings,
        priority=own.priority,
        source=own.source,
        peers=tuple(member.source for member in router.members if member is not own),
        advertised=advertised,
        others=others,
        units=units,
    )


def instance_views(ctx: HostContext) -> tuple[InstanceView, ...]:
    """This host's instances, in the order of its settings."""
    settings = ctx.settings(KeepalivedSettings)
    routers = virtual_routers(ctx.site)
    views = []
    for name, instance in settings.instances.items():
        found = ((str(component), ctx.health(component)) for component in instance.track)
        units = tuple(TrackedUnit.of(component, health) for component, health in found if health is not None)
        router = routers[name]
        views.append(_view(name, router, router.member(ctx.host), units))
    return tuple(views)


def resources(ctx: HostContext) -> Iterator[Resource]:
    """Everything keepalived needs on a host."""
    settings = ctx.settings(KeepalivedSettings)
    views = instance_views(ctx)
    units = tuple(dict.fromkeys(unit for view in views for unit in view.units))
    drop_in = f"/etc/systemd/system/{UNIT}.d/50-hakit.conf"
    unit_drop_ins = {unit.unit: f"/etc/systemd/system/{unit.unit}.d/50-hakit-keepalived.conf" for unit in units}

    for package in ("keepalived", "iproute2"):
        yield Package(package=package, component=ctx.component)
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
    yield Directory(path=LIBRARY, component=ctx.component)
    yield ctx.file(RELEASE, ctx.template("release", instances=views), mode=0o755)
    if units:
        yield ctx.file(TRACK, ctx.template("track", units=units, state=STATE_FOLDER), mode=0o755)
        yield ctx.file(CHECK_HTTP, ctx.template("check-http", wait=CHECK_WAIT), mode=0o755)
        for unit, path in unit_drop_ins.items():
            yield ctx.file(path, ctx.template("unit.drop-in", unit=unit, track=TRACK))
    yield ctx.file(drop_in, ctx.template("drop-in", units=units, track=TRACK, release=RELEASE))
    yield ctx.file(
        CONFIG,
        ctx.template(
            "keepalived.conf",
            settings=settings,
            instances=views,
            units=units,
            check_http=CHECK_HTTP,
            state=STATE_FOLDER,
            script_user=SCRIPT_USER,
            seconds=seconds,
        ),
        mode=0o600 if any(view.settings.auth for view in views) else 0o644,
        validate=(VALIDATOR,),
        after=(
            "package:keepalived",
            f"user:{SCRIPT_USER}",
            *((f"files:{CHECK_HTTP}", f"files:{TRACK}") if units else ()),
        ),
    )
    yield Unit(
        unit=UNIT,
        reload_on=(CONFIG, drop_in, *unit_drop_ins.values()),
        restart_on=("package:keepalived",),
        after=("package:keepalived", f"files:{RELEASE}"),
        component=ctx.component,
    )
