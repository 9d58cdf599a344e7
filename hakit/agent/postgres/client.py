"""SQL over the server's UNIX socket: the simple query protocol, the peer's user as the only proof of who we are.

Source of the protocol: PostgreSQL documentation, chapter "Frontend/Backend Protocol" (version 3.0).
"""

from __future__ import annotations

import _socket
import os
from time import monotonic

from hakit.agent.errors import Failure
from hakit.agent.postgres.place import USER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket as Socket  # noqa: N812 - it is a class

    Row = tuple[str | None, ...]

PROTOCOL = 196608  # 3.0
LARGEST = 64 << 20  # bytes of one message that are believed
TIMEOUT = 5.0  # seconds until a query must have been answered
LOOK = 1.0  # seconds after which a wait is begun anew: a main thread that never runs is taken for one that hangs
_CHUNK = 1 << 16
_EXPECTED = frozenset({b"T", b"D", b"C", b"I", b"E", b"Z", b"N", b"S", b"A", b"K", b"R"})  # others mean COPY, say


class SqlError(Failure):
    """The server refused. `sqlstate` is its five characters (PostgreSQL documentation, appendix A)."""

    def __init__(self, message: str, sqlstate: str = "", output: str = "") -> None:
        super().__init__(message, output=output)
        self.sqlstate = sqlstate


class UnansweredError(SqlError):
    """Nobody listens (08001), or who listens did not answer in time or broke off (08006)."""


class BrokenOffError(UnansweredError):
    """Who listened broke off (08006): its server ends."""


class Connection:
    """A session with the server that listens in `folder` on `port`, as the role `user`.

    As root we are for the moment of connecting the user of that name: the server asks the kernel who connects. Within
    `timeout` seconds the server must have accepted us, and must answer each query; it gives a query up then, too.
    Raises SqlError, UnansweredError.
    """

    def __init__(
        self, folder: str, port: int, database: str = "postgres", *, user: str = USER, timeout: float = TIMEOUT
    ) -> None:
        self.timeout = timeout
        self._read = bytearray()
        self._deadline = monotonic() + timeout
        self._socket: Socket = _socket.socket(  # type: ignore[assignment]  # the base class has all we use
            _socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC
        )
        try:
            self._connect(f"{folder}/.s.PGSQL.{port}", user)
            self._greet(user, database)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Connection:  # noqa: PYI034 - typing.Self is newer than Python 3.9
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session; what the server was still doing it gives up."""
        self._socket.close()

    def query(self, sql: str) -> list[Row]:
        """The rows of the last of some statements that gave any kind of rows; values as text, NULL as None."""
        results = self.results(sql)
        return results[-1] if results else []

    def results(self, sql: str) -> list[list[Row]]:
        """The rows of each of some statements that gives rows, in one round trip and one transaction."""
        self._deadline = monotonic() + self.timeout
        self._send(b"Q", _text(sql))
        found: list[list[Row]] = []
        error: SqlError | None = None
        while True:
            kind, body = self._receive()
            if kind == b"Z":
                break
            if kind == b"T":
                found.append([])
            elif kind == b"D":
                found[-1].append(_row(body))
            elif kind == b"E":
                error = _refusal(body)
                if _fields(body).get("V") in {"FATAL", "PANIC"}:
                    break
        if error is not None:
            raise error
        return found

    def _connect(self, path: str, user: str) -> None:
        switch = _uid(user) if os.geteuid() == 0 else 0
        self._socket.settimeout(self.timeout)
        try:
            if switch:
                os.seteuid(switch)
            try:
                self._socket.connect(path)
            finally:
                if switch:
                    os.seteuid(0)
        except _socket.timeout:
            raise UnansweredError(f"the server does not accept connections ({path})", "08006") from None
        except OSError as error:
            raise UnansweredError(f"no server listens on {path}: {error.strerror or error}", "08001") from None

    def _greet(self, user: str, database: str) -> None:
        settings = {
            "user": user,
            "database": database,
            "application_name": "hakit",
            "client_encoding": "UTF8",
            "statement_timeout": str(max(1, int(self.timeout * 1000))),
        }
        body = PROTOCOL.to_bytes(4, "big")
        body += b"".join(_text(name) + _text(value) for name, value in settings.items()) + b"\0"
        self._put((len(body) + 4).to_bytes(4, "big") + body)
        while True:
            kind, body = self._receive()
            if kind == b"Z":
                return
            if kind == b"E":
                raise _refusal(body)
            if kind == b"R" and body[:4] != b"\0\0\0\0":
                raise SqlError(f"pg_hba.conf wants more than the local user as proof for {user}", "28000")

    def _send(self, kind: bytes, body: bytes) -> None:
        self._put(kind + (len(body) + 4).to_bytes(4, "big") + body)

    def _put(self, data: bytes) -> None:
        try:
            while data:
                self._limit()
                data = data[self._socket.send(data) :]
        except OSError as error:
            raise _broken(error) from None

    def _receive(self) -> tuple[bytes, bytes]:
        """The next message: kind and body."""
        self._fill(5)
        kind, size = bytes(self._read[:1]), int.from_bytes(self._read[1:5], "big")
        if not 4 <= size <= LARGEST or kind not in _EXPECTED:  # noqa: PLR2004 - the size counts itself
            raise UnansweredError(f"no message of a query's answer: {kind!r}, {size} bytes", "08P01")
        self._fill(size + 1)
        body = bytes(self._read[5 : size + 1])
        del self._read[: size + 1]
        return kind, body

    def _fill(self, size: int) -> None:
        try:
            while len(self._read) < size:
                more = self._more()
                if not more:
                    raise BrokenOffError("the server broke off", "08006")
                self._read += more
        except OSError as error:
            raise _broken(error) from None

    def _more(self) -> bytes:
        while True:
            self._limit()
            try:
                return self._socket.recv(_CHUNK)
            except _socket.timeout:
                continue

    def _limit(self) -> None:
        left = self._deadline - monotonic()
        if left <= 0:
            raise _socket.timeout
        self._socket.settimeout(min(left, LOOK))


def _broken(error: OSError) -> UnansweredError:
    if isinstance(error, _socket.timeout):
        return UnansweredError("the server did not answer in time", "08006")
    return BrokenOffError(f"the server broke off: {error.strerror or error}", "08006")


def _uid(user: str) -> int:
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise UnansweredError(f"there is no server: no such user on this host: {user}", "08001") from None


def _text(text: str) -> bytes:
    if "\0" in text:
        raise SqlError("SQL can't hold a NUL character", "22021")
    try:
        return text.encode("utf-8") + b"\0"
    except UnicodeEncodeError:
        raise SqlError("that is no Unicode text", "22021") from None


def _row(body: bytes) -> Row:
    """The values of a DataRow: their number in two bytes, then each one's length in four (-1: NULL) and its bytes."""
    values: list[str | None] = []
    at = 2
    for _ in range(int.from_bytes(body[:2], "big")):
        size = int.from_bytes(body[at : at + 4], "big", signed=True)
        at += 4
        if size < 0:
            values.append(None)
            continue
        values.append(body[at : at + size].decode("utf-8", "replace"))
        at += size
    return tuple(values)


def _fields(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse: V severity, C SQLSTATE, M message, D detail, H hint, W context and others."""
    parts = body.decode("utf-8", "replace").split("\0")
    return {part[0]: part[1:] for part in parts if part}


def _refusal(body: bytes) -> SqlError:
    fields = _fields(body)
    more = [fields[name] for name in ("D", "H", "W") if name in fields]
    return SqlError(fields.get("M", "the server refused"), fields.get("C", ""), "\n".join(more))
