"""The user's keys, each file read and decoded once per run."""

from __future__ import annotations

import stat
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.pkey import UnknownKeyType

from hakit.ssh.agent import Agent
from hakit.ssh.known_hosts import PublicKey

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_NAMES = ("id_rsa", "id_ecdsa", "id_ed25519")  # ssh(1), -i, in OpenSSH's order


@dataclass(frozen=True, slots=True)
class Identity:
    """A key file: its key, or why it can't be used. `public` is its public half where that could be read."""

    path: Path
    key: paramiko.PKey | None = None
    problem: str | None = None
    public: bytes | None = None
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """A key to try, and what to call it in a message."""

    label: str
    key: paramiko.PKey


class KeyRing:
    """Key files and the agent. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._identities: dict[Path, Identity] = {}
        self._agents: dict[str, Agent] = {}

    def identity(self, path: Path) -> Identity:
        """The key in a file, read at the first question."""
        with self._lock:
            if path not in self._identities:
                self._identities[path] = _load(path)
            return self._identities[path]

    def agent(self, path: str) -> Agent:
        """The agent behind a socket."""
        with self._lock:
            return self._agents.setdefault(path, Agent(path))


@dataclass(frozen=True, slots=True)
class Offers:
    """The keys to try on one host, in order: named files, the agent's, the default files.

    The agent is asked only when the caller comes that far, because asking costs, and each wrong key is one of the few
    tries that sshd allows (MaxAuthTries, 6). With `only` it serves the named files alone (IdentitiesOnly).
    """

    ring: KeyRing
    files: tuple[Path, ...]
    agent: str | None
    defaults: tuple[Path, ...]
    only: bool = False

    def __iter__(self) -> Iterator[Offer]:
        named = [self.ring.identity(path) for path in self.files]
        yield from (Offer(str(one.path), one.key) for one in named if one.key)
        tried = {one.key.asbytes() for one in named if one.key}
        wanted = {one.public for one in (*named, *map(self.ring.identity, self.defaults)) if not one.key and one.public}
        if self.agent and (wanted or not self.only):
            held = [key for key in self.ring.agent(self.agent).identities() if key.blob not in tried]
            first = [key for key in held if key.blob in wanted]
            rest = [] if self.only else [key for key in held if key.blob not in wanted]
            yield from (Offer(f"{key.comment or key.name} of the agent", key) for key in (*first, *rest))
            tried |= {key.blob for key in held}
        for one in map(self.ring.identity, self.defaults):
            if one.key and one.key.asbytes() not in tried:
                yield Offer(str(one.path), one.key)

    def problems(self) -> tuple[str, ...]:
        """Why files could not be offered, `path: reason`; default files that do not exist are no problem."""
        everything = [self.ring.identity(path) for path in (*self.files, *self.defaults)]
        return tuple(
            f"{one.path}: {one.problem}"
            for one in everything
            if one.problem and not (one.missing and one.path in self.defaults)
        )


def _load(path: Path) -> Identity:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        data = path.read_bytes()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return Identity(path, problem=error.strerror or "can't be read", public=_public(path), missing=missing)
    if data.startswith((b"ssh-", b"ecdsa-", b"sk-")):
        return Identity(path, problem="a public key, its private half must be in the agent", public=_public(path))
    if mode & 0o077:
        return Identity(path, problem=f"others can read it (mode {mode:04o}); chmod 600 it")
    return _decode(path)


def _decode(path: Path) -> Identity:
    try:
        return Identity(path, key=paramiko.PKey.from_path(path))
    except (TypeError, paramiko.PasswordRequiredException):  # cryptography says TypeError when a passphrase is missing
        return Identity(path, problem="encrypted, and no agent holds it", public=_public(path))
    except (paramiko.SSHException, UnknownKeyType, UnsupportedAlgorithm, ValueError, OSError):
        return Identity(path, problem="not a private key that hakit can read", public=_public(path))


def _public(path: Path) -> bytes | None:
    """The public half of a key whose private half can't be used: from the file itself, or from the `.pub` beside it."""
    for candidate in (path, Path(f"{path}.pub")):
        try:
            fields = candidate.read_text(encoding="utf-8").split()
        except (OSError, ValueError):
            continue
        public = PublicKey.parse(fields[0], fields[1]) if len(fields) > 1 else None
        if public:
            return public.blob
    return None
