"""How probes are evaluated: plain sockets, because `http.client` costs a host 40 ms."""

from __future__ import annotations

import _socket
import os
import stat
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import ITIMER_REAL, SIGALRM, setitimer, signal
    from socket import socket as Socket  # noqa: N812 - it is a class
    from typing import Any

    from hakit.agent.probes import Probe
    from hakit.agent.work import Work
else:
    from _signal import ITIMER_REAL, SIGALRM, setitimer, signal  # `signal` builds enums for 4 ms

HEAD = 4096  # bytes of an HTTP answer that are read: the status line is all that matters
SERVES = range(200, 400)
LARGEST = 256 << 10  # bytes of a daemon's answer, or of a file, that are read


def evaluate(probe: Probe, work: Work) -> dict[str, Any]:
    """The answer to one probe: `ok`, `detail` in words, `seconds` it took."""
    kinds = {
        "tcp": _tcp,
        "http": _http,
        "unit": _unit,
        "address": _address,
        "absent": _absent,
        "says": _says,
        "socket": _socket_says,
        "array": _array,
    }
    if probe.kind not in kinds:
        return {"ok": False, "detail": f"no such kind of probe: {probe.kind}", "seconds": 0.0}
    began = monotonic()
    try:
        ok, detail = kinds[probe.kind](probe, work)
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
        answer = _read(connection, deadline, whole=bool(probe.match))
    finally:
        connection.close()
    line = answer.partition(b"\r\n")[0].decode("latin-1")
    code = line.split()[1:2]
    ok = line.startswith("HTTP/") and bool(code) and code[0].isdigit() and int(code[0]) in SERVES
    if probe.match and line:
        body = answer.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
        return ok and matches(probe.match, body, deadline, multiline=True), body
    return ok, f"{probe.target} answers {' '.join(line.split()[1:]) or 'nothing'}"


def _read(connection: Socket, deadline: float, *, whole: bool) -> bytes:
    """The answer to a request as far as it matters: all of it, or its first line. Raises OSError."""
    answer, most = bytearray(), LARGEST if whole else HEAD
    while len(answer) < most and (whole or b"\r\n" not in answer):
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        connection.settimeout(left)
        more = connection.recv(most - len(answer))
        if not more:
            break
        answer += more
    return bytes(answer)


def _unit(probe: Probe, work: Work) -> tuple[bool, str]:
    result = work.run(["systemctl", "is-active", "--", probe.target], max(1.0, probe.timeout))
    state = result.out.strip() or result.tail()
    return result.code == 0, f"{probe.target} is {state}"


def _address(probe: Probe, work: Work) -> tuple[bool, str]:
    del work
    here = _is_here(probe.target)
    return here, f"{probe.target} is {'' if here else 'not '}on this host"


def _absent(probe: Probe, work: Work) -> tuple[bool, str]:
    here, detail = _address(probe, work)
    return not here, detail


def _array(probe: Probe, work: Work) -> tuple[bool, str]:
    from hakit.agent.raid.status import probe as look

    return look(probe.target, work)


def _says(probe: Probe, work: Work) -> tuple[bool, str]:
    deadline = monotonic() + probe.timeout
    # A link would show whoever may write the folder what root may read.
    fd = os.open(work.at(probe.target), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ValueError("it is no file")
        text = file.read(LARGEST).decode("utf-8", "replace")
    return matches(probe.match, text, deadline, multiline=False), text


def _socket_says(probe: Probe, work: Work) -> tuple[bool, str]:
    deadline = monotonic() + probe.timeout
    try:
        answer, ended = converse(work.at(probe.target), probe.text, probe.timeout)
    except (FileNotFoundError, ConnectionRefusedError):
        if not probe.missing:
            raise
        return True, "nobody listens"
    if not ended and not answer:
        raise TimeoutError("no answer in time")
    return matches(probe.match, answer, deadline, multiline=True), answer


def converse(path: str, line: str, timeout: float) -> tuple[str, bool]:
    """What a daemon answers to a line on its UNIX socket, bounded; and whether it ended its answer in time.

    Raises OSError, ValueError for more than one line.
    """
    if "\n" in line:
        raise ValueError("only one line can be sent")
    deadline = monotonic() + timeout
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    answer, ended = bytearray(), False
    try:
        connection.settimeout(max(0.001, timeout))
        connection.connect(path)
        data = line.encode("utf-8") + b"\n"
        while data:
            data = data[connection.send(data) :]
        while not ended and len(answer) < LARGEST and (left := deadline - monotonic()) > 0:
            connection.settimeout(left)
            more = connection.recv(LARGEST - len(answer))
            answer += more
            ended = not more
    except _socket.timeout:
        ended = False  # what came until now may be all that a daemon with a prompt says
    finally:
        connection.close()
    return answer.decode("utf-8", "replace"), ended or len(answer) == LARGEST


def matches(pattern: str, text: str, deadline: float, *, multiline: bool) -> bool:
    """Whether a regex is found before `deadline`, of `monotonic`; one that explodes is cut short by a signal.

    Raises TimeoutError, ValueError for what is no regex.
    """
    import re

    def late(*_: object) -> None:
        raise TimeoutError(f"the search for {pattern!r} took too long")

    before = signal(SIGALRM, late)
    try:
        setitimer(ITIMER_REAL, max(0.001, deadline - monotonic()))
        return re.search(pattern, text, re.MULTILINE if multiline else 0) is not None
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regex: {error}") from None
    finally:
        setitimer(ITIMER_REAL, 0)
        signal(SIGALRM, before)


def _is_here(address: str) -> bool:
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    wanted = _socket.inet_pton(family, address)
    return wanted in (_addresses_v6() if family == _socket.AF_INET6 else _addresses_v4())


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
