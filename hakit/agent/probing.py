"""How probes are evaluated: plain sockets, because `http.client` costs a host 40 ms."""

from __future__ import annotations

import _socket
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket as Socket  # noqa: N812 - it is a class
    from typing import Any

    from hakit.agent.probes import Probe
    from hakit.agent.work import Work

HEAD = 4096  # bytes of an HTTP answer that are read: the status line is all that matters
SERVES = range(200, 400)


def evaluate(probe: Probe, work: Work) -> dict[str, Any]:
    """The answer to one probe: `ok`, `detail` in words, `seconds` it took."""
    kinds = {"tcp": _tcp, "http": _http, "unit": _unit, "address": _address}
    began = monotonic()
    try:
        ok, detail = kinds[probe.kind](probe, work)
    except KeyError:
        ok, detail = False, f"no such kind of probe: {probe.kind}"
    except OSError as error:
        ok, detail = False, f"{probe.target}: {error.strerror or error}"
    except ValueError as error:
        ok, detail = False, f"{probe.target}: {error}"
    return {"ok": ok, "detail": detail, "seconds": round(monotonic() - began, 4)}


def endpoint(text: str) -> tuple[str, int]:
    """Address and port of `10.0.0.1:80` or `[::1]:80`. Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError("an address and a port are needed, 10.0.0.1:80")
    return host.strip("[]"), int(port)


def split_url(url: str) -> tuple[str, int, str, str]:
    """Address, port, path and Host header of a plain `http://` URL. Raises ValueError."""
    scheme, separator, rest = url.partition("://")
    if scheme != "http" or not separator:
        raise ValueError("only http:// can be probed")
    authority, slash, path = rest.partition("/")
    explicit = ":" in authority.rpartition("]")[2]
    host, port = endpoint(authority if explicit else f"{authority}:80")
    return host, port, slash + path if slash else "/", authority


def _connect(host: str, port: int, deadline: float) -> Socket:
    """A connected socket. Raises OSError."""
    found = _socket.getaddrinfo(host, port, 0, _socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    made: Socket = _socket.socket(family, kind, protocol)  # type: ignore[assignment]  # the base class has all we use
    try:
        made.settimeout(max(0.001, deadline - monotonic()))
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made


def _tcp(probe: Probe, work: Work) -> tuple[bool, str]:
    del work
    host, port = endpoint(probe.target)
    _connect(host, port, monotonic() + probe.timeout).close()
    return True, f"{probe.target} accepts"


def _http(probe: Probe, work: Work) -> tuple[bool, str]:
    del work
    host, port, path, name = split_url(probe.target)
    deadline = monotonic() + probe.timeout
    connection = _connect(host, port, deadline)
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: hakit\r\nConnection: close\r\n\r\n"
        data = request.encode("ascii")
        while data:
            data = data[connection.send(data) :]
        answer = b""
        while b"\r\n" not in answer and len(answer) < HEAD:
            left = deadline - monotonic()
            if left <= 0:
                raise TimeoutError("timed out")
            connection.settimeout(left)
            more = connection.recv(HEAD)
            if not more:
                break
            answer += more
    finally:
        connection.close()
    line = answer.partition(b"\r\n")[0].decode("latin-1")
    code = line.split()[1:2]
    ok = line.startswith("HTTP/") and bool(code) and code[0].isdigit() and int(code[0]) in SERVES
    return ok, f"{probe.target} answers {' '.join(line.split()[1:]) or 'nothing'}"


def _unit(probe: Probe, work: Work) -> tuple[bool, str]:
    result = work.run(["systemctl", "is-active", "--", probe.target], max(1.0, probe.timeout))
    state = result.out.strip() or result.tail()
    return result.code == 0, f"{probe.target} is {state}"


def _address(probe: Probe, work: Work) -> tuple[bool, str]:
    del work
    family = _socket.AF_INET6 if ":" in probe.target else _socket.AF_INET
    wanted = _socket.inet_pton(family, probe.target)
    here = wanted in (_addresses_v6() if family == _socket.AF_INET6 else _addresses_v4())
    return here, f"{probe.target} is {'' if here else 'not '}on this host"


def _addresses_v6() -> set[bytes]:
    try:
        with open("/proc/net/if_inet6", encoding="ascii") as file:
            return {bytes.fromhex(line.split()[0]) for line in file}
    except OSError:
        return set()


def _addresses_v4() -> set[bytes]:
    """Local addresses as the kernel's routing sees them: the /32 rows of `fib_trie` that are marked LOCAL."""
    with open("/proc/net/fib_trie", encoding="ascii") as file:
        lines = [line.strip() for line in file]
    return {
        _socket.inet_pton(_socket.AF_INET, before.split()[-1])
        for before, line in zip(lines, lines[1:])  # noqa: B905, RUF007 - newer than Python 3.9
        if line.startswith("/32 host LOCAL")
    }
