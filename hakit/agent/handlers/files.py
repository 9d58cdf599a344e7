"""How sets of files are read, compared, replaced and removed."""

from __future__ import annotations

import os
import stat

from hakit.agent import disk
from hakit.agent.errors import Failure, from_os
from hakit.agent.handlers import validate
from hakit.agent.handlers.shown import shown
from hakit.agent.loaded import SYSTEMD, Writing
from hakit.agent.resources.base import GROUP_ATOMIC
from hakit.agent.work import Change, FileDiff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from hakit.agent.resources.files import File, Files
    from hakit.agent.work import Work

LISTED = 4  # files of a set of which a plan's line tells one by one
WRITTEN = 2  # contents remembered per file: the last and, in case a run died before its rename, the one before


class OnDisk:
    """What stands at a path: its content and metadata; `info` is None when nothing does."""

    __slots__ = ("data", "hash", "info")

    def __init__(self, info: os.stat_result | None, data: bytes) -> None:
        self.info = info
        self.data = data
        self.hash = disk.ABSENT if info is None else disk.digest(data)


class Write:
    """A new content on its way."""

    __slots__ = ("actual", "data", "file", "path", "temporary")

    def __init__(self, path: str, file: File, actual: OnDisk) -> None:
        self.path = path
        self.temporary = ""
        self.file = file
        self.actual = actual
        self.data = file.content.reveal().encode("utf-8")


class Step:
    """One file of a set that differs: `content` or only owner and mode; `file` is None for one that left the set."""

    __slots__ = ("actual", "content", "file", "path")

    def __init__(self, path: str, file: File | None, actual: OnDisk, *, content: bool) -> None:
        self.path = path
        self.file = file
        self.actual = actual
        self.content = content


def declared_paths(work: Work) -> dict[str, Files]:
    """The paths of all declared files, each with the set that declares it."""
    return {file.path: one for one in work.declared.values() if one.type == "files" for file in one.files}  # type: ignore[attr-defined, misc]  # the type says that it is Files


def declared_hashes(paths: Iterable[str], work: Work) -> dict[str, str]:
    """The hashes of what is declared at these paths."""
    sets = declared_paths(work)
    return {
        file.path: disk.digest(file.content.reveal().encode("utf-8"))
        for one in {sets[path].key: sets[path] for path in paths if path in sets}.values()
        for file in one.files
    }


def counted(lines: list[str]) -> tuple[str, ...]:
    """What is done to each file, or to how many of them where that would be a long list."""
    found: dict[str, list[str]] = {}
    for line in lines:
        verb, _, path = line.partition(" /")
        found.setdefault(verb if path else line, []).append(line)
    return tuple(
        text for verb, some in found.items() for text in ([f"{verb} {len(some)} files"] if len(some) > LISTED else some)
    )


class FileSets:
    """The handler of `Files`."""

    def read(self, resources: list[Files], work: Work) -> dict[str, dict[str, OnDisk]]:
        """What is on disk, by key and path. Raises Failure."""
        return {one.key: {file.path: self._look(file.path, work) for file in one.files} for one in resources}

    def _look(self, path: str, work: Work) -> OnDisk:
        info = disk.look(work.at(path))
        if info is None or (stat.S_ISLNK(info.st_mode) and f"symlink:{path}" in work.state.items):
            return OnDisk(None, b"")
        if not stat.S_ISREG(info.st_mode):
            raise Failure(
                f"{path} is {disk.kind(info)}: hakit does not replace it with a file; move it away", path=path
            )
        try:
            return OnDisk(info, disk.read(work.at(path)))
        except OSError as error:
            raise from_os(error, f"reading {path}") from None

    def diff(self, resource: Files, state: dict[str, OnDisk], work: Work) -> Change:
        """What differs in content, owner and mode; a new content has been judged. Raises Failure."""
        steps: list[Step] = []
        lines: list[str] = []
        waits = ""
        several = len(resource.files) > 1
        for file in resource.files:
            actual = state[file.path]
            try:
                line, content = self._compare(file, actual, work, several=several)
            except Failure as failure:
                waits = f"known after {work.require(resource, failure.message)}"
                line, content = "write", actual.data != file.content.reveal().encode("utf-8")
                line += f" {file.path}" if several else ""
            if line:
                lines.append(line)
                steps.append(Step(file.path, file, actual, content=content))
        for path in self._left(resource, work):
            lines.append(f"delete {path}")
            steps.append(Step(path, None, self._look(path, work), content=True))
        if any(step.content and step.file is not None for step in steps):
            waits = self._judge(resource, work) or waits
        going = [step for step in steps if step.content]
        return Change(
            summary=counted(lines),
            impact=self._impact(resource, going, work) if lines else "none",
            steps=tuple(steps),
            files=tuple(self._shown(step, work) for step in going),
            after=waits,
            new=bool(steps) and all(step.actual.info is None for step in steps),
            seen=tuple((step.path, step.actual.hash) for step in going),
        )

    def _impact(self, resource: Files, going: list[Step], work: Work) -> str:
        if not resource.agree or not going:
            return resource.impact
        from hakit.agent.handlers.agreeing import is_broken

        texts = {
            step.path: (step.actual.data.decode("utf-8", "replace"), step.file.content.reveal())
            for step in going
            if step.file is not None and step.actual.info is not None
        }
        broken = any(is_broken(one, *texts[one.path], work) for one in resource.agree if one.path in texts)
        return GROUP_ATOMIC if broken else resource.impact

    def _compare(self, file: File, actual: OnDisk, work: Work, *, several: bool) -> tuple[str, bool]:
        where = f" {file.path}" if several else ""
        uid, gid = work.uid(file.owner), work.gid(file.group)
        if actual.info is None:
            return f"create{where}", True
        content = actual.data != file.content.reveal().encode("utf-8")
        parts = [f"write{where}"] if content else []
        mode = stat.S_IMODE(actual.info.st_mode)
        if mode != file.mode:
            parts.append(f"mode {mode:04o} → {file.mode:04o}")
        if (actual.info.st_uid, actual.info.st_gid) != (uid, gid):
            was = f"{work.user_name(actual.info.st_uid)}:{work.group_name(actual.info.st_gid)}"
            parts.append(f"owner {was} → {file.owner}:{file.group}")
        if parts and where and not content:
            parts[0] = f"{file.path}: {parts[0]}"
        return ", ".join(parts), content

    def _left(self, resource: Files, work: Work) -> list[str]:
        """Paths that belonged to this set and are declared nowhere any more."""
        owned = [path for path, record in work.state.files.items() if record.get("key") == resource.key]
        if not owned:
            return []
        declared = declared_paths(work)
        return [path for path in owned if path not in declared and path not in work.elsewhere]

    def _judge(self, resource: Files, work: Work) -> str:
        program = validate.missing(resource)
        if program is not None:
            return f"validated after {work.require(resource, f'{program}, which validates it, is not installed')}"
        try:
            validate.judge(resource, work)
        except Failure as failure:
            key = work.pending(resource)
            if key is None:
                raise
            del failure
            return f"validated after {key}"
        except OSError as error:
            raise from_os(error, "staging it for validation") from None
        return ""

    def _shown(self, step: Step, work: Work) -> FileDiff:
        actual, record = step.actual, work.state.files.get(step.path)
        if actual.info is None:
            return FileDiff(path=step.path)
        secret = step.file is not None and step.file.content.secret
        wrote = record["wrote"] if record else []
        mode = stat.S_IMODE(actual.info.st_mode)
        return shown(step.path, actual.data, mode, wrote, actual.hash, secret=secret)

    def apply(self, resource: Files, change: Change, work: Work) -> tuple[str, ...]:
        """Keep what goes, remember, stage, rename. Raises Failure."""
        steps: list[Step] = list(change.steps)
        touched = [Write(step.path, step.file, step.actual) for step in steps if step.file]
        writes = [one for one in touched if one.data != one.actual.data or one.actual.info is None]
        try:
            self._remember(resource, touched, work)
            _replace(writes, work)
            for step in steps:
                if step.file is not None and not step.content:
                    _adjust(step.file, work)
        except OSError as error:
            raise from_os(error, "writing", tuple(step.path for step in steps)) from None
        notes = [line for step in steps if step.file is None for line in _restore(step.path, work)]
        return (*change.summary, *notes)

    def _remember(self, resource: Files, writes: list[Write], work: Work) -> None:
        """Write ahead what is about to be made, and keep what is about to go."""
        work.state.unread |= any(step.path.startswith(SYSTEMD) for step in writes)
        for step in writes:
            step.temporary = work.state.temporary(step.path)
            old = work.state.files.get(step.path)
            changes = step.data != step.actual.data
            if step.actual.info is not None and (old is None or changes):
                work.state.keep(step.path, step.actual.data, step.actual.info, original=old is None)
            content = step.file.content
            new = {"hash": disk.digest(step.data), "mask": content.masked() if content.secret else None}
            before = [one for one in (old["wrote"] if old else []) if one["hash"] != new["hash"]]
            work.state.files[step.path] = {
                "key": resource.key,
                "existed": old["existed"] if old else step.actual.info is not None,
                "wrote": [*before, new][-WRITTEN:],
                "folders": (old or {}).get("folders", []) or _missing_folders(step.path, work),
            }
        if writes:
            work.state.items[resource.key] = {"component": resource.component}
            work.state.save_manifest()

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do to each file of a set that nobody declares any more."""
        del record
        declared = declared_paths(work)
        lines, shown, seen = [], [], []
        for path, entry in work.state.files.items():
            if entry.get("key") == key and path not in declared:
                lines.append(f"restore the original {path}" if entry["existed"] else f"delete {path}")
                step = Step(path, None, self._look(path, work), content=True)
                shown.append(self._shown(step, work))
                seen.append((path, step.actual.hash))
        summary = tuple(lines) or ("its files are part of other sets now",)
        return Change(summary=summary, files=tuple(shown), seen=tuple(seen))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Delete or restore each file of a set that nobody declares any more. Raises Failure."""
        del record
        declared = declared_paths(work)
        paths = [path for path, entry in work.state.files.items() if entry.get("key") == key]
        for path in [path for path in paths if path in declared]:
            heir = declared[path]
            work.state.files[path]["key"] = heir.key
            work.state.items[heir.key] = {"component": heir.component}
            paths.remove(path)
        try:
            return tuple(line for path in paths for line in _restore(path, work))
        except OSError as error:
            raise from_os(error, "removing") from None


def _missing_folders(path: str, work: Work) -> list[str]:
    """The parents of a path that have to be made, outermost first."""
    missing: list[str] = []
    folder = os.path.dirname(path)
    while folder != "/" and not os.path.isdir(work.at(folder)):
        missing.insert(0, folder)
        folder = os.path.dirname(folder)
    return missing


def _replace(writes: list[Write], work: Work) -> None:
    """Stage all, note what runs, rename each, make the names durable."""
    staged: list[tuple[int, str, str]] = []
    try:
        for step in writes:
            for folder in _missing_folders(step.path, work):
                os.mkdir(work.at(folder))
                os.chmod(work.at(folder), disk.OPEN)
            directory = disk.open_folder(work.at(os.path.dirname(step.path)))
            name = os.path.basename(step.path)
            temporary = step.temporary
            staged.append((directory, temporary, name))
            owner = (work.uid(step.file.owner), work.gid(step.file.group))
            disk.stage(directory, temporary, step.data, owner, step.file.mode)
        _look_once_more(writes, work)
        writing = Writing(
            {s.path: (s.actual.hash, work.state.files[s.path]["wrote"][-1]["hash"]) for s in writes}, work
        )
        writing.before()
        for directory, temporary, name in staged:
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        for directory, _, _ in staged:
            os.fsync(directory)
        writing.after()
    finally:
        for directory, temporary, _ in staged:
            if disk.look(temporary, directory) is not None:
                os.unlink(temporary, dir_fd=directory)
            os.close(directory)


def _look_once_more(writes: list[Write], work: Work) -> None:
    """See that nobody wrote while the daemons judged. Raises Failure."""
    from hakit.agent import reviewed

    for step in writes:
        if reviewed.now(step.path, work) != step.actual.hash:
            raise reviewed.changed(step.path)


def _adjust(file: File, work: Work) -> None:
    """Set owner and mode of a file whose content is right."""
    fd = os.open(work.at(file.path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        disk.own(fd, work.uid(file.owner), work.gid(file.group), file.mode)
        os.fsync(fd)
    finally:
        os.close(fd)


def _restore(path: str, work: Work) -> list[str]:
    """Put the original back, or delete what hakit made; a version changed by others is kept."""
    record = work.state.files[path]
    if path.startswith(SYSTEMD):
        work.state.unread = True
        work.state.save_manifest()
    info = disk.look(work.at(path))
    if info is not None and not stat.S_ISREG(info.st_mode):
        notes = [f"{path} is {disk.kind(info)} now and was left alone"]
        if work.state.set_original_aside(path):
            notes[0] += f"; the file from before hakit is kept in {work.state.folder}/previous"
    else:
        notes = _keep(path, record, info, work)
        _put_back(path, record, work)
    for folder in reversed(record.get("folders", [])):
        try:
            os.rmdir(work.at(folder))
        except FileNotFoundError:
            continue
        except OSError:
            break
    if record["existed"]:
        # Before the manifest forgets: without an original a second try leaves the restored file alone.
        work.state.forget_original(path)
    del work.state.files[path]
    work.state.save_manifest()
    return notes


def _keep(path: str, record: dict[str, Any], info: os.stat_result | None, work: Work) -> list[str]:
    """Keep the version that is about to go; say so when it is not hakit's."""
    if info is None:
        return []
    data = disk.read(work.at(path))
    if disk.digest(data) == record.get("restored"):
        return []
    work.state.keep(path, data, info, original=False)
    if disk.digest(data) in [one["hash"] for one in record["wrote"]]:
        return []
    return [f"{path} was changed outside hakit; that version is kept in {work.state.folder}/previous"]


def _put_back(path: str, record: dict[str, Any], work: Work) -> None:
    """Write the original, or delete, with notes for the units that load the path."""
    before = disk.hash_of(work.at(path))
    original = work.state.original(path) if record["existed"] else None
    if original is not None:
        data, info = original
        writing = Writing({path: (before, disk.digest(data))}, work)
        writing.before()
        # Made durable with the name of the new version: a second try after a cut knows the original again.
        record["restored"] = disk.digest(data)
        work.state.replace(path, data, stat.S_IMODE(info.st_mode), (info.st_uid, info.st_gid))
        writing.after()
    elif not record["existed"]:
        # Also where somebody else has deleted it: that it was loaded must not be forgotten with the record of it.
        writing = Writing({path: (before, disk.ABSENT)}, work)
        writing.before()
        if before != disk.ABSENT:
            disk.delete(work.at(path))
        writing.after()
