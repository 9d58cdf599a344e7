"""What `hakit doctor` and `hakit status` learn of one host: asked over its session, checked for its types.

What comes from a host is checked: a host may be anybody's.
"""

from __future__ import annotations

import ipaddress
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from hakit.agent.errors import FrameError
from hakit.agent.starting import AgentGone
from hakit.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.answers import Hello
    from hakit.engine.session import HostSession

T = TypeVar("T")
PATHS = ("/", "/usr", "/etc", "/var", "/var/lib/hakit", "/tmp", "/boot")  # noqa: S108 - looked at, not used
"""Where hakit, dpkg and the daemons write."""
ROUNDS = 3
"""Exchanges for the clock: the quickest has the least doubt."""


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Nic(_Answer):
    """A NIC; `addresses` with their prefix lengths, `clashing` are those that somebody else answered for (IPv6 DAD)."""

    name: str
    mac: str
    up: bool
    addresses: tuple[str, ...]
    clashing: tuple[str, ...]

    def networks(self) -> list[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
        """Its addresses as Python knows them; what is none is left out."""
        found = []
        for text in self.addresses:
            try:
                found.append(ipaddress.ip_interface(text))
            except ValueError:
                continue
        return found


class Machine(_Answer):
    """What tells this machine from others. `keys` are its SSH host keys, `uptime` in seconds."""

    id: str
    keys: tuple[str, ...]
    uptime: float
    container: str
    reboot: bool
    nics: tuple[Nic, ...]


class Disk(_Answer):
    """Room on a file system, in bytes; `inodes` is 0 where it has no fixed number of them."""

    mount: str
    readonly: bool
    size: int
    free: int
    inodes: int
    inodes_free: int


class Units(_Answer):
    """Failed units; of those that were asked for, which are masked, and which have a file of their own."""

    failed: tuple[str, ...]
    masked: tuple[str, ...]
    beneath: tuple[str, ...]


class Holding(_Answer):
    """A process that holds a lock of dpkg's or apt's."""

    path: str
    pid: int
    command: str


class Trial(_Answer):
    """How `apt-get -s install` went."""

    errors: tuple[str, ...]
    depends: str
    removes: tuple[str, ...]


class Source(_Answer):
    """An archive that can't be reached."""

    uri: str
    reason: str


class Packages(_Answer):
    """The state of dpkg and apt; `missing` are packages that hakit would install."""

    missing: tuple[str, ...]
    locks: tuple[Holding, ...]
    audit: str
    interrupted: bool
    held: tuple[str, ...]
    trial: Trial
    unreachable: tuple[Source, ...]


class Advert(_Answer):
    """A VRRP router that was heard."""

    nic: str
    source: str
    id: int
    version: int
    priority: int
    addresses: tuple[str, ...]


class Wires(_Answer):
    """What was seen on the networks: (NIC, address, MAC), routers, NICs that could not be used."""

    answers: tuple[tuple[str, str, str], ...]
    adverts: tuple[Advert, ...]
    failed: dict[str, str]


class Reading(_Answer):
    """What a clock says: seconds since 1970, and whether something keeps it right."""

    now: float
    synchronized: bool | None


@dataclass(frozen=True, slots=True)
class Clock:
    """How far a host's clock is ahead of ours, in seconds, give or take `doubt`; whether it is kept synchronized."""

    ahead: float
    doubt: float
    synchronized: bool | None


@contextmanager
def talking(session: HostSession) -> Iterator[None]:
    """What goes wrong in a conversation becomes an error of hakit's own. Raises AgentError, ConnectError."""
    try:
        yield
    except (AgentGone, FrameError) as error:
        raise AgentError(f"{session.host.name}: {error}", hint=getattr(error, "hint", None)) from error


def greet(session: HostSession) -> Hello:
    """What an open session's host says of itself, marks and lock included. Raises AgentError, ConnectError."""
    with talking(session):
        return session.client.hello(run=session.scope.run_id, who=session.scope.who, lock=False, packages=())


def ask(session: HostSession, question: str, argument: Any, kind: type[T]) -> T | str:
    """The answer to one question of `hakit.agent.examining`, or why the host can't tell.

    Raises AgentError, ConnectError.
    """
    found: T | str = ask_all(session, {question: (argument, kind)})[question]
    return found


def ask_all(session: HostSession, questions: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    """The answers to several questions (argument, type of the answer); a string where the host can't tell."""
    with talking(session):
        answers = session.client.examine({name: argument for name, (argument, _) in questions.items()})
        return {name: _checked(name, answers.get(name), kind) for name, (_, kind) in questions.items()}


def _checked(name: str, answer: Any, kind: Any) -> Any:
    if isinstance(answer, dict) and set(answer) == {"failed"} and isinstance(answer["failed"], str):
        return answer["failed"]
    try:
        # JSON has no tuples, so lists are taken for them; everything else has to be of its very type.
        return TypeAdapter(kind).validate_python(_tupled(answer))
    except ValidationError as error:
        raise FrameError(
            f"the agent's answer about {name} is not what was agreed on: {error.errors()[0]['msg']}"
        ) from None


def _tupled(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tupled(one) for one in value)
    if isinstance(value, dict):
        return {name: _tupled(one) for name, one in value.items()}
    return value


def clock(session: HostSession) -> Clock | str:
    """The host's clock against ours: half of the exchange's time is taken off, the quickest of three counts."""
    best: Clock | None = None
    for _ in range(ROUNDS):
        before = time.time()
        found = ask(session, "clock", None, Reading)
        after = time.time()
        if isinstance(found, str):
            return found
        doubt = (after - before) / 2
        if best is None or doubt < best.doubt:
            best = Clock(found.now - (before + after) / 2, doubt, found.synchronized)
    assert best is not None  # noqa: S101 - there is at least one round
    return best
