"""Tasks: what a component's own code on the host is asked to tell or to do, beside the resources."""

from __future__ import annotations

from hakit.agent.declare import Declaration


class Task(Declaration):
    """One verb of a component's own.

    `kind` names whose it is (`postgres`), `do` the verb, `about` what it is about (a declaration of that kind's own,
    a `Place` for `postgres`), `arguments` are pairs of text. A verb that changes something needs the host's lock.
    """

    kind: str
    do: str
    about: Declaration
    arguments: tuple[tuple[str, str], ...] = ()
    timeout: float = 60.0
