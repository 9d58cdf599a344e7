"""Opens TCP connections within a deadline, and says in words why one can't be opened."""

from __future__ import annotations

import errno
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hakit.errors import ConnectError

if TYPE_CHECKING:
    from hakit.ssh.options import Dialer

_Address = tuple[socket.AddressFamily, Any]  # the form of an address depends on its family


@dataclass(frozen=True, slots=True)
class _Reason:
    """What an error of the network means, why it may be so, and what to do."""

    what: str
    why: str
    hint: str


_REASONS = {
    errno.ECONNREFUSED: _Reason(
        "connection refused",
        "No sshd listens there, or a firewall rejects it.",
        "Check ansible_port, and on the host  systemctl status ssh",
    ),
    errno.EHOSTUNREACH: _Reason(
        "no route to the host",
        "It is off or gone, or no router knows the way.",
        "Check that it is switched on, its cable, and ansible_host.",
    ),
    errno.ENETUNREACH: _Reason(
        "network unreachable",
        "This machine has no route to that network.",
        "Is a VPN down? A host that is reached through another needs  hakit: {ssh: {jump: [BASTION]}}",
    ),
    errno.ETIMEDOUT: _Reason(
        "no answer",
        "It is off, or a firewall drops the packets.",
        "Check that it is switched on, ansible_host, and the firewalls on the way.",
    ),
    errno.ECONNRESET: _Reason(
        "connection reset",
        "The host or a firewall broke the connection off.",
        "Check ansible_port, and what listens there.",
    ),
}
_THROUGH = {
    "connection refused": errno.ECONNREFUSED,
    "no route to host": errno.EHOSTUNREACH,
    "network is unreachable": errno.ENETUNREACH,
    "connection timed out": errno.ETIMEDOUT,
}
"""What sshd says of a connection that it could not make for us: the C library's words, in English."""


def direct(host: str, port: int, timeout: float) -> socket.socket:
    """A connected socket over this machine's own network.

    All addresses of a name share the timeout (seconds). Raises OSError; socket.gaierror when the name is unknown.
    """
    deadline = time.monotonic() + timeout
    addresses = _resolve(host, port, timeout)
    failure: OSError = OSError(errno.EADDRNOTAVAIL, "the name has no address")
    for position, (family, address) in enumerate(addresses):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(max(0.05, (deadline - time.monotonic()) / (len(addresses) - position)))
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def open_socket(name: str, host: str, port: int, timeout: float, dial: Dialer | None) -> socket.socket:
    """A connected socket to a host. Raises ConnectError with the reason; errors of hakit's own pass."""
    try:
        return (dial or direct)(host, port, timeout)
    except OSError as error:
        raise unreachable(name, host, port, error, timeout) from error


def unreachable(name: str, host: str, port: int, error: OSError, timeout: float) -> ConnectError:
    """The ConnectError that explains an OSError."""
    where = f"{name}: {place(name, host, port)}"
    if isinstance(error, socket.gaierror):
        return ConnectError(
            f"{where}: no such name",
            why=f"{host} has no address in DNS or /etc/hosts.",
            hint=f"Set ansible_host of {name} to its address, or mend the name.",
        )
    code = errno.ETIMEDOUT if isinstance(error, TimeoutError) else error.errno
    reason = _REASONS.get(code or 0)
    if reason is None:
        said = error.strerror or str(error) or "the connection can not be opened"
        return ConnectError(f"{where}: {said}", hint="Check ansible_host and ansible_port.")
    what = f"no answer within {timeout:.3g} s" if code == errno.ETIMEDOUT else reason.what
    return ConnectError(f"{where}: {what}", why=reason.why, hint=reason.hint)


def refused_by_jump(name: str, host: str, port: int, said: str, jump: str) -> ConnectError:
    """The ConnectError for a host that the jump host before it could not reach, from what its sshd says of that."""
    words = said.lower()
    code = next((code for text, code in _THROUGH.items() if text in words), None)
    where = f"{name}: {place(name, host, port)}"
    if code:
        reason = _REASONS[code]
        return ConnectError(f"{where}: {reason.what}", why=f"{reason.why} (Seen from {jump}.)", hint=reason.hint)
    if "name" in words or "resolv" in words:
        return ConnectError(
            f"{where}: no such name on {jump}",
            why=f"{jump} looks {host} up itself and finds no address: {said}",
            hint=f"Set ansible_host of {name} to an address as {jump} sees it.",
        )
    return ConnectError(
        f"{where}: {jump} can't reach it", why=said or None, hint=f"Check ansible_host and ansible_port of {name}."
    )


def place(name: str, host: str, port: int) -> str:
    """The address as far as the name does not say it already."""
    address = f"[{host}]" if ":" in host else host
    return f"port {port}" if name == host else f"{address}:{port}" if port != 22 else host  # noqa: PLR2004 - ssh's port


def _resolve(host: str, port: int, timeout: float) -> list[_Address]:
    """The addresses of a name. The C library can't be told to hurry, so it is asked in a thread of its own."""
    found: list[_Address] = []
    failures: list[OSError] = []

    def ask(flags: int = 0) -> None:
        try:
            infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
        except OSError as error:
            failures.append(error)
        except UnicodeError as error:
            failures.append(socket.gaierror(socket.EAI_NONAME, str(error)))
        else:
            found.extend((info[0], info[4]) for info in infos)

    ask(socket.AI_NUMERICHOST)
    if found:
        return found
    failures.clear()
    thread = threading.Thread(target=ask, name=f"resolve {host}", daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise TimeoutError
    if failures:
        raise failures[0]
    return found
