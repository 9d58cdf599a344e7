"""One host that an operator takes away: the others have to do without it, and take over what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.engine.handover import Handovers
from hakit.errors import RefusedError

if TYPE_CHECKING:
    from hakit.engine.gate import Gate
    from hakit.engine.handover import Handover
    from hakit.engine.rolling import Limits
    from hakit.engine.run import Run


def spare(run: Run, gate: Gate, host: str, limits: Limits) -> tuple[Handover, ...]:
    """See that what remains serves, then have it take over what the host holds. Returns what was handed over.

    Raises RefusedError, LockedError, AgentError, ConnectError.
    """
    gate.standing([host])
    _see_the_rest_serve(run, gate, host, limits)
    handovers = Handovers(run, run.resting())
    try:
        due = handovers.of(host)
    except RefusedError as error:
        if not limits.overrule(run, host, error.message):
            raise
        return ()
    if due:
        handovers.carry_out(host, due)
        _see_the_rest_serve(run, gate, host, limits)
    return tuple(handover for _, handover in due)


def _see_the_rest_serve(run: Run, gate: Gate, host: str, limits: Limits) -> None:
    lack = gate.remains(host, run.resting())
    if lack and not limits.overrule(run, host, str(lack)):
        raise RefusedError(f"{host} is needed: {lack}", hint=lack.hint)
