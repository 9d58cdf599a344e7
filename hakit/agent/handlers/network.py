"""How a host's network is read and compared. What changes it is a transaction of its own, no step among others."""

from __future__ import annotations

import os
import stat

from hakit.agent import disk
from hakit.agent.errors import Failure
from hakit.agent.handlers.shown import shown
from hakit.agent.network.comparing import differences, doubts
from hakit.agent.network.live import read as read_live
from hakit.agent.network.place import FOLDER, INTERFACES
from hakit.agent.network.record import RETURNED, Record
from hakit.agent.network.versions import aside
from hakit.agent.resources.network import IFUPDOWN
from hakit.agent.work import Change, FileDiff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from hakit.agent.network.live import Live
    from hakit.agent.resources.files import File
    from hakit.agent.resources.network import Network
    from hakit.agent.work import Work


WANTED = "/etc/systemd/system/multi-user.target.wants/networking.service"
"""What has ifupdown started with the boot."""


class Networks:
    """The handler of `Network`."""

    def read(self, resources: list[Network], work: Work) -> dict[str, Live]:
        """What the kernel has. Raises Failure."""
        live = read_live(work)
        return {one.key: live for one in resources}

    def diff(self, resource: Network, state: Live, work: Work) -> Change:
        """What differs in the kernel and in files; what no change mends, and how the last one ended, is said beside it.

        Raises Failure while a change waits for its confirmation.
        """
        record = Record(work.at(FOLDER), work.root)
        pending = record.pending()
        if pending is not None:
            raise Failure(
                f"a change of the network by {pending.who} (run {pending.run}, {pending.began}) waits for its "
                f"confirmation; the old network returns in {record.left(pending):.0f} s"
            )
        lines, files = [], []
        for file in resource.files:
            line, diff = _compare(file, work)
            if line:
                lines.append(line)
            if diff is not None:
                files.append(diff)
        for path in aside(resource, work):
            lines.append(f"put {path} aside")
            info = disk.look(work.at(path))
            if info is not None and stat.S_ISREG(info.st_mode):
                files.append(_shown(path, info, work))
        if resource.before and resource.before != resource.manager:
            lines.append(f"move from {resource.before} to {resource.manager}")
        summary = (*differences(resource, state), *lines)
        for doubt in (*doubts(resource, state), *_left_enabled(resource, work)):
            work.say(doubt)
        outcome = record.outcome()
        if summary and outcome is not None and outcome.what == RETURNED:
            work.say(f"the last change of the network was put back at {outcome.at}: {outcome.why}")
        return Change(summary=summary, impact=resource.impact if summary else "none", files=tuple(files))

    def apply(self, resource: Network, change: Change, work: Work) -> tuple[str, ...]:
        """Refuse: nobody would notice that the host is cut off. Raises Failure."""
        del resource, change, work
        raise Failure("the network is changed by its own transaction, which puts it back unless it is confirmed")

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do: nothing, a host keeps its network."""
        del key, record, work
        return Change(summary=("forget; the network stays as it is",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Leave the network alone; that was said."""
        del key, record, work
        return ()


def _left_enabled(resource: Network, work: Work) -> Iterator[str]:
    """That the boot starts ifupdown, which has nothing left to bring up."""
    if resource.manager != IFUPDOWN and os.path.lexists(work.at(WANTED)) and not os.path.lexists(work.at(INTERFACES)):
        yield f"networking.service starts at each boot and finds no {INTERFACES}: systemctl disable networking"


def _compare(file: File, work: Work) -> tuple[str, FileDiff | None]:
    """What is to be done to a file, and how its content differs."""
    info = disk.look(work.at(file.path))
    if info is None:
        return f"create {file.path}", FileDiff(path=file.path)
    if stat.S_ISLNK(info.st_mode):
        return f"replace the symbolic link {file.path}", FileDiff(path=file.path)
    if not stat.S_ISREG(info.st_mode):
        raise Failure(f"{file.path} is {disk.kind(info)}: hakit does not replace it with a file", path=file.path)
    if disk.read(work.at(file.path)) != file.content.reveal().encode("utf-8"):
        return f"write {file.path}", _shown(file.path, info, work)
    owner = (work.uid(file.owner), work.gid(file.group), file.mode)
    if (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) != owner:
        return f"owner and mode of {file.path}: {file.owner}:{file.group} {file.mode:o}", None
    return "", None


def _shown(path: str, info: os.stat_result, work: Work) -> FileDiff:
    data = disk.read(work.at(path))
    return shown(path, data, stat.S_IMODE(info.st_mode), [], disk.digest(data), secret=False)
