"""Actions: what is done on a host once, on the way to or from a state that nobody declares."""

from __future__ import annotations

from hakit.agent.declare import Declaration


class Action(Declaration):
    """One thing to do, at once and whatever the plan says.

    `kind` is
    - `stop`: the unit `target` is stopped, and disabled if it was enabled, so that a reboot does not start it;
    - `start`: the unit is started, and enabled if a `stop` had disabled it;
    - `socket`: the line `text` goes to the UNIX socket `target` (a daemon's command line); done when the answer is
      empty or says nothing but success;
    - `write`, `remove`: the small file `target`, with `text` as its content; only below /run/hakit-*/ and
      /var/lib/hakit-*/, mode 0644.
    `timeout` is in seconds.
    """

    kind: str
    target: str
    text: str = ""
    timeout: float = 10.0


class Mark(Declaration):
    """That a host was taken out of service, kept on every host that helped: who knows how a run ends.

    `host` is the one taken out. `kind` is `rolling` (by a run, which takes it back in), `maintenance` (by an operator)
    or `retired` (for good). `since` is UTC, `2026-11-22T16:03:11Z`; `run` names the run where there is one.
    """

    host: str
    kind: str
    who: str = ""
    since: str = ""
    run: str = ""
    why: str = ""
