"""A data directory made or copied: whole, in a folder beside its place, and then renamed.

`Place.making` is a folder of root's that holds

    mark       that it is ours; locked by whoever works in it and by the programs that he started
    log        what initdb or pg_basebackup said
    data       what becomes the data directory
    complete   written when `data` is whole, with its system identifier

Whatever kills a run leaves this folder behind, and the next run begins anew in it or, where `complete` is there and
the WAL that follows it is kept, puts the data directory in its place. So a directory at its place is always whole.
"""

from __future__ import annotations

import fcntl
import os
import stat
from errno import EEXIST, ENOTEMPTY
from time import monotonic, sleep

from hakit.agent import disk
from hakit.agent.errors import Failure, Stopped, from_os
from hakit.agent.postgres import asking, control, programs, record, torn, upstream
from hakit.agent.postgres.decision import UNDECIDED
from hakit.agent.postgres.place import slot_name
from hakit.agent.postgres.progress import Progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from signal import SIGKILL

    from hakit.agent.postgres.place import Place
    from hakit.agent.postgres.replication import Upstream
    from hakit.agent.work import Work
else:
    from _signal import SIGKILL  # `signal` builds enums for 4 ms

MARK, COMPLETE, LOG, DATA = "mark", "complete", "log", "data"
INITDB = 600.0  # seconds
COPY = 30 * 86400.0  # seconds; what does not advance is ended long before
RATES = 32, 1 << 20  # KiB/s that pg_basebackup takes as --max-rate
OTHERS = 20.0  # seconds for the programs of a killed run to end


def create(place: Place, options: tuple[str, ...], work: Work) -> None:
    """Make a new cluster, of which this member is the primary. Raises Failure, Stopped."""
    with Making(place, work) as making:
        if not making.complete:
            making.clear()
            argv = [f"{place.programs}/initdb", "-D", making.data, "-U", "postgres", "--no-instructions"]
            argv += ["--auth-local=peer", "--auth-host=scram-sha-256", *options]
            result = programs.run(argv, work, INITDB, log=making.log)
            if result.code or result.late:
                raise Failure(f"initdb failed with exit {result.code}", output=result.tail())
            record.write_first(place, work)
            making.finish(making.system())
        making.put()


def copy(
    source: Upstream, work: Work, *, system: str = "", rate: int = 0, before: Callable[[], None] = lambda: None
) -> str:
    """Make a standby as a copy of another member; its system identifier. Raises Failure, Stopped.

    `system` is what it has to be, where that is known; `rate` limits the copy to so many KiB/s where it is not 0;
    `before` is called when the copy is whole, right before it is put in its place.
    """
    place, found = source.place, source.check(system)
    with Making(place, work) as making:
        if making.complete != found or not source.keeps(making.timeline):
            making.clear()
            source.fresh_slot()
            _base_backup(source, rate, making, work)
            if making.system() != found:
                raise Failure(f"what was copied from {source.label} is of another cluster than it said before")
            making.write("standby.signal")
            making.finish(found)
        upstream.write(place, upstream.text(source.words, place.host), work)
        _learn(place, found, work)
        before()
        making.put()
    return found


def _learn(place: Place, system: str, work: Work) -> None:
    """Keep the last decision that the other members know: a copy with a voice has to know it, too. Raises Failure."""
    known = [one.decision for one in asking.told(place, asking.ANSWER) if one.system == system]
    last = max(known, key=lambda one: one.epoch, default=UNDECIDED)
    if last.epoch > record.read(work.at(place.decision)).epoch:
        excused = tuple(host for host in last.excused if host != place.host)
        record.decide(place, last.replace(excused=excused).text(), work)


def _base_backup(source: Upstream, rate: int, making: Making, work: Work) -> None:
    place = source.place
    # It reports what it has received as flushed. By a name that is no member's no commit is acknowledged for that.
    words = {**source.words, "application_name": f"hakit copy {place.host}"}
    argv = [f"{place.programs}/pg_basebackup", "-D", making.data, "-d", upstream.conninfo(words), "-w"]
    argv += ["-X", "stream", "-S", slot_name(place.host), "-c", "fast", "-P", "-v"]
    if rate:
        argv += [f"--max-rate={min(max(rate, RATES[0]), RATES[1])}"]
    result = programs.run(argv, work, COPY, log=making.log, tick=Progress(source.label, making.log, work).tick)
    if result.code or result.late:
        raise source.failure(result)


def check_place(place: Place, mount: str, work: Work) -> None:
    """Whether a data directory can be made. Raises Failure."""
    if not os.path.exists(f"{place.programs}/initdb"):
        raise Failure(f"PostgreSQL {place.version} is not installed: {place.programs}/initdb is missing")
    if mount and not os.path.ismount(work.at(mount)):
        raise Failure(f"{mount} is not mounted: the data would land on the disk beneath; mount it", path=mount)
    if os.path.islink(work.at(place.data)):
        target = os.path.realpath(work.at(place.data))
        raise Failure(
            f"{place.data} is a symbolic link, and a data directory is put in its place whole: name what it leads to "
            f"({target}), or take the link away",
            path=place.data,
        )
    why = mounted(place, work)
    if why:
        raise Failure(why, path=place.data)


def mounted(place: Place, work: Work) -> str:
    """Why the data directory can't be a mount point, where it is one."""
    if not os.path.ismount(work.at(place.data)):
        return ""
    return (
        f"{place.data} is itself a mount point, and a data directory is put in its place whole: "
        f"name a directory below it, such as {place.data}/{place.cluster}"
    )


def leftover(place: Place, work: Work) -> str:
    """What a killed run left in `Place.making`: nothing, `whole` (only to be put in its place), or `torn`.

    Raises Failure for something in the way that is not ours.
    """
    folder = work.at(place.making)
    info = disk.look(folder)
    if info is None:
        return ""
    if not stat.S_ISDIR(info.st_mode) or (os.listdir(folder) and disk.look(f"{folder}/{MARK}") is None):
        raise Failure(f"{place.making} is in the way: hakit did not make it; move it away", path=place.making)
    whole = os.path.exists(f"{folder}/{COMPLETE}") and os.path.isdir(f"{folder}/{DATA}")
    return "whole" if whole else "torn"


def tidy(place: Place, work: Work) -> None:
    """Delete what a killed run left beside a data directory that is in its place. Raises Failure."""
    with Making(place, work):
        pass  # its end deletes it


class Making:
    """The folder in which a data directory is made, locked; deleted at the end, unless what is whole was not put."""

    def __init__(self, place: Place, work: Work) -> None:
        self._place = place
        self._work = work
        self.folder = work.at(place.making)
        self.data = f"{self.folder}/{DATA}"
        self.log = f"{self.folder}/{LOG}"
        self._lock = -1

    def __enter__(self) -> Making:  # noqa: PYI034 - typing.Self is newer than Python 3.9
        leftover(self._place, self._work)
        try:
            disk.make_folder(os.path.dirname(self.folder), disk.OPEN)
            if not os.path.isdir(self.folder):
                os.mkdir(self.folder, 0o711)
            # Inherited by what is started meanwhile: no second run begins while it lives.
            self._lock = os.open(f"{self.folder}/{MARK}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            os.set_inheritable(self._lock, True)  # noqa: FBT003 - its only form
        except OSError as error:
            raise from_os(error, "making a folder for the data", (self._place.making,)) from None
        self._take()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            # A whole copy waits for the next try: only what is torn has to give its room back.
            if kind is None or not self.complete:
                self.delete()
        finally:
            os.close(self._lock)

    @property
    def complete(self) -> str:
        """The system identifier of what is whole already; empty when nothing is."""
        try:
            found = disk.read(f"{self.folder}/{COMPLETE}").decode().strip()
        except FileNotFoundError:
            return ""
        return found if os.path.isdir(self.data) else ""

    def clear(self) -> None:
        """Begin anew, with an empty `data` that is the server's. Raises Failure."""
        try:
            self._empty()
            os.mkdir(self.data, 0o700)
            os.chown(self.data, *programs.owner(self._work))
        except OSError as error:
            raise from_os(error, "clearing what an interrupted run left", (self._place.making,)) from None

    def system(self) -> str:
        """The system identifier of what was made; Raises Failure where it can't be what was asked for."""
        version = disk.read(f"{self.data}/PG_VERSION").decode().strip()
        if version != str(self._place.version):
            raise Failure(f"what was made is of PostgreSQL {version}, not {self._place.version}")
        return control.read(self.data, self._place.programs, self._work).system

    @property
    def timeline(self) -> int:
        """The timeline of what was made. Raises Failure."""
        return control.read(self.data, self._place.programs, self._work).timeline

    def write(self, name: str) -> None:
        """Put an empty file of the server's into `data`, durably. Raises OSError."""
        programs.put(f"{self.data}/{name}", b"", 0o600, self._work)

    def finish(self, system: str) -> None:
        """Remember durably that `data` is whole. Raises OSError."""
        disk.sync_folder(self.data)
        disk.write(f"{self.folder}/{COMPLETE}", f"{system}\n".encode(), 0o600)

    def put(self) -> None:
        """Put `data` in its place, where nothing is but an empty directory. Raises Failure."""
        target = self._work.at(self._place.data)
        try:
            if os.path.lexists(target):
                os.rmdir(target)
            torn.forget(self._place, self._work)
            os.rename(self.data, target)
            disk.sync_folder(os.path.dirname(target))
        except OSError as error:
            if error.errno in {EEXIST, ENOTEMPTY}:
                raise Failure(f"{self._place.data} is not empty any more: nothing was put there") from None
            raise from_os(error, "putting the data in their place", (self._place.data,)) from None

    def delete(self) -> None:
        """Delete the folder and what is in it. Raises Failure."""
        try:
            self._empty()
            os.unlink(f"{self.folder}/{MARK}")
            os.rmdir(self.folder)
            disk.sync_folder(os.path.dirname(self.folder))
        except OSError as error:
            raise from_os(error, "deleting what is not needed any more", (self._place.making,)) from None

    def _empty(self) -> None:
        """Delete all but the mark; what is in `data` as the server's user, who can delete nothing else."""
        # First of all what says that `data` is whole; new versions on their way are there, too, where a run was killed.
        disk.delete(f"{self.folder}/{COMPLETE}")
        for name in set(os.listdir(self.folder)) - {MARK, DATA}:
            os.unlink(f"{self.folder}/{name}")
        if os.path.isdir(self.data):
            argv = ["find", self.data, "-xdev", "-mindepth", "1", "-delete"]
            result = programs.run(argv, self._work, COPY)
            if result.code:
                raise Failure(f"what is in {self._place.making} can't be deleted", output=result.tail())
            os.rmdir(self.data)

    def _end_others(self) -> None:
        """End the programs that a killed run left: part of pg_basebackup outlives it, and keeps its slot busy.

        No other run is here, for the host's lock is ours.
        """
        mark = os.fstat(self._lock)
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            if pid != os.getpid() and _has_open(pid, mark):
                try:
                    os.kill(pid, SIGKILL)
                except ProcessLookupError:
                    continue

    def _take(self) -> None:
        deadline = monotonic() + OTHERS
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if monotonic() > deadline or self._work.gone():
                    os.close(self._lock)
                    if monotonic() > deadline:
                        raise Failure(f"another run still works in {self._place.making}") from None
                    raise Stopped from None
                self._end_others()
                sleep(0.1)
            else:
                return


def _has_open(pid: int, file: os.stat_result) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    for name in names:
        try:
            info = os.stat(f"{folder}/{name}")
        except OSError:
            continue
        if (info.st_dev, info.st_ino) == (file.st_dev, file.st_ino):
            return True
    return False
