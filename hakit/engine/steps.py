"""The steps of a run, and how the members of redundancy groups stand before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from hakit.agent.resources.base import DISRUPTIVE, GROUP_ATOMIC

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from hakit.components.base import RedundancyGroup
    from hakit.engine.plan import Change

Act = Literal["work", "stop", "restore"]
Half = Literal["", "first", "second"]


@dataclass(frozen=True, slots=True)
class Step:
    """One batch on one host, begun when the steps named in `after` have ended well.

    `act` is `work` (carry out `keys` and `remove`), `stop` (stop `unit`, so that its partners can change) or `restore`
    (nothing is to change, but the host is to be taken back into service). `gated`: somebody may notice, so it must
    serve again afterwards. `disrupts`: it stops serving for a while, so the others must serve before. `whole`: nothing
    there serves meanwhile (it boots, or its network changes), so roles that the host holds are handed over before.
    `atomic`: part of a change on which the members must agree. `half`: where a host waits for others with a part of its
    changes alone, the `first` half is what goes before, unnoticed, the `second` one begins with what waits.
    """

    host: str
    act: Act = "work"
    keys: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    after: frozenset[str] = frozenset()
    gated: bool = False
    disrupts: bool = False
    whole: bool = False
    atomic: bool = False
    half: Half = ""
    unit: str = ""

    @property
    def name(self) -> str:
        """Its identity in a run: a host has up to three steps."""
        kind = "stop" if self.act == "stop" else "atomic" if self.atomic else "first" if self.half == "first" else ""
        return f"{self.host} {kind}".rstrip()

    @classmethod
    def of(cls, host: str, changes: Iterable[Change]) -> Step:
        """The step that carries these changes of a host out."""
        changes = tuple(changes)
        impacts = {change.impact for change in changes}
        return cls(
            host,
            keys=tuple(change.key for change in changes if change.kind != "remove"),
            remove=tuple(change.key for change in changes if change.kind == "remove"),
            gated=impacts != {"none"},
            disrupts=not impacts.isdisjoint((DISRUPTIVE, GROUP_ATOMIC)),
            whole=any(change.key.startswith("network:") and change.kind != "remove" for change in changes),
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """How the members of the groups stand before anything is done.

    `roles` are the names of the groups whose role a host holds, `idle` the hosts that do not serve in some group.
    `helpers` are, per host, those that have to be spoken to when it goes out of service and comes back: who helps is
    not to be disrupted meanwhile.
    """

    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
    idle: frozenset[str] = frozenset()
    helpers: Mapping[str, frozenset[str]] = field(default_factory=dict)


def mates(host: str, groups: Iterable[RedundancyGroup]) -> frozenset[str]:
    """All hosts that stand in for this one, in any group."""
    return frozenset(other for group in groups if host in group.hosts for other in group.hosts) - {host}


def ranking(
    hosts: Iterable[str],
    groups: tuple[RedundancyGroup, ...],
    standing: Standing,
    first: Collection[str] = (),
) -> dict[str, tuple[int, ...]]:
    """Who goes first: those that do not serve; those that help no other; then by roles held; then backups first.

    Those of `first` go before all others.
    """
    helping = {helper for host, helpers in standing.helpers.items() for helper in helpers if helper != host}
    order: dict[str, int] = {}
    for group in groups:
        for place, host in enumerate(group.hosts):
            order[host] = order.get(host, 0) + place
    return {
        host: (
            host not in first,
            host not in standing.idle,
            host in helping,
            len(standing.roles.get(host, ())),
            order.get(host, 0),
            index,
        )
        for index, host in enumerate(hosts)
    }
