"""Where a lab's things lie on this machine, its lock, and the record of what it is.

/var/lib/hakit-lab/ID/          one lab
    lab.json                    the record: plan, boot of this machine, owner
    key, key.pub, known_hosts   how hakit logs in; the key belongs to the user who made the lab
    packages.log                the package proxy's log
    hosts/NAME/                 image, disk, console.log, unplugged NICs, and what else its driver needs
/var/cache/hakit-lab/           what labs share and outlives them: base images, Debian packages
/run/netns/hakit-ID             the lab's network
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hakit.errors import LabError
from hakit.lab.plan import LabPlan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LABS: Final = Path("/var/lib/hakit-lab")
CACHE: Final = Path("/var/cache/hakit-lab")
NAMESPACES: Final = Path("/run/netns")


def boot_id() -> str:
    """Names this machine's present boot: processes and namespaces of another boot are gone."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the things of one lab lie."""

    id: str

    @property
    def folder(self) -> Path:
        """The lab's folder."""
        return LABS / self.id

    @property
    def record(self) -> Path:
        """The lab's record; it exists from the first step of `up` to the last of `down`."""
        return self.folder / "lab.json"

    @property
    def identity_file(self) -> Path:
        """The private key that the lab's hosts accept."""
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        """The lab's host keys, known before the first connection."""
        return self.folder / "known_hosts"

    @property
    def namespace(self) -> str:
        """The name of the lab's network namespace."""
        return f"hakit-{self.id}"

    @property
    def namespace_file(self) -> Path:
        """What setns and nsenter open."""
        return NAMESPACES / self.namespace

    def host(self, name: str) -> Path:
        """The folder of a host."""
        return self.folder / "hosts" / name


@dataclass(frozen=True, slots=True)
class Record:
    """What is written down of a lab.

    `boot` is this machine's boot in which the lab was brought up, `complete` is False until `up` has ended well,
    `owner` the user and group id of whoever made it.
    """

    plan: LabPlan
    boot: str
    owner: tuple[int, int]
    complete: bool

    def write(self, place: Place) -> None:
        """Replace the lab's record at once."""
        value = {
            "plan": self.plan.as_json(),
            "boot": self.boot,
            "owner": list(self.owner),
            "complete": self.complete,
        }
        temporary = place.record.with_suffix(".new")
        temporary.write_text(json.dumps(value, indent=1), encoding="utf-8")
        temporary.replace(place.record)


def read_record(place: Place) -> Record | None:
    """The lab's record; None when there is none or it can't be understood (then `down` cleans up, `up` starts anew)."""
    try:
        value: dict[str, Any] = json.loads(place.record.read_text(encoding="utf-8"))
        uid, gid = value["owner"]
        return Record(
            plan=LabPlan.from_json(value["plan"]),
            boot=value["boot"],
            owner=(uid, gid),
            complete=value["complete"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_up(place: Place) -> bool:
    """Whether the lab was brought up completely, in this boot of the machine, and its network is there."""
    record = read_record(place)
    return record is not None and record.complete and record.boot == boot_id() and place.namespace_file.exists()


@contextmanager
def locked(folder: Path, what: str, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold a folder's lock; makes the folder. `what` says for what one waits while another command holds it."""
    while True:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress(f"waiting: {what}")
                fcntl.flock(handle, fcntl.LOCK_EX)
            # Whoever held the lock may have removed the folder (`down`): then this lock is on nothing.
            if not _same(handle, folder):
                continue
            yield
        finally:
            os.close(handle)
        return


def _same(handle: int, folder: Path) -> bool:
    try:
        there = folder.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(handle), there)


def need_root() -> None:
    """Raises LabError unless this process is root."""
    if os.geteuid() != 0:
        raise LabError("the lab's hosts and network are made by root", hint="Run it as root or through sudo.")
