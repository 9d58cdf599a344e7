"""A client that asks for a page over a new connection every 20 ms; a program of its own, standard library only.

    python client.py ADDRESS PORT PATH

Prints `ready` after the first success. Ends when its stdin is closed and every request has ended; then prints one JSON
value: {"successes": [[time, first line of the body], …], "failures": [[time, reason], …], "until": time}, in monotonic
seconds at which the outcome was known, or the asking ended. It never waits for one request before it makes the next.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time

INTERVAL = 0.02
TIMEOUT = 0.3


class Attempt:
    """One request on a connection of its own."""

    def __init__(self, address: str, port: int, path: str) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.deadline = time.monotonic() + TIMEOUT
        self.request = f"GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode()
        self.answer = b""
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(0)
        self.socket.connect_ex((address, port))

    def step(self) -> bool:
        """Go on as far as possible; True when the answer has ended. Raises OSError."""
        if self.request:
            error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            self.request = self.request[self.socket.send(self.request) :]
            return False
        data = self.socket.recv(65536)
        self.answer += data
        return not data

    def verdict(self) -> tuple[bool, str]:
        """Whether this is a whole answer of status 200; the first line of its body, or what is wrong."""
        head, separator, body = self.answer.partition(b"\r\n\r\n")
        status = head.split(b"\r\n")[0].decode("latin-1")
        if " 200" not in status or not separator:
            return False, status or "closed without an answer"
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:") and int(line.split(b":")[1]) != len(body):
                return False, "answer cut short"
        return True, body.decode("utf-8", "replace").split("\n")[0]


class Client:
    """All requests, in flight and ended."""

    def __init__(self, address: str, port: int, path: str) -> None:
        self.target = (address, port, path)
        self.successes: list[tuple[float, str]] = []
        self.failures: list[tuple[float, str]] = []
        self.until = 0.0
        self._flying: set[Attempt] = set()
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Ask until stdin is closed."""
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        following = time.monotonic()
        asking = True
        while asking or self._flying:
            now = time.monotonic()
            if asking and now >= following:
                following = max(following + INTERVAL, now)
                self._start()
            for attempt in [one for one in self._flying if now >= one.deadline]:
                self._end(attempt, good=False, text="timeout")
            times = [one.deadline for one in self._flying] + ([following] if asking else [])
            for key, _ in self._selector.select(max(0.0, min(times, default=now) - now)):
                if isinstance(key.data, Attempt):
                    self._go_on(key.data)
                elif not sys.stdin.readline():
                    self._selector.unregister(sys.stdin)
                    asking = False
                    self.until = now

    def _start(self) -> None:
        attempt = Attempt(*self.target)
        self._flying.add(attempt)
        self._selector.register(attempt.socket, selectors.EVENT_WRITE, attempt)

    def _go_on(self, attempt: Attempt) -> None:
        try:
            if attempt.step():
                good, text = attempt.verdict()
                self._end(attempt, good=good, text=text)
            elif not attempt.request:
                self._selector.modify(attempt.socket, selectors.EVENT_READ, attempt)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(attempt, good=False, text=str(error))

    def _end(self, attempt: Attempt, *, good: bool, text: str) -> None:
        self._selector.unregister(attempt.socket)
        attempt.socket.close()
        self._flying.discard(attempt)
        (self.successes if good else self.failures).append((time.monotonic(), text))
        if good and len(self.successes) == 1:
            say("ready")


def say(line: str) -> None:
    """Tell whoever started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Probe, then report."""
    client = Client(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    client.run()
    say(json.dumps({"successes": client.successes, "failures": client.failures, "until": client.until}))


if __name__ == "__main__":
    main()
