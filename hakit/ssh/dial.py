"""Opens TCP connections within a deadline, and says in words why one can't be opened."""

from __future__ import annotations

import errno
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from hakit.errors import ConnectError

if TYPE_CHECKING:
    from hakit.ssh.options import Dialer

_Address = tuple[socket.AddressFamily, Any]  # the form of an address depends on its family

_REASONS = {
    errno.ECONNREFUSED: ("connection refused", "No sshd listens there, or a firewall rejects it."),
    errno.EHOSTUNREACH: ("no route to the host", "It is off or gone, or no router knows the way."),
    errno.ENETUNREACH: ("network unreachable", "This machine has no route to that network."),
    errno.ETIMEDOUT: ("no answer", "It is off, or a firewall drops the packets."),
    errno.ECONNRESET: ("connection reset", "The host or a firewall broke the connection off."),
}


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
    what, why = _REASONS.get(code or 0, (error.strerror or str(error) or "can't connect", None))
    if code == errno.ETIMEDOUT:
        what = f"no answer within {timeout:.3g} s"
    return ConnectError(f"{where}: {what}", why=why)


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
