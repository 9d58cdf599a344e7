"""Who leads a cluster, as a role that a run hands over before it takes the primary's host out of service.

Every command that works on a site with a cluster makes the movers, few have them do anything: what does the work is
imported then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.components.postgresql.members import clusters
from hakit.engine.events import Noted
from hakit.engine.handover import Handover
from hakit.errors import RefusedError
from hakit.postgres.layout import Layout, layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakit.engine.run import Run
    from hakit.inventory.model import Site


def movers(site: Site) -> tuple[Primacy, ...]:
    """One for each cluster whose members can stand in for each other."""
    return tuple(Primacy(site, layout(site, name)) for name, one in clusters(site).items() if len(one.hosts) > 1)


@dataclass(frozen=True, eq=False)
class Primacy:
    """The primary's role in one cluster; moved by a switchover."""

    site: Site
    layout: Layout

    def ends(self, key: str) -> bool:
        """Whether this is the unit of a member's server."""
        return key.startswith("unit:postgresql@") and key.endswith(f"-{self.layout.name}.service")

    def brace(self, run: Run, host: str) -> None:
        """Make a checkpoint on the primary: what is not on its disk by then is written while it stops."""
        if host not in self.layout.members:
            return  # and nothing is imported for it
        from hakit.postgres.conductor import CHECKPOINT, Conductor
        from hakit.postgres.sessions import Lent

        hands = Lent(run, self.site, self.layout, lock=False)
        at = Conductor(self.layout, hands)
        if host in hands.reachable and at.state(host).leads:
            at.do(host, "checkpoint", CHECKPOINT)

    def foresee(self, run: Run, host: str, unfit: Mapping[str, str], preferred: str) -> Handover | None:
        """Who takes over from a host that leads now.

        Raises RefusedError where nobody can, in a split brain, and where it can't be told whether the host leads.
        """
        if host not in self.layout.members:
            return None
        from hakit.postgres import choosing
        from hakit.postgres.conductor import Conductor, refuse, refuse_torn
        from hakit.postgres.sessions import Lent

        picture = Conductor(self.layout, Lent(run, self.site, self.layout, lock=False)).look()
        state = picture.states.get(host)
        if state is None or state.opaque:
            why = picture.errors.get(host) if state is None else state.why
            raise RefusedError(
                f"whether {host} leads cluster {self.layout.name} can't be told",
                why=f"its server runs and does not answer: {why}" if state else f"{host} does not answer: {why}",
                hint=f"see  hakit postgres status {self.layout.name}  and try again",
            )
        if not state.leads:
            return None
        refuse_torn(picture)
        found = choosing.choose_switchover(picture, preferred, unfit)
        if preferred and isinstance(found, choosing.Refusal):
            found = choosing.choose_switchover(picture, "", unfit)
        if isinstance(found, choosing.Refusal):
            refuse(found)
        name = self.layout.name
        return Handover(host, f"leads cluster {name}", found, f"hakit postgres status {name}")

    def hand_over(self, run: Run, handover: Handover) -> str:
        """Switch over. Raises RefusedError where it fails, or where the old primary does not follow the new one."""
        from hakit.postgres.conductor import Conductor
        from hakit.postgres.sessions import Lent
        from hakit.postgres.switchover import Switchover

        hands = Lent(run, self.site, self.layout, lock=True)
        scope = run.scope
        at = Conductor(
            self.layout, hands, lambda host, text: run.sink(Noted(host, text)), run=scope.run_id, who=scope.who
        )
        outcome = Switchover(at).run(handover.to)
        for host, why in outcome.left.items():
            run.sink(Noted(host, f"is not in its place after the switchover: {why}"))
        if handover.host in outcome.left:
            raise RefusedError(
                f"{outcome.primary} leads cluster {self.layout.name} now, but {handover.host} does not follow it",
                why=outcome.left[handover.host],
                hint=outcome.next[0] if outcome.next else f"see  hakit postgres status {self.layout.name}",
            )
        pause = "" if outcome.pause is None else f"; writers waited {outcome.pause:.1f} s"
        return f"leads cluster {self.layout.name} now{pause}"
