"""HTTP for balancers and peers: one thread, no waiting; answers are made from what is known, in well under 1 ms."""

from __future__ import annotations

import ipaddress
import selectors
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Container, Iterable

    from hakit.agent.postgres.endpoint import Answer

REQUEST = 4096  # bytes of a request that are read: its first line is all that matters
PATIENCE = 2.0  # seconds for a request to come and its answer to go
CLIENTS = 256  # at once; who comes then takes the place of another one
TICK = 0.5  # seconds between two calls of `tick` at the latest
_WORDS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}
_METHODS = {"GET", "HEAD", "OPTIONS"}


class Client:
    """A connection: what it has said, then what it is still to get."""

    __slots__ = ("address", "answer", "deadline", "said", "socket")

    def __init__(self, connection: socket.socket, address: str) -> None:
        self.socket = connection
        self.address = address
        self.deadline = monotonic() + PATIENCE
        self.said = bytearray()
        self.answer = b""


class Allowed:
    """Whom to answer: this host itself, the addresses of the members, and addresses or networks beside them."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(one, strict=False) for one in addresses]

    def __contains__(self, address: object) -> bool:
        found: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(str(address).partition("%")[0])
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return found.is_loopback or any(found in one for one in self._networks)


class Server:
    """Answers GET, HEAD and OPTIONS on some listening sockets, to clients of `allowed` addresses.

    `answer` gives status and line of a path.
    """

    def __init__(
        self, listeners: Iterable[socket.socket], allowed: Container[str], answer: Callable[[str], Answer]
    ) -> None:
        self._allowed = allowed
        self._answer = answer
        self._clients: dict[Client, None] = {}  # in the order in which they came
        self._selector = selectors.DefaultSelector()
        for one in listeners:
            one.settimeout(0)
            self._selector.register(one, selectors.EVENT_READ, one)

    def serve(self, tick: Callable[[], None]) -> None:
        """Serve for ever; `tick` is called again and again."""
        while True:
            for key, _ in self._selector.select(TICK):
                if not isinstance(key.data, Client):
                    self._accept(key.data)
                elif key.data in self._clients:  # it may have had to go just now
                    self._go_on(key.data)
            now = monotonic()
            for client in [one for one in self._clients if now > one.deadline]:
                self._close(client)
            tick()

    def _accept(self, listener: socket.socket) -> None:
        try:
            connection, address = listener.accept()
        except OSError:
            return  # gone already
        if address[0] not in self._allowed:
            connection.close()
            return
        if len(self._clients) >= CLIENTS:
            self._close(self._oldest_of_the_most())
        connection.settimeout(0)
        client = Client(connection, address[0])
        self._clients[client] = None
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _oldest_of_the_most(self) -> Client:
        """The oldest connection from where most come: whoever floods us is in nobody's way but its own."""
        counts: dict[str, int] = {}
        for one in self._clients:
            counts[one.address] = counts.get(one.address, 0) + 1
        most = max(counts, key=lambda address: counts[address])
        return next(one for one in self._clients if one.address == most)

    def _close(self, client: Client) -> None:
        del self._clients[client]
        self._selector.unregister(client.socket)
        client.socket.close()

    def _go_on(self, client: Client) -> None:
        try:
            if not client.answer:
                more = client.socket.recv(REQUEST)
                client.said += more
                if not more or len(client.said) > REQUEST:
                    self._close(client)
                    return
                if not (b"\r\n\r\n" in client.said or b"\n\n" in client.said):
                    return
                client.answer = self.respond(bytes(client.said))
                self._selector.modify(client.socket, selectors.EVENT_WRITE, client)
            client.answer = client.answer[client.socket.send(client.answer) :]
            if not client.answer:
                self._close(client)
        except BlockingIOError:
            return
        except OSError:
            self._close(client)

    def respond(self, said: bytes) -> bytes:
        """The whole response to a request."""
        words = said.split(b"\n", 1)[0].decode("latin-1").split()
        method, path = words[:2] if len(words) == 3 and words[2].startswith("HTTP/") else ("", "")  # noqa: PLR2004
        if not method:
            return _response("GET", 400, "no HTTP request")
        if method not in _METHODS:
            return _response(method, 405, "only GET, HEAD and OPTIONS are answered")
        found = self._answer(path)
        return _response(method, found.status, found.text)


def _response(method: str, status: int, text: str) -> bytes:
    body = f"{text}\n".encode()
    kind = "application/json" if text.startswith("{") else "text/plain; charset=utf-8"
    head = (
        f"HTTP/1.1 {status} {_WORDS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + (b"" if method == "HEAD" else body)
