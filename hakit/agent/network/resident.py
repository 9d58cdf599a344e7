"""The programs of a network change: `change FOLDER`, `restore FOLDER` and, before the network of a boot, `boot FOLDER`.

Each is started by systemd as `python3 -I -S -E -B LIBRARY`, and needs nothing of a connection.
"""

from __future__ import annotations

import sys

from hakit.agent.errors import Failure, from_os
from hakit.agent.network.place import FOLDER
from hakit.agent.network.record import Record
from hakit.agent.work import Work

PROGRAMS = ("change", "restore", "boot")


def main(arguments: list[str]) -> int:
    """Run one of them; the exit code."""
    if len(arguments) != 2 or arguments[0] not in PROGRAMS:  # noqa: PLR2004 - the program and its folder
        sys.stderr.write(f"usage: {' | '.join(f'{name} FOLDER' for name in PROGRAMS)}\n")
        return 2
    what, folder = arguments
    root = folder[: -len(FOLDER)] if folder.endswith(FOLDER) else ""
    record = Record(folder, root)
    try:
        return _run(what, record, Work(root, record.log))
    except Failure as failure:
        why = "\n".join(part for part in (failure.message, failure.output) if part)
    except OSError as error:
        why = from_os(error, what).message
    record.log(f"{what}: {why}")
    sys.stderr.write(f"{why}\n")
    return 1


def _run(what: str, record: Record, work: Work) -> int:
    from hakit.agent.network import changing, returning

    if what == "change":
        return 0 if changing.change(record, work) else 1
    if what == "boot":
        returning.restore_at_boot(record, work)
    else:
        returning.restore(record, work)
    return 0
