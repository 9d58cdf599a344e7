"""Which files an inventory consists of, and their text.

A folder is read as Ansible reads it: every inventory file in it in the order of the names, `group_vars` and `host_vars`
beside them; folders that are hakit's or a repository's own are left alone.
"""

from __future__ import annotations

import os
import re
import stat
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from hakit.inventory.origin import Mark, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

MAX_SIZE: Final = 32 * 1024 * 1024
"""Bytes of one file."""
YAML_EXTENSIONS: Final = (".yml", ".yaml", ".json")
VAULTED: Final = "$ANSIBLE_VAULT;"

_IGNORED_EXTENSIONS = (
    ".pyc",
    ".pyo",
    ".swp",
    ".bak",
    "~",
    ".rpm",
    ".md",
    ".txt",
    ".rst",
    ".orig",
    ".cfg",
    ".retry",
)
_NOT_SOURCES = {"group_vars", "host_vars", "vars_plugins", "templates", "tests", "files"}
_HIDDEN_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")


class UnreadableError(Exception):
    """A file or folder can't be read; carries the one problem."""

    def __init__(self, message: str, path: Path | str, line: int = 0, column: int = 1) -> None:
        self.problem = Problem(message, Mark(str(path), line, column))
        super().__init__(self.problem.text())


def read(path: Path) -> str:
    """The text of a file, without a byte order mark. Raises UnreadableError."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise UnreadableError("is no regular file", path)
        if info.st_size > MAX_SIZE:
            raise UnreadableError(f"is larger than {MAX_SIZE // 1024 // 1024} MiB", path)
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise UnreadableError(f"can't be read: {_reason(error)}", path) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in data:
            raise UnreadableError("is binary, not text; an inventory is YAML in UTF-8", path, 1) from None
        before = data[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        raise UnreadableError("is not UTF-8; save it in that encoding", path, before.count(b"\n") + 1, column) from None
    if found := _HIDDEN_CHARACTER.search(text):
        before_text = text[: found.start()]
        line, column = before_text.count("\n") + 1, found.start() - before_text.rfind("\n")
        kind = "is binary, not text" if found[0] == "\0" else f"holds the control character U+{ord(found[0]):04X}"
        raise UnreadableError(f"{kind}; an inventory is YAML in UTF-8", path, line, column)
    return text


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[0].lower() + error.strerror[1:]
    return str(error)


def is_ini(text: str) -> bool:
    """Whether a text looks like an INI inventory: its first line is a section, or a host with `key=value` behind it."""
    for line in text.splitlines():
        first = line.strip()
        if first and not first.startswith(("#", ";")):
            return re.fullmatch(r"\[[\w.:-]+\]\s*([#;].*)?|[\w.:\[\]-]+(\s+\w+=\S.*)", first) is not None
    return False


def sources(path: Path) -> tuple[list[Path], list[Problem]]:
    """The inventory files that a path names, in the order in which they are read, and warnings about those passed over.

    Raises UnreadableError when there is none.
    """
    try:
        is_folder, exists = path.is_dir(), os.path.lexists(path)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"can't be read: {_reason(error)}", path) from None
    if not exists:
        raise UnreadableError(f"there is no such inventory{_near(path)}", path)
    if not is_folder:
        _must_be_yaml(path)
        return [path], []
    found: list[Path] = []
    warnings: list[Problem] = []
    _collect(path, found, warnings, seen=())
    if not found:
        raise UnreadableError("no inventory in this folder; hakit reads hosts.yml and other YAML files in it", path)
    return found, warnings


def _near(path: Path) -> str:
    for candidate in (
        path / "hosts.yml",
        path.with_suffix(".yml"),
        path.with_suffix(".yaml"),
        path.parent / "hosts.yml",
    ):
        if candidate.is_file() and candidate != path:
            return f" (did you mean {candidate}?)"
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        names = []
    near = get_close_matches(path.name, names, n=1)
    return f" (did you mean {path.parent / near[0]}?)" if near else "; make one with  hakit init DIR"


def _must_be_yaml(path: Path) -> None:
    if path.suffix in (".ini", ".toml"):
        raise UnreadableError(f"is an inventory in {path.suffix[1:].upper()} format; {conversion(path)}", path)
    if path.suffix in (".py", ".sh"):
        raise UnreadableError(f"is a script; {conversion(path)}", path)


def conversion(path: Path | str) -> str:
    """What to do with an inventory in another format."""
    return f"hakit reads YAML; convert it with  ansible-inventory -i {path} --list --yaml --export > new-hosts.yml"


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise UnreadableError(f"can't be read: {_reason(error)}", folder) from None


def _collect(folder: Path, found: list[Path], warnings: list[Problem], seen: Sequence[str]) -> None:
    real = os.path.realpath(folder)
    if real in seen:
        raise UnreadableError("links back to a folder that contains it", folder)
    for entry in _entries(folder):
        if entry.name.startswith(".") or entry.name.endswith(_IGNORED_EXTENSIONS) or entry.name in _NOT_SOURCES:
            continue
        if entry.is_dir():
            _collect(entry, found, warnings, [*seen, real])
        elif entry.suffix in YAML_EXTENSIONS or (not entry.suffix and _looks_like_source(entry)):
            found.append(entry)
        elif entry.suffix in (".ini", ".toml"):
            _must_be_yaml(entry)
        elif entry.suffix in (".py", ".sh") and os.access(entry, os.X_OK):
            warnings.append(
                Problem("a script; Ansible would run it, hakit does not", Mark(str(entry), 0), "", "warning")
            )


def _looks_like_source(path: Path) -> bool:
    """Whether a file without extension is an inventory, not a licence or a Makefile: Ansible would try any."""
    return path.name.lower() not in ("license", "makefile", "vagrantfile", "dockerfile", "known_hosts", "readme")


def variable_files(folder: Path, name: str) -> list[Path]:
    """The files of one group or host in `group_vars` or `host_vars`: NAME, or else NAME.yml, .yaml, .json.

    NAME may be a folder, then all files below it in the order of the names. Raises UnreadableError.
    """
    if "/" in name or name in ("", ".", ".."):
        return []
    for extension in ("", *YAML_EXTENSIONS):
        path = folder / f"{name}{extension}"
        if path.exists():
            return list(_below(path, ())) if path.is_dir() else [path]
    return []


def _below(folder: Path, seen: Sequence[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in seen:
        raise UnreadableError("links back to a folder that contains it", folder)
    for entry in _entries(folder):
        if entry.name.startswith(".") or entry.name.endswith("~"):
            continue
        if entry.is_dir():
            if not entry.suffix:
                yield from _below(entry, [*seen, real])
        elif entry.is_file() and entry.suffix in ("", *YAML_EXTENSIONS):
            yield entry
