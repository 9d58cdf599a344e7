"""What a component is: a pure function from a site's settings to the resources of each host."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, cast

from hakit.agent.resources.files import File, Files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pydantic import BaseModel

    from hakit.agent.actions import Action
    from hakit.agent.probes import Probe
    from hakit.agent.resources.base import Resource
    from hakit.agent.resources.files import Agreement, Validator
    from hakit.agent.tasks import Task
    from hakit.components.content import Content
    from hakit.components.storage import SeenStorage
    from hakit.components.templates import Templates
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path
    from hakit.lint.rule import Rule, Upheld

M = TypeVar("M", bound="BaseModel")


@dataclass(frozen=True, slots=True)
class SeenNic:
    """A NIC of a host: the kernel's name, its permanent MAC address, where it is plugged in.

    `path` is udev's ID_PATH (`pci-0000:03:00.0`), `device` the PCI device (`0000:03:00.0`), `driver` the kernel's;
    each empty where there is none. `speed` is in Mbit/s, None without a link.
    """

    name: str
    mac: str
    path: str = ""
    device: str = ""
    driver: str = ""
    speed: int | None = None
    mtu: int = 1500


@dataclass(frozen=True, slots=True)
class SeenNetwork:
    """What brings a host's network up, and its NICs.

    `managers` have links in their hands: `systemd-networkd`, `ifupdown`, `netplan`, `NetworkManager`. `resolver` is who
    writes /etc/resolv.conf: `systemd-resolved`, `resolvconf`, or nobody (`file`).
    """

    managers: tuple[str, ...] = ()
    resolver: str = "file"
    nics: tuple[SeenNic, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a host beyond the inventory, read in the first frame of every plan.

    `release` is Debian's number; `packages` maps the packages that components asked for to the version installed, or
    to the version apt would install, or is silent. `network` and `storage` are None where no component asks for them.
    `live` is False where the facts come from a record or a default.
    """

    release: int = 12
    packages: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None
    live: bool = False
    network: SeenNetwork | None = None
    storage: SeenStorage | None = None

    def version(self, package: str) -> tuple[int, ...] | None:
        """The upstream version of a package as numbers, (2, 6, 12); None when unknown."""
        text = self.packages.get(package)
        if text is None:
            return None
        upstream = text.split(":", 1)[-1].rsplit("-", 1)[0]
        numbers: list[int] = []
        for part in upstream.split("."):
            digits = part[: len(part) - len(part.lstrip("0123456789"))]
            if not digits:
                break
            numbers.append(int(digits))
        return tuple(numbers)


@dataclass(frozen=True, slots=True)
class Health:
    """How another component can know that this one serves on its host.

    `unit` is the systemd unit whose life and death matter. `url` answers 200 to a plain HTTP request from the host
    itself exactly while the service works (it must hang or fail when the daemon hangs).
    """

    unit: str
    url: str


@dataclass(frozen=True, slots=True)
class Serving:
    """An address that a group of hosts keeps alive: who can hold it, and how long a takeover takes at worst.

    `path` is the setting (below `hakit`, on each of the hosts) that says so, `network` the subnet the address claims to
    be in (`10.77.0.0/24`), empty where unknown.
    """

    address: str
    hosts: tuple[str, ...]
    takeover: float
    path: Path
    automatic: bool = True
    network: str = ""


@dataclass(frozen=True, slots=True)
class Tier:
    """Hosts behind an address, any one of which suffices: a pool of servers.

    `path` is the setting on `host` that names them. Where `automatic` is False another one takes the work only by hand.
    """

    address: str
    hosts: tuple[str, ...]
    host: Host
    path: Path
    automatic: bool = True


@dataclass(frozen=True, slots=True)
class RedundancyGroup:
    """Hosts that stand in for each other: disrupted one at a time, in this order where nothing live says better.

    `probes` tell, per host, whether that member serves (asked of the member's peers or clients where it matters);
    `reached`, asked beside them unless it is out of its duties, whether those that send it work do so.
    `holder`, asked of each member itself, says whether it holds the group's role (a VIP, say) now: holders go last.
    `keep` members have to serve while another one is disrupted. `service` is asked of clients: whether the group as a
    whole serves. `unit` is what a group-atomic change stops on the backups, before the holder changes. `patience` are
    the seconds that a member may need to serve again after it was changed, where that is more than a daemon's start.
    `sound`, which the engine fills in, tell of a member, asked itself, whether it would survive the next failure.
    """

    name: str
    component: str
    hosts: tuple[str, ...]
    probes: Mapping[str, tuple[Probe, ...]] = field(default_factory=dict)
    holder: Probe | None = None
    keep: int = 1
    service: tuple[Probe, ...] = ()
    unit: str = ""
    reached: Mapping[str, tuple[Probe, ...]] = field(default_factory=dict)
    patience: float = 0.0
    sound: Mapping[str, tuple[Probe, ...]] = field(default_factory=dict)

    def asked(self, host: str) -> tuple[Probe, ...]:
        """All that tells whether a member serves and is given work."""
        return (*self.probes.get(host, ()), *self.reached.get(host, ()))


@dataclass(frozen=True, slots=True)
class Order:
    """An action, and the host that is to do it."""

    host: str
    action: Action


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """How a host is taken out of one duty before it is disrupted, and back into it.

    `what` names the duty (`haproxy pool web`). `out` and `back` are safe to repeat, survive a reload and a restart of
    the daemons they speak to, and go to hosts of the site. `gone` say yes once the host carries nothing of the duty
    any more; each names the host to ask in `seen_from`.
    """

    what: str
    out: tuple[Order, ...]
    back: tuple[Order, ...]
    gone: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered to a probe of `inspect`."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """The state of one thing on one host, for `hakit status`.

    `subject` names it (`VRRP front`, `pool web`), `state` is the daemon's own word (MASTER, `2 of 3 up`), `level` what
    it means: `good`, `risk` (serves, but a further failure would not be survived), `bad` (does not serve). `path` is
    the setting (below `hakit`, on that host) that it is the state of, as in `Serving` (without what follows the
    instance's name) and `Tier`: so a service finds the reports that matter to it. `group` names the redundancy group
    in which `state` is the host's role.
    """

    subject: str
    state: str
    level: Literal["good", "risk", "bad"]
    detail: str = ""
    path: Path = ()
    group: str = ""


@dataclass(frozen=True, slots=True)
class Wire:
    """What a component of a host says on a network segment under a number that has to be this site's alone there.

    `protocol` is `vrrp`, `id` the virtual router id. `sources` are the addresses that the site's own members send
    from, on all its hosts. With `multicast` whoever sends the same number is taken for a member; without it strangers
    are not listened to. `path` is the setting (below `hakit`) that says so.
    """

    interface: str
    protocol: str
    id: int
    sources: tuple[str, ...]
    multicast: bool
    path: Path


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for one host from what was observed on all of them.

    `value` is the component's own and reaches its `resources` as `ctx.decided`: it selects what is done, never the
    content of a file. `after` are hosts that must have been brought to their declared state before this one can be:
    before the resources whose keys are in `held` and all that stands on them, so that the rest may go before; before
    all of it where `held` is empty. With `first` the host is changed before the other members of its groups, whatever
    role it holds. `notes` are what an operator should know of the host, whether anything is to be done there or not.
    """

    value: object = None
    after: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    first: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostContext:
    """What a component sees while it declares the resources of one host.

    `decided` is the value of its `Decision`; None where nothing was observed: offline, and where it observes nothing.
    `wipe` are the serial numbers of disks that the command line confirms to be wiped.
    """

    site: Site
    host: Host
    facts: Facts
    component: str
    templates: Templates
    registry: Mapping[str, Component]
    decided: object | None = None
    wipe: frozenset[str] = frozenset()

    def settings(self, model: type[M]) -> M:
        """This host's settings of this component."""
        return cast("M", self.host.settings[self.component])

    def template(self, name: str, **values: Any) -> Content:
        """`templates/<component>/<name>.j2` rendered with these values; a template beside the inventory wins."""
        return self.templates.render(self.component, name, self.host, values)

    def file(
        self,
        path: str,
        content: Content,
        *,
        owner: str = "root",
        group: str = "root",
        mode: int = 0o644,
        validate: Sequence[Validator] = (),
        agree: Sequence[Agreement] = (),
        after: Sequence[str] = (),
        impact: str = "none",
    ) -> Files:
        """A single file as a resource."""
        file = File(path=path, content=content, owner=owner, group=group, mode=mode)
        return Files(
            label=path,
            files=(file,),
            validate=tuple(validate),
            agree=tuple(agree),
            after=tuple(after),
            component=self.component,
            impact=impact,
        )

    def health(self, component: str) -> Health | None:
        """How another component of this host proves that it serves; None when it is not there or has no proof."""
        other = self.registry.get(component)
        if other is None or component not in self.host.settings:
            return None
        return other.health(self.site, self.host)


class Component(ABC):
    """One technology. Pure: no I/O, no SSH; all it knows comes through its arguments.

    `packages` are those whose versions it asks as facts, `network` and `storage` whether it asks for the host's network
    and disks. `rules` are checked by lint, `upheld` are rules of the domain that its settings can't break.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[BaseModel]]
    packages: ClassVar[tuple[str, ...]] = ()
    network: ClassVar[bool] = False
    storage: ClassVar[bool] = False
    rules: ClassVar[tuple[Rule, ...]] = ()
    upheld: ClassVar[tuple[Upheld, ...]] = ()

    @abstractmethod
    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        """Everything this component declares on a host that runs it."""

    def check(self, site: Site) -> Iterable[tuple[Host, Path, str]]:
        """What is wrong with the settings across the site and can't be rendered: host, path below `hakit`, message."""
        return ()

    def health(self, site: Site, host: Host) -> Health | None:
        """How others on the same host can know that it serves."""
        return None

    def needs(self, site: Site, host: Host) -> Iterable[tuple[str, Path]]:
        """Components that must run on the same host, with the path of the setting that says so."""
        return ()

    def serves(self, site: Site) -> Iterable[Serving]:
        """The addresses it keeps alive."""
        return ()

    def tiers(self, site: Site) -> Iterable[Tier]:
        """The hosts behind the addresses it answers on."""
        return ()

    def addresses(self, site: Site, host: Host) -> Iterable[tuple[str, Path]]:
        """Addresses it claims for itself on a host, with the path of the setting that says so."""
        return ()

    def links(self, site: Site, host: Host) -> Mapping[str, str] | None:
        """The links that a host will have, where this component declares them all: name → why nobody can use it.

        The reason is empty for a link that can carry addresses. None where it says nothing of the host's links.
        """
        return None

    def interfaces(self, site: Site, host: Host) -> Iterable[tuple[str, Path]]:
        """The links of the host that its settings name, with the path of the setting that says so."""
        return ()

    def mounts(self, site: Site, host: Host) -> Iterable[str]:
        """Where on a host it mounts file systems."""
        return ()

    def mounted(self, site: Site, host: Host) -> Iterable[tuple[str, Path]]:
        """The mount points of the host that its settings rely on, with the path of the setting that says so."""
        return ()

    def holds(self, site: Site, host: Host) -> Iterable[str]:
        """The units of the host that hold on to links as they found them, and must be reloaded once these change."""
        return ()

    def groups(self, site: Site) -> Iterable[RedundancyGroup]:
        """The redundancy groups it forms."""
        return ()

    def sound(self, site: Site, host: Host) -> Iterable[Probe]:
        """What tells that a host, though it serves, would not survive the next failure: no answer may be a no."""
        return ()

    def withdraw(self, site: Site, host: Host) -> Iterable[Withdrawal]:
        """How the host is taken out of the duties that this component gives it or has others give it."""
        return ()

    def inspect(self, site: Site, host: Host) -> Mapping[str, Probe]:
        """What `hakit status` asks on a host, by a name of the component's own."""
        return {}

    def report(self, site: Site, host: Host, answers: Mapping[str, Answer]) -> Iterable[Report]:
        """What the answers to `inspect` mean; a probe that could not be asked has no answer."""
        return ()

    def wire(self, site: Site, host: Host) -> Iterable[Wire]:
        """What it says on the networks of a host, so that `hakit doctor` can tell strangers who say the same."""
        return ()

    def observe(self, site: Site, host: Host, facts: Facts) -> Task | None:
        """What to ask a host, beyond the facts, before anything is decided; its answer is a JSON object."""
        return None

    def decide(
        self, site: Site, facts: Mapping[str, Facts], observed: Mapping[str, Mapping[str, Any]]
    ) -> Mapping[str, Decision]:
        """From what was observed on the hosts that answered: what is to be done where.

        Raises RefusedError when nothing may be done on any of them.
        """
        return {}

    def verify(self) -> str | None:
        """The module with its testinfra tests, or None."""
        return f"hakit.components.{self.name}.verify"
