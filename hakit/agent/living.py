"""Units that have to live for a while before they count as started: some daemons die of a bad start only after it."""

from __future__ import annotations

from time import monotonic, sleep

from hakit.agent import loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.agent.work import Work

LIVES = 6.0  # seconds: longer than the 5 s that daemons commonly try to reach or bind something before they give up
LOOK = 0.5  # seconds between two looks
SAID = 1.0  # seconds of waiting that are worth a word


def wait(started: dict[str, str], work: Work, tell: Callable[[str], None]) -> dict[str, str]:
    """Wait until all of these units have lived `LIVES`; why not, by unit. Raises Failure when they can't be read.

    `started` is unit → its invocation, which must still be running. All are waited for together, from the moment that
    systemd says they became active. Ends early when the controller is gone.
    """
    died: dict[str, str] = {}
    said = False
    waiting = dict(started)
    while waiting:
        state = loaded.show(waiting, work)
        now = monotonic()
        left = {}
        for unit, invocation in waiting.items():
            why = dead(unit, invocation, state[unit])
            if why:
                died[unit] = why
            else:
                left[unit] = remaining(state[unit], now)
        waiting = {unit: waiting[unit] for unit, seconds in left.items() if seconds > 0}
        if not waiting or work.gone():
            break
        longest = max(left.values())
        if not said and longest > SAID:
            said = True
            units = ", ".join(sorted(waiting))
            tell(f"watching {units} for {longest:.0f} s: a daemon may die of a bad start only then")
        sleep(min(LOOK, longest))
    return died


def dead(unit: str, invocation: str, state: dict[str, str]) -> str:
    """Why a unit does not live as it was started; empty when it does."""
    if state.get("ActiveState") not in {"active", "reloading", "refreshing"}:
        return f"{unit} died within {LIVES:g} s after its start: it is {state.get('ActiveState')} now"
    # Another invocation that systemd did not start by itself is a restart, perhaps with a unit that it is bound to.
    if state.get("InvocationID") != invocation and state.get("NRestarts") != "0":
        return f"{unit} died within {LIVES:g} s after its start, and systemd has started it again"
    return ""


def remaining(state: dict[str, str], now: float) -> float:
    """The seconds that a unit still has to live, `now` as `monotonic` says, which is systemd's clock too."""
    stamp = state.get("ActiveEnterTimestampMonotonic", "")
    since = int(stamp) / 1e6 if stamp.isdigit() else 0.0
    return min(LIVES, LIVES - (now - since)) if since else 0.0
