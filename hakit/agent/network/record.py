"""The record of a change of the network that waits for its confirmation, of its end, and the log of both.

Whichever of `outcome.json` and the deadline comes first decides. An outcome that names the armed change settles it for
good, by one rename: before it the change returns, whoever is killed; after it all that is left is to tidy, which a
return or the next change repeats. So `armed.json` is removed last.
"""

from __future__ import annotations

import fcntl
import os
from time import CLOCK_BOOTTIME, clock_gettime, gmtime, monotonic, sleep, strftime, time

from hakit.agent import disk, jsonlite
from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure, from_os
from hakit.agent.network.place import FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.work import Work

CONFIRMED, RETURNED = "confirmed", "returned"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
OVERDUE = 120.0  # seconds after the deadline in which a return has ended; after that anybody may finish it
LINES = 200  # of the log that are told


class Armed(Declaration):
    """A change that is not settled.

    `began` is for people, `deadline` in seconds of CLOCK_BOOTTIME of the boot `boot`. `before` and `manager` had the
    network, and shall have it; `up` are the links that ifupdown had up, `mates` those of the network's that answered.
    `started` once the network may have been touched, `done` (seconds of CLOCK_BOOTTIME) once the new one is in place.
    `returning` tells why the old network is put back; there is no way back from that.
    """

    id: str
    run: str
    who: str
    began: str
    boot: str
    deadline: float
    timeout: float
    before: str
    manager: str
    up: tuple[str, ...] = ()
    mates: tuple[str, ...] = ()
    started: bool = False
    done: float = 0.0
    returning: str = ""

    def wire(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self._fields}


class Outcome(Declaration):
    """How the last change ended: `confirmed`, or `returned` and why."""

    id: str
    what: str
    why: str = ""
    at: str = ""

    def wire(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self._fields}


class Record:
    """The state folder; `root` stands before every path of the host."""

    def __init__(self, folder: str, root: str) -> None:
        self.folder = folder
        self._root = root
        self._fd: int | None = None

    def armed(self) -> Armed | None:
        """The change that is armed, settled or not. Raises Failure for a record that can't be read."""
        data = self._read("armed.json")
        return None if data is None else _made(Armed, data, f"{self.folder}/armed.json")

    def outcome(self) -> Outcome | None:
        """How the last one ended. Raises Failure for a record that can't be read."""
        data = self._read("outcome.json")
        return None if data is None else _made(Outcome, data, f"{self.folder}/outcome.json")

    def pending(self) -> Armed | None:
        """The change that is armed and not settled yet. Raises Failure."""
        armed = self.armed()
        if armed is None:
            return None
        ended = self.outcome()
        return None if ended is not None and ended.id == armed.id else armed

    def arm(self, armed: Armed) -> None:
        """Write an armed change, or what it has come to. Raises OSError."""
        self._write("armed.json", armed.wire())

    def settle(self, armed: Armed, what: str, why: str = "") -> None:
        """Decide, by one rename, how a change ended. Raises OSError."""
        self._write("outcome.json", Outcome(id=armed.id, what=what, why=why, at=now_utc()).wire())
        self.log(f"{what}{': ' if why else ''}{why}")

    def disarm(self) -> None:
        """Forget the armed change; the last step. Raises OSError."""
        disk.delete(f"{self.folder}/armed.json")

    def left(self, armed: Armed) -> float:
        """Seconds until the old network is put back: 0 once it is due, as after another boot."""
        if armed.returning or armed.boot != self.boot() or self.given_up(armed):
            return 0.0
        return max(0.0, armed.deadline - clock_gettime(CLOCK_BOOTTIME))

    def give_up(self, armed: Armed, why: str) -> None:
        """Have the old network put back; beside the armed record, which the change may be writing. Raises OSError."""
        self._write("given-up.json", {"id": armed.id, "why": why})

    def given_up(self, armed: Armed) -> str:
        """Why a change was given up; empty when it was not. Raises Failure."""
        data = self._read("given-up.json") or {}
        return str(data.get("why", "")) if data.get("id") == armed.id else ""

    def since(self, armed: Armed) -> float | None:
        """Seconds since the new network is in place; None while it is not."""
        return clock_gettime(CLOCK_BOOTTIME) - armed.done if armed.done else None

    def overdue(self, armed: Armed) -> bool:
        """Whether a return should have ended long ago."""
        late = clock_gettime(CLOCK_BOOTTIME) - armed.deadline
        return late > OVERDUE if armed.boot == self.boot() else clock_gettime(CLOCK_BOOTTIME) > OVERDUE

    def boot(self) -> str:
        """Which boot this is."""
        try:
            with open(self._root + BOOT_ID, encoding="ascii") as file:
                return file.read().strip()
        except OSError:
            return ""

    def log(self, line: str) -> None:
        """Add a line, durably; a log that can't be written stops nothing."""
        text = f"{now_utc()} {line}".replace("\n", "\n    ") + "\n"
        try:
            fd = os.open(f"{self.folder}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            os.write(fd, text.encode("utf-8", "replace"))
            os.fsync(fd)
        except OSError:
            return
        finally:
            os.close(fd)

    def lines(self) -> list[str]:
        """The end of the log."""
        try:
            with open(f"{self.folder}/log", encoding="utf-8", errors="replace") as file:
                return file.read().splitlines()[-LINES:]
        except OSError:
            return []

    def hold(self, patience: float) -> None:
        """Be the only one who changes or settles, until the process ends or lets go. Raises Failure, OSError."""
        fd = os.open(f"{self.folder}/lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        end = monotonic() + patience
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if monotonic() > end:
                    os.close(fd)
                    raise Failure("the network is being changed or put back at this moment") from None
                sleep(0.05)
            else:
                self._fd = fd
                return

    def let_go(self) -> None:
        """Let others in."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _read(self, name: str) -> dict[str, Any] | None:
        path = f"{self.folder}/{name}"
        try:
            data = jsonlite.loads(disk.read_own(path).decode("utf-8").strip())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise from_os(error, "reading the record of a network change", (path,)) from None
        except ValueError as error:
            raise Failure(f"{path} is damaged: {error}", path=path) from None
        return data if isinstance(data, dict) else {}

    def _write(self, name: str, data: dict[str, Any]) -> None:
        disk.write(f"{self.folder}/{name}", (jsonlite.dumps(data) + "\n").encode(), 0o600)


def keeper(work: Work, run: str) -> dict[str, Any] | None:
    """Whom a run has to wait for, as the holder of a lock: another run whose change is armed and not long overdue.

    `until` is when the host has settled it by itself. Raises Failure.
    """
    record = Record(work.at(FOLDER), work.root)
    armed = record.pending()
    if armed is None or armed.run == run or record.overdue(armed):
        return None
    until = strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(time() + record.left(armed)))
    return {"who": armed.who, "since": armed.began, "run": armed.run, "pid": 0, "alive": True, "until": until}


def _made(cls: Any, data: dict[str, Any], path: str) -> Any:
    try:
        return cls(**data)
    except TypeError as error:
        raise Failure(f"{path} is damaged: {error}", path=path) from None


def now_utc() -> str:
    """The time for people."""
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime())
