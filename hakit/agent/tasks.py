"""Tasks: what a component's own code on the host is asked to tell or to do, beside the resources."""

from __future__ import annotations

import sys

from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Names = tuple[str, ...]
    Verbs = Mapping[str, tuple[str, Names, Names]]


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


def verb(do: str, verbs: Verbs, arguments: Mapping[str, str], package: str, whose: str) -> Callable[..., Any]:
    """The function of a verb, from a table of module (in `package`), arguments that are needed and others, by verb.

    `whose` they are is said in messages. Only that module is imported. Raises Failure for an unknown verb or arguments.
    """
    if do not in verbs:
        raise Failure(f"{whose} has no verb {do!r} on this host")
    module, needed, others = verbs[do]
    missing = [name for name in needed if name not in arguments]
    unknown = [name for name in arguments if name not in (*needed, *others)]
    if missing or unknown:
        words = [f"needs {name}" for name in missing] + [f"knows no {name}" for name in unknown]
        raise Failure(f"the verb {do} {', '.join(words)}")
    name = f"{package}.{module}"
    __import__(name)
    found: Callable[..., Any] = getattr(sys.modules[name], do)
    return found
