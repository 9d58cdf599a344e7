"""The user's keys, each file read and decoded once per run."""

from __future__ import annotations

import stat
import threading
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from paramiko.pkey import PublicBlob, UnknownKeyType

from hakit.ssh.agent import Agent
from hakit.ssh.certificate import SUFFIX, parse
from hakit.ssh.known_hosts import PublicKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakit.ssh.certificate import Certificate

_PASSPHRASES = 3  # ssh_config(5), NumberOfPasswordPrompts
DEFAULT_NAMES = ("id_rsa", "id_ecdsa", "id_ed25519")  # ssh(1), -i, in OpenSSH's order


@dataclass(frozen=True, slots=True)
class Identity:
    """A key file: its key, or why it can't be used. `public` is its public half where that could be read.

    `locked` is a key that needs a passphrase.
    """

    path: Path
    key: paramiko.PKey | None = None
    problem: str | None = None
    public: bytes | None = None
    missing: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """A key to try, and what to call it in a message."""

    label: str
    key: paramiko.PKey


class KeyRing:
    """Key files and the agent. Safe for threads."""

    def __init__(self, passphrase: Callable[[Path, bool], str | None] | None = None) -> None:
        """`passphrase` asks for the one of a file, given whether the answer before was wrong."""
        self._passphrase = passphrase
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._asked: set[Path] = set()
        self._identities: dict[Path, Identity] = {}
        self._certificates: dict[Path, PublicBlob | None] = {}
        self._agents: dict[str, Agent] = {}

    def identity(self, path: Path) -> Identity:
        """The key in a file, read at the first question."""
        with self._lock:
            if path not in self._identities:
                self._identities[path] = _load(path)
            return self._identities[path]

    def unlock(self, path: Path) -> None:
        """Ask for the passphrase of a key, once per run; a key that needs none is left alone."""
        with self._asking:
            if not self.identity(path).locked or path in self._asked or self._passphrase is None:
                return
            self._asked.add(path)
            for attempt in range(_PASSPHRASES):
                answer = self._passphrase(path, attempt > 0)
                if answer is None:
                    return
                found = _decode(path, answer)
                with self._lock:
                    self._identities[path] = found
                if found.key:
                    return

    def certificate(self, path: Path) -> PublicBlob | None:
        """The certificate in a file; None when there is none that can be read."""
        with self._lock:
            if path not in self._certificates:
                try:
                    self._certificates[path] = PublicBlob.from_file(str(path))
                except (OSError, ValueError, paramiko.SSHException):
                    self._certificates[path] = None
            return self._certificates[path]

    def agent(self, path: str) -> Agent:
        """The agent behind a socket."""
        with self._lock:
            return self._agents.setdefault(path, Agent(path))


@dataclass(frozen=True, slots=True)
class Offers:
    """The keys to try on one host, in order: named files, the agent's, the default files.

    The agent is asked only when the caller comes that far, because asking costs, and each wrong key is one of the few
    tries that sshd allows (MaxAuthTries, 6). With `only` it serves the named files alone (IdentitiesOnly). A key with a
    certificate is offered with it first: one beside it (`-cert.pub`), or one of `certificates`. `own` are the named
    files that the inventory names for this host.
    """

    ring: KeyRing
    files: tuple[Path, ...]
    agent: str | None
    defaults: tuple[Path, ...]
    only: bool = False
    certificates: tuple[Path, ...] = ()
    own: tuple[Path, ...] = ()

    def __iter__(self) -> Iterator[Offer]:
        named = [self.ring.identity(path) for path in self.files]
        for one in named:
            if one.key:
                yield from self._with_certificates(str(one.path), one.key)
        tried = {one.key.asbytes() for one in named if one.key}
        wanted = {one.public for one in (*named, *map(self.ring.identity, self.defaults)) if not one.key and one.public}
        if self.agent and (wanted or not self.only):
            held = [key for key in self.ring.agent(self.agent).identities() if key.blob not in tried]
            first = [key for key in held if key.blob in wanted]
            rest = [] if self.only else [key for key in held if key.blob not in wanted]
            for key in (*first, *rest):
                yield from self._with_certificates(f"{key.comment or key.name} of the agent", key)
            tried |= {key.blob for key in held}
        for one in map(self.ring.identity, self.defaults):
            if one.key and one.key.asbytes() not in tried:
                yield from self._with_certificates(str(one.path), one.key)

    def unlock(self, *, password: bool) -> None:
        """Ask for passphrases before the host waits for them: of the host's own key, else of one that could do.

        Nothing is asked for a key that the agent holds; without need (another key, a `password`) only for the host's
        own.
        """
        locked = [path for path in (*self.files, *self.defaults) if self.ring.identity(path).locked]
        held = {key.blob for key in self.ring.agent(self.agent).identities()} if locked and self.agent else set()
        locked = [path for path in locked if self.ring.identity(path).public not in held]
        for path in locked:
            if path in self.own:
                self.ring.unlock(path)
        if locked and not password and not any(self):
            self.ring.unlock(locked[0])

    def problems(self) -> tuple[str, ...]:
        """Why files could not be offered, `path: reason`; default files that do not exist are no problem."""
        everything = [self.ring.identity(path) for path in (*self.files, *self.defaults)]
        return tuple(
            f"{one.path}: {one.problem}"
            for one in everything
            if one.problem and not (one.missing and one.path in self.defaults)
        )

    def _with_certificates(self, label: str, key: paramiko.PKey) -> Iterator[Offer]:
        """The key with each certificate for it, then alone."""
        blobs = [key.public_blob, *map(self.ring.certificate, self.certificates)]
        for blob in blobs:
            if blob is None or not blob.key_type.endswith(SUFFIX):
                continue
            certificate = _parsed(blob)
            if certificate and certificate.key.blob == key.asbytes():
                ended = certificate.ended()
                about = f"{label} with its certificate" + (f" (which ended {ended})" if ended else "")
                yield Offer(about, _bearing(key, blob))
        yield Offer(label, _bearing(key, None) if key.public_blob else key)


def _parsed(blob: PublicBlob) -> Certificate | None:
    try:
        return parse(blob.key_blob)
    except ValueError:
        return None


def _bearing(key: paramiko.PKey, certificate: PublicBlob | None) -> paramiko.PKey:
    """The same key, which paramiko logs in with under this certificate, or none."""
    twin = copy(key)
    twin.public_blob = certificate
    return twin


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


def _decode(path: Path, passphrase: str | None = None) -> Identity:
    public = _public(path)
    try:
        return Identity(path, key=paramiko.PKey.from_path(path, passphrase.encode() if passphrase else None))  # type: ignore[arg-type] # cryptography wants bytes, whatever the stubs say
    except (TypeError, paramiko.PasswordRequiredException):  # cryptography says TypeError when a passphrase is missing
        return Identity(path, problem="encrypted, and no agent holds it", public=public, locked=True)
    except (paramiko.SSHException, UnknownKeyType, UnsupportedAlgorithm, ValueError, OSError):
        if passphrase:
            return Identity(path, problem="encrypted, and the passphrase was wrong", public=public, locked=True)
        beside = " (nor the certificate beside it)" if Path(f"{path}-cert.pub").exists() else ""
        return Identity(path, problem=f"not a private key that hakit can read{beside}", public=public)


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
