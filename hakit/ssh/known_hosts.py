"""The keys that hosts are known by: OpenSSH's known_hosts files, read once per run.

The format is that of sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT": plain, hashed and wildcard names, `[host]:port`, negation,
`@revoked`, `@cert-authority`.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

from hakit.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

Standing = Literal["known", "unknown", "changed", "revoked"]
SSH_PORT = 22
_NAMES_AND_KEY = 3


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public host key: its type ("ssh-ed25519") and its wire form."""

    type: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """`SHA256:…` as ssh-keygen -l prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def kind(self) -> str:
        """The type as people say it: ED25519, ECDSA, RSA."""
        return "ECDSA" if self.type.startswith("ecdsa-") else self.type.removeprefix("ssh-").upper()

    @classmethod
    def parse(cls, type_: str, text: str) -> PublicKey | None:
        """The key that stands in a file as a type and base64; None when that is damaged."""
        try:
            blob = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return None
        name = type_.encode(errors="surrogateescape")
        stated = blob.startswith(len(name).to_bytes(4, "big") + name)  # the wire form begins with it, RFC 4253, 6.6
        return cls(type_, blob) if stated else None

    def line(self, name: str) -> str:
        """A known_hosts line for a host, without the newline."""
        return f"{name} {self.type} {base64.b64encode(self.blob).decode()}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a known_hosts file."""

    file: Path
    line: int
    names: tuple[str, ...]
    key: PublicKey
    revoked: bool = False
    authority: bool = False

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    @property
    def plain(self) -> bool:
        """Whether the line has no marker: its key is the host's own."""
        return not self.revoked and not self.authority

    def matches(self, name: str) -> bool:
        """Whether the line speaks of this name; a negated pattern that matches overrules all others."""
        found = False
        for pattern in self.names:
            if pattern.startswith("!"):
                if wildcard(pattern[1:].lower()).fullmatch(name):
                    return False
            elif not found:
                found = _hashed(pattern, name) or bool(wildcard(pattern.lower()).fullmatch(name))
        return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the files say of a key that a host offered, and the lines that say so (for unknown: other types)."""

    standing: Standing
    entries: tuple[Entry, ...] = ()


@dataclass(slots=True)
class _File:
    """The entries of one file: those of a single plain name by that name, all others in order."""

    plain: dict[str, list[Entry]] = field(default_factory=dict)
    patterns: list[Entry] = field(default_factory=list)

    def add(self, entry: Entry) -> None:
        if any(name[0] in "!|" or "*" in name or "?" in name for name in entry.names):
            self.patterns.append(entry)
        else:
            for name in entry.names:
                self.plain.setdefault(name.lower(), []).append(entry)

    def lookup(self, name: str) -> tuple[Entry, ...]:
        return (*self.plain.get(name, ()), *(entry for entry in self.patterns if entry.matches(name)))


class KnownHosts:
    """The entries of several files in order of precedence. Immutable once read, so threads may share it."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Read the files; one that does not exist is empty. Raises ConnectError when one can't be read."""
        self._files = tuple(_read(file) for file in files)

    def check(self, names: Sequence[str], key: PublicKey) -> Verdict:
        """What is known of a key, under the names that `lookup_names` gave.

        The first file with an entry of the key's type decides, a revocation anywhere overrules it. A key known only
        under the bare name (no port) is accepted, as OpenSSH does, but never called changed.
        """
        revoked = self.revoked(names, key)
        if revoked:
            return Verdict("revoked", revoked)
        others: list[Entry] = []
        for name in names:
            for file in self._files:
                entries = [entry for entry in file.lookup(name) if entry.plain]
                same_type = tuple(entry for entry in entries if entry.key.type == key.type)
                if any(entry.key == key for entry in same_type):
                    return Verdict("known", tuple(entry for entry in same_type if entry.key == key))
                if same_type and name == names[0]:
                    return Verdict("changed", same_type)
                others += entries if name == names[0] else ()
        return Verdict("unknown", tuple(others))

    def types(self, names: Sequence[str]) -> tuple[str, ...]:
        """The types of key that a host is known by, in the order of the files."""
        return tuple(dict.fromkeys(entry.key.type for entry in self._entries(names) if entry.plain))

    def authorities(self, names: Sequence[str]) -> tuple[Entry, ...]:
        """The `@cert-authority` lines that hold for a host."""
        return tuple(entry for entry in self._entries(names) if entry.authority)

    def revoked(self, names: Sequence[str], key: PublicKey) -> tuple[Entry, ...]:
        """The `@revoked` lines that speak of a key, be it a host's or an authority's."""
        return tuple(entry for entry in self._entries(names) if entry.revoked and entry.key == key)

    def _entries(self, names: Sequence[str]) -> Iterator[Entry]:
        for name in names:
            for file in self._files:
                yield from file.lookup(name)


def lookup_names(host: str, port: int, alias: str | None = None) -> tuple[str, ...]:
    """The names a host's key stands under, the decisive one first (ssh_config(5), HostKeyAlias)."""
    if alias:
        return (alias.lower(),)
    bare = host.lower()
    return (bare,) if port == SSH_PORT else (f"[{bare}]:{port}", bare)


def pin(file: Path, lines: Sequence[str], forget: Collection[str] = ()) -> None:
    """Add lines to a known_hosts file, after taking out the names in `forget`, in one atomic step.

    A line that loses its last name goes. The file gets mode 0600, a folder made for it 0700; parallel calls wait for
    each other. Raises OSError.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        text = file.read_text(encoding="utf-8", errors="surrogateescape") if file.exists() else ""
        kept = [line for line in (_without(line, forget) for line in text.splitlines()) if line is not None]
        temporary = file.with_name(f".{file.name}.new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as out:
            out.writelines(f"{line}\n" for line in (*kept, *lines))
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
        os.fsync(folder)
    finally:
        os.close(folder)


def _without(line: str, forget: Collection[str]) -> str | None:
    """The line without these names; None when it names no one else. Revocations stay."""
    fields = line.split(None, 1)
    if len(fields) < 2 or line.startswith(("#", "@")):  # noqa: PLR2004 - names and the rest
        return line
    names = [
        name for name in fields[0].split(",") if not any(_hashed(name, gone) or name.lower() == gone for gone in forget)
    ]
    if len(names) == len(fields[0].split(",")):
        return line
    return f"{','.join(names)} {fields[1]}" if any(not name.startswith("!") for name in names) else None


def _read(path: Path) -> _File:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return _File()
    except OSError as error:
        raise ConnectError(
            f"{path}: can't be read: {error.strerror}",
            why="Without it no host key can be checked.",
            hint="Make it readable for you, or move it away.",
        ) from error
    file = _File()
    for number, line in enumerate(text.splitlines(), 1):
        entry = _parse(path, number, line)
        if entry:
            file.add(entry)
    return file


def _parse(path: Path, number: int, line: str) -> Entry | None:
    """The entry on a line; None for a comment and for what OpenSSH would skip as damaged."""
    fields = line.split()
    if not fields or fields[0].startswith("#"):
        return None
    marker = fields.pop(0) if fields[0].startswith("@") else None
    if marker not in (None, "@revoked", "@cert-authority") or len(fields) < _NAMES_AND_KEY:
        return None
    key = PublicKey.parse(fields[1], fields[2])
    names = tuple(name for name in fields[0].split(",") if name)
    if not key or not names:
        return None
    return Entry(path, number, names, key, revoked=marker == "@revoked", authority=marker == "@cert-authority")


def _hashed(pattern: str, name: str) -> bool:
    """Whether `|1|salt|hash` is this name: HMAC-SHA1 over the name with the salt as key."""
    if not pattern.startswith("|1|"):
        return False
    try:
        salt, digest = (base64.b64decode(part) for part in pattern[3:].split("|"))
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)


@cache
def wildcard(pattern: str) -> re.Pattern[str]:
    """A pattern of OpenSSH as an expression: `*` and `?` only; brackets are literal, as around a host with a port."""
    return re.compile("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern), re.DOTALL)
