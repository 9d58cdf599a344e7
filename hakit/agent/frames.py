"""The shared codec: a frame is a 4-byte big-endian length and that many bytes of JSON, an object, in UTF-8."""

from __future__ import annotations

from hakit.agent import jsonlite
from hakit.agent.errors import FrameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HEAD = 4
TO_HOST = 64 << 20  # bytes of JSON in one frame towards a host: a site's largest set of files, with room
TO_CONTROLLER = 16 << 20  # bytes in one frame from a host, which may be anybody's


def encode(frame: dict[str, Any], limit: int) -> bytes:
    """The bytes of one frame. Raises FrameError when it is larger than `limit`."""
    body = jsonlite.dumps(frame).encode("ascii")
    if len(body) > limit:
        raise FrameError(f"a frame of {len(body)} bytes is too large: {limit} are allowed")
    return len(body).to_bytes(HEAD, "big") + body


class Decoder:
    """Turns the bytes of one direction into frames, however they are cut into pieces."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes as they come."""
        self._buffer += data

    @property
    def empty(self) -> bool:
        """Whether nothing but whole frames came so far."""
        return not self._buffer

    def next(self) -> dict[str, Any] | None:
        """The next whole frame, or None when more bytes are needed. Raises FrameError."""
        if len(self._buffer) < HEAD:
            return None
        size = int.from_bytes(self._buffer[:HEAD], "big")
        if size > self._limit:
            raise FrameError(f"a frame of {size} bytes is announced: {self._limit} are allowed")
        if len(self._buffer) < HEAD + size:
            return None
        body = bytes(self._buffer[HEAD : HEAD + size])
        del self._buffer[: HEAD + size]
        try:
            frame = jsonlite.loads(body.decode("utf-8"))
        except ValueError as error:
            raise FrameError(f"a frame is not JSON: {error}") from None
        if not isinstance(frame, dict):
            raise FrameError("a frame is not a JSON object")
        return frame
