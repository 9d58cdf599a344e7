"""OpenSSH host certificates: what they say and whether they hold (OpenSSH's PROTOCOL.certkeys)."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass

import paramiko

from hakit.ssh.known_hosts import PublicKey, wildcard

SUFFIX = "-cert-v01@openssh.com"
FOR_HOST = 2  # PROTOCOL.certkeys, "type": 1 is a user's
_FIELDS = {"ssh-ed25519": 1, "ssh-rsa": 2}  # strings and mpints of the public key; an ECDSA key has curve and point
_ECDSA_FIELDS = 2
_SIGNATURES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""Algorithms with which a certificate authority may sign; RSA with SHA-1 is refused as by OpenSSH since 8.2."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate: the key it speaks for, for whom and when it holds, who signed it. Times are Unix seconds."""

    key: PublicKey
    kind: int
    key_id: str
    principals: tuple[str, ...]
    after: int
    before: int
    critical: tuple[str, ...]
    authority: PublicKey
    signed: bytes
    signature: bytes

    def problem(self, host: str, now: float | None = None) -> str | None:
        """Why it does not prove that its key is the host's, in words; None when it does. Checks its signature."""
        now = time.time() if now is None else now
        named = not self.principals or any(wildcard(name.lower()).fullmatch(host.lower()) for name in self.principals)
        reasons = (
            (not self._signed(), "its signature is wrong"),
            (self.kind != FOR_HOST, "it is a user's certificate, not a host's"),
            (now < self.after, f"it holds only from {_when(self.after)}"),
            (now >= self.before, f"it ended {_when(self.before)}"),
            (bool(self.critical), f"it has critical options that hakit does not know: {', '.join(self.critical)}"),
            (not named, f"it speaks for {', '.join(self.principals)}, not for {host}"),
        )
        return next((reason for holds, reason in reasons if holds), None)

    def ended(self) -> str | None:
        """When it ended; None while it holds."""
        return _when(self.before) if time.time() >= self.before else None

    def _signed(self) -> bool:
        """Whether the authority's signature over it is right."""
        try:
            algorithm, _ = _Reader(self.signature).strings()  # paramiko takes a size beyond the end for the end
            if algorithm.decode() not in _SIGNATURES:
                return False
            authority = paramiko.PKey.from_type_string(self.authority.type, self.authority.blob)
            return bool(authority.verify_ssh_sig(self.signed, paramiko.Message(self.signature)))
        except Exception:  # noqa: BLE001 - whatever a damaged key or signature makes the libraries raise
            return False


def parse(blob: bytes) -> Certificate:
    """The certificate in wire form. Raises ValueError when it is damaged or of a type hakit does not know."""
    try:
        return _parse(blob)
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError("a damaged certificate") from error


def _parse(blob: bytes) -> Certificate:
    reader = _Reader(blob)
    name = reader.text()
    plain = name.removesuffix(SUFFIX)
    count = _ECDSA_FIELDS if plain.startswith("ecdsa-sha2-") else _FIELDS.get(plain)
    if plain == name or count is None:
        raise ValueError(f"no certificate of a known type: {name!a}")
    reader.string()  # the nonce
    fields = b"".join(_packed(reader.string()) for _ in range(count))
    key = PublicKey(plain, _packed(plain.encode()) + fields)
    reader.take(8)  # the serial number
    kind = reader.number(">I")
    key_id = reader.text()
    principals = tuple(one.decode() for one in _Reader(reader.string()).strings())
    after, before = reader.number(">Q"), reader.number(">Q")
    critical = tuple(one.decode() for one in _Reader(reader.string()).strings()[::2])
    reader.string()  # extensions, which never forbid anything
    reader.string()  # reserved
    authority = reader.string()
    signed = blob[: reader.position]
    signature = reader.string()
    if reader.position < len(blob):
        raise ValueError("a certificate with something behind its end")
    return Certificate(
        key,
        kind,
        key_id,
        principals,
        after,
        before,
        critical,
        PublicKey(_Reader(authority).text(), authority),
        signed,
        signature,
    )


class _Reader:
    """Reads the data types of SSH (RFC 4251, 5). Raises struct.error at a premature end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        part = self._data[self.position : self.position + size]
        if len(part) < size:
            raise struct.error
        self.position += size
        return part

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def string(self) -> bytes:
        return self.take(self.number(">I"))

    def text(self) -> str:
        return self.string().decode()

    def strings(self) -> list[bytes]:
        found = []
        while self.position < len(self._data):
            found.append(self.string())
        return found


def _packed(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _when(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"at {seconds} s after 1970"
