"""What is in a data directory, and what pg_controldata says of a cluster in it."""

from __future__ import annotations

import os

from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.work import Work

ABSENT, EMPTY, CLUSTER, PARTIAL, FOREIGN = "absent", "empty", "cluster", "partial", "foreign"
ARCHIVE_RECOVERY = "in archive recovery"
"""The state of a standby that runs, or that crashed: its WAL is another one's, and goes on where that has it."""
LABEL = "backup_label"
"""The file of a data directory that was copied or rewound and has not been started since (PostgreSQL documentation)."""
TIMEOUT = 10.0  # seconds; it reads one file of 8 KiB, but the disk may be gone
TRIES = 3  # of a running server's file, which may change while it is read


class Control(Declaration):
    """What a cluster's control file says.

    `state` is in pg_controldata's words (`in production`, `shut down in recovery` …). `timeline` is the newest one that
    the file knows of: a server that was promoted and then killed has it in no checkpoint yet, only as that of the end
    of its recovery; a standby that was killed may be on a newer one since its last restartpoint. `checkpoint` and
    `minimum` (where recovery must come to at least) are LSNs.
    """

    system: str
    state: str
    timeline: int
    checkpoint: str
    minimum: str
    checksums: bool
    hints: bool


def contents(path: str) -> str:
    """What is at the path of a data directory: ABSENT, EMPTY, CLUSTER, PARTIAL (begun, not whole) or FOREIGN.

    Raises OSError.
    """
    try:
        names = set(os.listdir(path))
    except FileNotFoundError:
        return ABSENT
    except NotADirectoryError:
        return FOREIGN
    if not names:
        return EMPTY
    if "PG_VERSION" in names and os.path.isfile(f"{path}/global/pg_control"):
        return CLUSTER
    # initdb writes PG_VERSION last but for the files of `global`, pg_basebackup pg_control last of all.
    return PARTIAL if names & {"PG_VERSION", LABEL, "backup_manifest"} or "pg_wal" in names else FOREIGN


def check_version(data: str, version: int) -> None:
    """Whether a cluster is of this version of PostgreSQL. Raises Failure, OSError."""
    with open(f"{data}/PG_VERSION", encoding="utf-8", errors="replace") as file:
        found = file.read().strip()
    if found != str(version):
        raise Failure(
            f"{data} holds a cluster of PostgreSQL {found}, and {version} is declared: hakit does not upgrade data",
            path=data,
        )


def read(data: str, programs: str, work: Work | None = None) -> Control:
    """What the control file of a cluster says; `programs` is the folder of its version's programs. Raises Failure.

    With `work` the program runs as the data's owner; without it we are that.
    """
    argv, said = [f"{programs}/pg_controldata", "-D", data], ""
    for _ in range(TRIES):
        result = _run(argv, work)
        said = result.tail()
        if result.code == 0 and "WARNING" not in said:
            return parse(result.out)
    reason = next((line for line in said.splitlines() if line.strip()), "no answer")
    if "Permission denied" in said:
        reason = f"it belongs to {_owner(data)}, and others may not read it"
    raise Failure(f"pg_controldata can't tell the state of {data}: {reason}", output=said, path=data)


def _owner(path: str) -> str:
    import pwd

    number = os.stat(path).st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _run(argv: list[str], work: Work | None) -> Any:
    from hakit.agent import process

    if work is None:
        return process.run(argv, TIMEOUT)
    from hakit.agent.postgres import programs

    return programs.run(argv, work, TIMEOUT)


def parse(text: str) -> Control:
    """The record of what pg_controldata printed in the C locale. Raises Failure."""
    rows = dict(_row(line) for line in text.splitlines() if ":" in line)
    try:
        return Control(
            system=rows["Database system identifier"],
            state=rows["Database cluster state"],
            timeline=max(int(rows["Latest checkpoint's TimeLineID"]), int(rows["Min recovery ending loc's timeline"])),
            checkpoint=rows["Latest checkpoint location"],
            minimum=rows["Minimum recovery ending location"],
            checksums=rows["Data page checksum version"] != "0",
            hints=rows["wal_log_hints setting"] == "on",
        )
    except (KeyError, ValueError) as error:
        raise Failure(f"pg_controldata says nothing of {error}", output=text[-4000:]) from None


def _row(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
