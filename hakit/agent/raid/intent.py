"""What hakit was about to make, remembered on the host before the first byte: a half-made thing is known as its own.

`/var/lib/hakit/raid/<array>.json`, root only. `stage` is `creating` from before anything is written until the array
runs, `built` from then on: until its first build is over (RAID4 and 5 build by what looks like a rebuild) and its first
file system or physical volume is on it. Then the record goes. Nothing that it does not name is ever taken for ours.
"""

from __future__ import annotations

import os

from hakit.agent import disk, jsonlite
from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.work import Work

CREATING, BUILT = "creating", "built"


class Intent(Declaration):
    """`serials` are the disks, `wiped` those that were confirmed to be wiped.

    `building` until the first build was seen to be over, `fresh` until a file system or volumes were put on the array.
    `volumes` (`group/volume`) were made on it and have no file system yet.
    """

    array: str
    uuid: str
    stage: str = CREATING
    serials: tuple[str, ...] = ()
    wiped: tuple[str, ...] = ()
    building: bool = True
    fresh: bool = True
    volumes: tuple[str, ...] = ()

    def wire(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self._fields}


def folder(work: Work) -> str:
    """Where intents are."""
    return f"{work.state.folder}/raid"


def path(array: str, work: Work) -> str:
    """The file of an array's intent."""
    return f"{folder(work)}/{array}.json"


def read(array: str, uuid: str, work: Work) -> Intent | None:
    """What was intended for the array of this name and UUID. Raises Failure for a damaged record."""
    name = path(array, work)
    try:
        data = disk.read_own(name)
    except FileNotFoundError:
        return None
    try:
        found = Intent(**jsonlite.loads(data.decode("utf-8").strip()))
    except (ValueError, TypeError, AttributeError) as error:
        raise Failure(
            f"{name} is damaged ({error}): what hakit began to make there is no longer known", path=name
        ) from None
    return found if found.uuid == uuid else None


def write(intent: Intent, work: Work) -> None:
    """Remember it durably. Raises OSError."""
    disk.make_folder(folder(work))
    disk.write(path(intent.array, work), (jsonlite.dumps(intent.wire()) + "\n").encode(), 0o600)


def forget(array: str, work: Work) -> None:
    """It is done. Raises OSError."""
    if os.path.lexists(path(array, work)):
        disk.delete(path(array, work))


def all_intents(work: Work) -> list[Intent]:
    """Every record that can be read."""
    try:
        names = sorted(name for name in os.listdir(folder(work)) if name.endswith(".json"))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        try:
            found.append(Intent(**jsonlite.loads(disk.read_own(f"{folder(work)}/{name}").decode("utf-8").strip())))
        except (OSError, ValueError, TypeError, AttributeError):  # who needs this very one is told by `read`
            continue
    return found


def settle(intent: Intent, work: Work, **changes: Any) -> None:
    """Remember how far it is; nothing once nothing is left to remember. Raises OSError."""
    new = intent.replace(stage=BUILT, **changes)
    if not new.building and not new.fresh and not new.volumes:
        forget(intent.array, work)
    elif new != intent:
        write(new, work)


def remember_backup(array: str, name: str, work: Work) -> None:
    """Remember the backup file of a reshape that is about to begin, for whoever starts the array after a power cut."""
    disk.make_folder(folder(work))
    disk.write(f"{folder(work)}/{array}.backup", name.encode(), 0o600)


def backup_of(array: str, work: Work) -> str:
    """The backup file of a reshape that may not have ended; empty where there is none."""
    try:
        name = disk.read_own(f"{folder(work)}/{array}.backup").decode("utf-8")
    except FileNotFoundError:
        return ""
    return name if os.path.exists(work.at(name)) else ""
