"""Asking members for their state over HTTP; plain sockets, for the guard runs before each start."""

from __future__ import annotations

import socket
from time import monotonic

from hakit.agent.postgres import states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.postgres.place import Member, Place
    from hakit.agent.postgres.states import State

HEAD = 4096  # bytes before the JSON at most
ANSWER = 1.5  # seconds for a peer to tell its state, where nobody waits for us


class NoAnswer(Exception):  # noqa: N818 - it is what was found out, no error of the program
    """A member did not tell its state; the text says why."""


def ask(member: Member, port: int, timeout: float, source: str = "") -> State:
    """What a member tells within `timeout` seconds. Raises NoAnswer.

    `source` is the address that we are let in by; empty: any of ours.
    """
    deadline = monotonic() + timeout
    own = (source, 0) if source else None
    try:
        with socket.create_connection((member.address, port), timeout, own) as connection:
            connection.settimeout(_left(deadline))
            connection.sendall(b"GET /state HTTP/1.0\r\n\r\n")
            said = bytearray()
            while len(said) <= HEAD + states.LARGEST:
                connection.settimeout(_left(deadline))
                more = connection.recv(1 << 16)
                if not more:
                    break
                said += more
    except OSError as error:
        raise NoAnswer(str(error.strerror or error)) from None
    head, _, body = bytes(said).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/") or head.split()[1:2] != [b"200"]:
        raise NoAnswer(f"said {head[:40].decode('latin-1')!r}" if head else "broke off")
    try:
        state = states.parse(body.decode("utf-8"))
    except ValueError as error:
        raise NoAnswer(f"told no state: {error}") from None
    if state.host != member.name:
        raise NoAnswer(f"is {state.host}, at the address of {member.name}")
    return state


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def told(place: Place, timeout: float) -> list[State]:
    """What the other members told that told something."""
    return [one for one in ask_peers(place, timeout).values() if not isinstance(one, str)]


def ask_peers(place: Place, timeout: float) -> dict[str, State | str]:
    """What each other member told, or why it did not, after at most about `timeout` seconds."""
    import threading

    peers = [one for one in place.members if one.name != place.host]
    source = place.address(place.host)
    answers: dict[str, State | str] = {}

    def one(member: Member) -> None:
        try:
            answers[member.name] = ask(member, place.endpoint, timeout, source)
        except NoAnswer as error:
            answers[member.name] = str(error)

    threads = [threading.Thread(target=one, args=(member,), daemon=True) for member in peers]
    for thread in threads:
        thread.start()
    deadline = monotonic() + timeout + 0.5  # what a name's resolution takes has no limit of ours
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
    return {one.name: answers.get(one.name, "timed out") for one in peers}
