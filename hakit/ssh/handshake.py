"""The key exchange with a host, and whether the key it shows is the one we know."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from hakit.errors import ConnectError, HostKeyError
from hakit.ssh.certificate import SUFFIX, parse
from hakit.ssh.known_hosts import PublicKey, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakit.ssh.certificate import Certificate
    from hakit.ssh.known_hosts import KnownHosts
    from hakit.ssh.wire import Transport


class NoSuchKeyError(ConnectError):
    """The host has no key of a type that was asked for."""


def negotiate(transport: Transport, where: str, deadline: float) -> None:
    """Exchange keys until the deadline (monotonic). Raises ConnectError saying how far it came."""
    transport.banner_timeout = max(0.1, deadline - time.monotonic())
    try:
        transport.start_client(timeout=transport.banner_timeout)
    except IncompatiblePeer as error:
        kind = NoSuchKeyError if "host key" in str(error) else ConnectError
        raise kind(f"{where}: hakit and the host's sshd share no algorithms", why=str(error)) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise _no_ssh(transport, where, str(error), late=time.monotonic() >= deadline) from error
    if not transport.initial_kex_done:
        raise _no_ssh(transport, where, "", late=True)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a host proved to hold: its key, and its certificate (None: it has none, or one that is not understood)."""

    key: PublicKey
    certificate: Certificate | None = None

    @classmethod
    def by(cls, transport: Transport) -> Shown:
        """The key after the key exchange."""
        key = transport.get_remote_server_key()
        certificate = None
        if (transport.host_key_type or "").endswith(SUFFIX) and key.public_blob:
            with suppress(ValueError):
                certificate = parse(key.public_blob.key_blob)
        return cls(PublicKey(key.get_name(), key.asbytes()), certificate)


def judge(known: KnownHosts, names: Sequence[str], shown: Shown) -> tuple[Verdict, str | None]:
    """What is known of a host's key, and why its certificate does not count where it has one that does not.

    As in OpenSSH a certificate of no authority that is known here, or one that does not hold, leaves the key itself.
    """
    key, certificate = shown.key, shown.certificate
    revoked = known.revoked(names, key)
    authorities = known.authorities(names)
    reason = None
    if certificate:
        revoked += known.revoked(names, certificate.authority)
        by = tuple(entry for entry in authorities if entry.key == certificate.authority)
        reason = certificate.problem(names[-1]) if by else None
        if by and not reason and not revoked:
            return Verdict("known", by), None
        if reason:
            reason = f"Its certificate by the authority of {by[0].place} does not count: {reason}."
        elif not by and authorities:
            reason = f"Its certificate is by {certificate.authority.fingerprint}, no authority for it here."
    elif authorities:
        reason = f"It shows no certificate; {authorities[0].place} has an authority for it."
    return (Verdict("revoked", revoked), reason) if revoked else (known.check(names, key), reason)


def check(known: KnownHosts, names: Sequence[str], name: str, transport: Transport, trust: Trust) -> None:
    """Raise HostKeyError unless the host's key is known; `trust` says which command would pin it."""
    shown = Shown.by(transport)
    verdict, reason = judge(known, names, shown)
    if verdict.standing == "known":
        return
    offered = f"{shown.key.kind} {shown.key.fingerprint}"
    because = f" {reason}" if reason else ""
    if verdict.standing == "unknown":
        raise HostKeyError(
            f"{name}: the host key is unknown: {offered}",
            why=(_known_as(verdict) or f"No known_hosts file has a key for {names[0]}.") + because,
            hint=f"Compare the fingerprint with the one on the host, then  {trust.command} --limit {trust.limit}",
        )
    lines = ", ".join(f"{entry.place} ({entry.key.fingerprint})" for entry in verdict.entries)
    if verdict.standing == "revoked":
        what = "HOST KEY" if any(entry.key == shown.key for entry in verdict.entries) else "CERTIFICATE AUTHORITY"
        raise HostKeyError(
            f"{name}: THE {what} IS REVOKED: {offered}",
            why=f"It is marked @revoked in {lines}. Whoever holds it may not be {name}.",
            hint="Nothing was sent. Give the host a new key, then pin that.",
        )
    raise HostKeyError(
        f"{name}: THE HOST KEY HAS CHANGED: it now shows {offered}",
        why=f"Known is {lines}. The host was reinstalled, or someone stands between you and it.{because}",
        hint=f"Nothing was sent. If you know that it was reinstalled:  {trust.command} --replace {trust.replace}",
    )


@dataclass(frozen=True, slots=True)
class Trust:
    """The command that pins host keys, the host to `--limit` it to, and the one whose keys to `--replace`."""

    command: str
    limit: str
    replace: str


def _known_as(verdict: Verdict) -> str | None:
    others = ", ".join(f"{entry.key.kind} at {entry.place}" for entry in verdict.entries)
    return f"It is known by keys of another type only: {others}." if others else None


def _no_ssh(transport: Transport, where: str, reason: str, *, late: bool) -> ConnectError:
    if transport.remote_version:
        if late:
            return ConnectError(
                f"{where}: hangs while keys are exchanged",
                why=f"{transport.remote_version!a} stopped answering.",
                hint="Look at its console: out of memory, a dead disk, or a network that drops large packets (MTU).",
            )
        return ConnectError(
            f"{where}: the key exchange failed",
            why=reason or "The host closed the connection.",
            hint="The host's own log says why (journalctl -u ssh).",
        )
    if proxy := transport.wire.said():
        return ConnectError(
            f"{where}: its ProxyCommand leads nowhere",
            why=f"It says {proxy!r}.",
            hint="Run it by hand, as  ssh -v  shows it, until it works.",
        )
    said = _first_line(transport.wire.first)
    if said.startswith("HTTP/") or "Indecipherable" in reason or "Invalid SSH banner" in reason:
        return ConnectError(
            f"{where}: what listens there is no SSH server",
            why=f"It says {said!r}." if said else None,
            hint="Check ansible_port.",
        )
    if late:
        return ConnectError(
            f"{where}: accepts the connection and then says nothing",
            why="sshd hangs, the machine is overloaded, or something else listens on that port.",
            hint="Check ansible_port, and the host's load on its console.",
        )
    return ConnectError(
        f"{where}: closed the connection before saying who it is",
        why=f"It says {said!r}."
        if said
        else "sshd refuses new connections for now (MaxStartups), or denies this address.",
        hint="Try fewer at once with  --forks 2, and look for MaxStartups, PerSourcePenalties and hosts.deny there.",
    )


def _first_line(data: bytes) -> str:
    """The first line of what a server said, without anything that could drive a terminal."""
    line = data.split(b"\n")[0].decode(errors="replace").strip()
    return "".join(char if char.isprintable() else "?" for char in line)[:80]
