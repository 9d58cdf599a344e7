"""Files that belong together: staged, validated as a set, renamed one by one."""

from __future__ import annotations

from hakit.agent.declare import Declaration
from hakit.agent.resources.base import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from hakit.agent.declare import Content

    Nested = dict[str, type[Declaration]]


class File(Declaration):
    """One file of a set: absolute path, content, owner, group, mode."""

    path: str
    content: Content
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644


class Validator(Declaration):
    """A command that judges staged files before they replace the running ones.

    In `argv` the text `{/etc/x.conf}` stands for the staged copy of that file of the set. `swap` are pairs of regex and
    replacement, applied line by line to the judged copy only. Accepted are exits in `ok`, unless the output matches
    `reject`.
    `place` finds line and message in the output (named groups `line`, `message`, and `path` where it tells the file).
    A command that is not installed yet is "known after" the packages.
    """

    argv: tuple[str, ...]
    path: str
    ok: tuple[int, ...] = (0,)
    swap: tuple[tuple[str, str], ...] = ()
    reject: str = ""
    place: str = ""
    timeout: float = 20.0


class Agreement(Declaration):
    """What the file `path` says that the members of a redundancy group must say alike, all at the same time.

    `section` is a regex that matches the first line of a section, its group `name` the section's; it ends where the
    next one begins. In a section that the old and the new file both have, the lines that match `lines`, stripped, are
    compared in order; when they differ, the change is group-atomic. Only while the unit `unit` is enabled or runs: a
    member that does not speak contradicts nobody.
    """

    path: str
    section: str
    lines: str
    unit: str = ""


class Files(Resource):
    """Files that are staged, validated and replaced as one set; a single file is a set of one."""

    type: ClassVar[str] = "files"
    nested: ClassVar[Nested] = {"files": File, "validate": Validator, "agree": Agreement}
    label: str
    files: tuple[File, ...]
    validate: tuple[Validator, ...] = ()
    agree: tuple[Agreement, ...] = ()

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.label
