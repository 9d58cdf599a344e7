"""Whom a standby follows: the file that says so, and the words with which it connects."""

from __future__ import annotations

import os

from hakit.agent import disk
from hakit.agent.errors import Failure
from hakit.agent.postgres import programs
from hakit.agent.postgres.place import slot_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.postgres.place import Place
    from hakit.agent.work import Work

# A dead upstream is noticed within 5 + 3 × 2 s, a silent address within 3 s.
LIVELINESS = {"connect_timeout": "3", "keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3"}
FILE_MODE = 0o640
NOBODY = "# hakit: follows nobody\n"


def connection(place: Place, upstream: str, user: str, work: Work) -> dict[str, str]:
    """How this member connects to another one, by libpq's keywords. Raises Failure for a host that is no member."""
    address = place.address(upstream)
    if not address:
        raise Failure(f"{upstream or 'nobody'} is no member of the cluster {place.cluster} that this host knows")
    return {
        "host": address,
        "port": str(place.port),
        "user": user,
        "passfile": work.at(place.passfile),
        "application_name": place.host,
        **LIVELINESS,
    }


def conninfo(words: dict[str, str]) -> str:
    """Keywords and values as libpq reads them (PostgreSQL documentation, "Keyword/Value Connection Strings")."""
    return " ".join(f"{name}={_quoted(value)}" for name, value in words.items())


def _quoted(value: str) -> str:
    if value and all(one.isalnum() or one in "._-/:" for one in value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def text(words: dict[str, str], host: str) -> str:
    """The content of the file, for a standby that connects with `words` and uses the slot of `host`."""
    escaped = conninfo(words).replace("\\", "\\\\").replace("'", "''")
    return (
        f"# hakit: whom this standby follows\nprimary_conninfo = '{escaped}'\nprimary_slot_name = '{slot_name(host)}'\n"
    )


def replicator(place: Place, work: Work) -> str:
    """The role that members replicate as: the one whose password this member has. Raises Failure, OSError."""
    path = work.at(place.passfile)
    try:
        lines = disk.read(path).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        raise Failure(f"{place.passfile} is missing: this member has no password to replicate with") from None
    for line in lines:
        fields = _fields(line)
        if len(fields) == 5 and not line.startswith("#"):  # noqa: PLR2004 - host, port, database, user, password
            return fields[3]
    raise Failure(f"{place.passfile} names no role to replicate as", path=place.passfile)


def _fields(line: str) -> list[str]:
    """The fields of a line of a password file; a backslash protects a `:` or itself."""
    fields, escaped = [""], False
    for one in line:
        if escaped or one not in "\\:":
            fields[-1] += one
            escaped = False
        elif one == "\\":
            escaped = True
        else:
            fields.append("")
    return fields


def write(place: Place, content: str, work: Work) -> bool:
    """Put the file in place, durably; False when that is its content already. Raises OSError, Failure."""
    path = work.at(place.upstream)
    data = content.encode()
    if os.path.isfile(path) and disk.read(path) == data:
        return False
    programs.put(path, data, FILE_MODE, work)
    return True
