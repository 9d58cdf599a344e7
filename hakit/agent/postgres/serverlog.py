"""What a server said last in its log of why it does not run, or why it receives nothing."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.postgres.place import Place

TAIL = 64 << 10  # bytes at the end of the log in which its last words are looked for
_START = r"starting PostgreSQL"
_STOP = r"received \w+ shutdown request"
# What is ended on purpose says so in the same words as what went wrong; so does who came too early or too late.
_SESSIONS = r"terminating .* due to administrator command|the database system is"
_DEAD = rf"\b(?:FATAL|PANIC):\s+(?=\S)(?!{_SESSIONS})(.*)"
# The messages of PostgreSQL's walreceiver.c and libpqwalreceiver.c; the detail is the reason that the upstream gave.
_DRY = (
    r"\b(?:FATAL|ERROR):\s+((?:could not (?:connect to the primary server|receive .* from WAL stream"
    r"|start WAL streaming|(?:write|extend|create|open|fsync) .*\"pg_wal/)|database system identifier differs"
    r"|highest timeline|terminating walreceiver due to timeout).*(?:\n\tDETAIL:.*)?)"
)


_REFUSED = ("authentication failed", "pg_hba.conf", "no password supplied")
_GONE = ("has already been removed", "can no longer")


def is_gone(why: str) -> bool:
    """Whether a standby receives nothing because its upstream no longer has the WAL that it needs."""
    return any(sign in why for sign in _GONE)


def is_refused(why: str) -> bool:
    """Whether a standby receives nothing because its upstream does not let it in."""
    return any(sign in why for sign in _REFUSED)


def is_full(why: str) -> bool:
    """Whether a server ended, or receives nothing, because its own disk is full."""
    return "No space left on device" in why


def path(place: Place) -> str:
    """The server's log, where Debian puts it."""
    return f"/var/log/postgresql/postgresql-{place.label}.log"


def why_dead(file: str) -> str:
    """The last reason to end since the server was started or told to stop; empty where it told none."""
    return _last(_DEAD, f"{_START}|{_STOP}", file)


def why_dry(file: str) -> str:
    """The last reason of a standby to receive nothing since its start; empty where it told none."""
    return _last(_DRY, _START, file)


def _last(pattern: str, since: str, file: str) -> str:
    import re

    try:
        with open(file, "rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL))
            text = stream.read(TAIL).decode("utf-8", "replace")
    except OSError:
        return ""
    found = re.findall(pattern, re.split(since, text)[-1])
    return " ".join(found[-1].replace("DETAIL:", "").split()) if found else ""
