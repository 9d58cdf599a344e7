"""Servers on a Unix socket that answer JSON lines, as QEMU and its guest agent do."""

from __future__ import annotations

import array
import base64
import json
import os
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Answer = Callable[[dict[str, Any], list[int]], list[bytes]]


@contextmanager
def serving(path: Path, greeting: bytes, answer: Answer) -> Iterator[list[dict[str, Any]]]:
    """Serve one client after another; yields what they asked. An empty list of answers hangs up."""
    asked: list[dict[str, Any]] = []
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(4)

    def client(line: socket.socket) -> None:
        line.sendall(greeting)
        read = b""
        handles: list[int] = []
        while True:
            data, control, _, _ = line.recvmsg(4096, 1024)
            if not data:
                return
            for _, _, raw in control:
                found = array.array("i")
                found.frombytes(raw)
                handles += list(found)
            read += data
            while b"\n" in read:
                one, _, read = read.partition(b"\n")
                request = json.loads(one.lstrip(b"\xff"))
                asked.append(request)
                answers = answer(request, handles)
                if not answers:
                    return
                line.sendall(b"".join(answers))

    def serve() -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            # A client may hang up in the middle of an answer.
            with line, suppress(ConnectionError):
                client(line)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def line(value: object) -> bytes:
    """A JSON line."""
    return json.dumps(value).encode() + b"\n"


def same_file(one: int, other: int) -> bool:
    """Whether two descriptors are of one open file."""
    return os.path.sameopenfile(one, other)


class Agent:
    """A guest agent whose commands end at the second look."""

    def __init__(self, ended: dict[str, Any], stale: bytes = b"") -> None:
        self.ended = ended
        self.stale = stale
        self.looks = 0
        self.silent = 0

    def __call__(self, request: dict[str, Any], _: list[int]) -> list[bytes]:
        match request["execute"]:
            case "guest-sync-delimited":
                if self.silent:
                    self.silent -= 1
                    return []
                return [self.stale, b"\xff", line({"return": request["arguments"]["id"]})]
            case "guest-exec":
                if request["arguments"]["path"] == "missing":
                    return [line({"error": {"desc": "Failed to execute child process"}})]
                self.looks = 0
                return [line({"return": {"pid": 7}})]
        self.looks += 1
        return [line({"return": {"exited": False} if self.looks == 1 else {"exited": True, **self.ended}})]


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
