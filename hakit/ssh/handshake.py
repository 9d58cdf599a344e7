"""The key exchange with a host, and whether the key it shows is the one we know."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from hakit.errors import ConnectError, HostKeyError
from hakit.ssh.known_hosts import PublicKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakit.ssh.known_hosts import KnownHosts, Verdict
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


def offered_key(transport: Transport) -> PublicKey:
    """The key that the host proved to hold."""
    key = transport.get_remote_server_key()
    return PublicKey(key.get_name(), key.asbytes())


def check(known: KnownHosts, names: Sequence[str], name: str, transport: Transport, trust: str) -> None:
    """Raise HostKeyError unless the host's key is known; `trust` is the command that would pin it."""
    key = offered_key(transport)
    verdict = known.check(names, key)
    if verdict.standing == "known":
        return
    offered = f"{key.kind} {key.fingerprint}"
    if verdict.standing == "unknown":
        raise HostKeyError(
            f"{name}: the host key is unknown: {offered}",
            why=_known_as(verdict) or f"No known_hosts file has a key for {names[0]}.",
            hint=f"Compare the fingerprint with the one on the host, then  {trust} --limit {name}",
        )
    lines = ", ".join(f"{entry.place} ({entry.key.fingerprint})" for entry in verdict.entries)
    if verdict.standing == "revoked":
        raise HostKeyError(
            f"{name}: THE HOST KEY IS REVOKED: {offered}",
            why=f"It is marked @revoked in {lines}. Whoever holds it may not be {name}.",
            hint="Nothing was sent. Give the host a new key, then pin that.",
        )
    raise HostKeyError(
        f"{name}: THE HOST KEY HAS CHANGED: it now shows {offered}",
        why=f"Known is {lines}. The host was reinstalled, or someone stands between you and it.",
        hint=f"Nothing was sent. If you know that it was reinstalled:  {trust} --replace {name}",
    )


def _known_as(verdict: Verdict) -> str | None:
    others = ", ".join(f"{entry.key.kind} at {entry.place}" for entry in verdict.entries)
    return f"It is known by keys of another type only: {others}." if others else None


def _no_ssh(transport: Transport, where: str, reason: str, *, late: bool) -> ConnectError:
    if not transport.remote_version:
        if late:
            return ConnectError(
                f"{where}: accepts the connection and then says nothing",
                why="sshd hangs, the machine is overloaded, or something else listens on that port.",
            )
        if "Indecipherable" in reason or "Invalid SSH banner" in reason:
            return ConnectError(f"{where}: what listens there is no SSH server", hint="Check ansible_port.")
        return ConnectError(
            f"{where}: closed the connection before saying who it is",
            why="sshd refuses new connections for now (MaxStartups), or denies this address.",
        )
    if late:
        return ConnectError(
            f"{where}: hangs while keys are exchanged", why=f"{transport.remote_version!a} stopped answering."
        )
    return ConnectError(f"{where}: the key exchange failed", why=reason or "The host closed the connection.")
