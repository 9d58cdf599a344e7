"""Whether the early boot knows the arrays by their names, and how it learns them."""

from __future__ import annotations

from hakit.agent.errors import Failure
from hakit.agent.process import find
from hakit.agent.raid.early import images, outdated
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.raid import Initramfs
    from hakit.agent.work import Work

PROGRAM = "update-initramfs"
BUILD = 3600.0  # seconds on a slow or an emulated machine, with all its kernels


class Initramfses:
    """The handler of `Initramfs`."""

    def read(self, resources: list[Initramfs], work: Work) -> dict[str, tuple[str, ...]]:
        """The images that hold another copy than is on the disk."""
        return {one.key: tuple(outdated((one.path, *one.also), work)) for one in resources}

    def diff(self, resource: Initramfs, state: tuple[str, ...], work: Work) -> Change:
        """Whether the images have to be made anew. Raises Failure."""
        if not images(work):
            return Change()
        if work.pending(resource) is not None:
            return Change(summary=("have the early boot know the arrays",), steps=(PROGRAM,))
        if not state:
            return Change()
        if find(PROGRAM) is None:
            raise Failure(f"{', '.join(state)} can't be made anew: {PROGRAM} is not installed (initramfs-tools)")
        return Change(summary=(f"have the early boot know the arrays: {', '.join(state)}",), steps=(PROGRAM,))

    def apply(self, resource: Initramfs, change: Change, work: Work) -> tuple[str, ...]:
        """Make them anew. Raises Failure."""
        work.state.own(resource.key, resource.component, {})
        if work.pending(resource) is not None:
            raise Failure(f"it can't be done yet: {work.pending(resource)} is not in place")
        work.must([PROGRAM, "-u", "-k", "all"], "tell the early boot of the arrays", BUILD)
        paths = (resource.path, *resource.also)
        left = outdated(paths, work)
        if left:
            raise Failure(f"{', '.join(left)} still holds another {' or '.join(paths)}")
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do: nothing."""
        del key, record, work
        return Change(summary=("forget",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Leave it; that was said."""
        del key, record, work
        return ()
