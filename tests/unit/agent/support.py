"""A real agent in a process of its own, with a folder for its root."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.agent.client import Client

if TYPE_CHECKING:
    from pathlib import Path

ME = __import__("pwd").getpwuid(os.getuid()).pw_name
MY_GROUP = __import__("grp").getgrgid(os.getgid()).gr_name


class PipeChannel:
    """The client's channel over the pipes of a process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def recv(self, size: int, timeout: float) -> bytes:
        assert self.process.stdout is not None
        fd = self.process.stdout.fileno()
        if not select.select([fd], [], [], timeout)[0]:
            raise TimeoutError
        return os.read(fd, size)

    def stderr_tail(self) -> str:
        assert self.process.stderr is not None
        fd = self.process.stderr.fileno()
        os.set_blocking(fd, False)
        try:
            return os.read(fd, 1 << 16).decode()
        except BlockingIOError:
            return ""

    def exit_status(self, timeout: float) -> int | None:
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                pass
        self.process.wait(20)
        assert self.process.stderr is not None
        self.process.stderr.close()


def popen(argv: list[str] | str, **options: object) -> PipeChannel:
    pipe = subprocess.PIPE
    shell = isinstance(argv, str)
    return PipeChannel(subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, shell=shell, **options))  # type: ignore[call-overload]
