"""A client that asks a URL at a steady pace over a new connection each time, and measures the gaps between answers.

Runs as a program of its own inside a network namespace: `python -m hakit.drill.prober URL…`. It asks until its
standard input closes (or for `--seconds`), then prints one JSON object: URL → measurement. A request that takes longer
than the timeout does not delay the next one, so a gap is measured to within the pace.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

PACE = 0.02
"""Seconds between two requests."""
TIMEOUT = 0.3
"""Seconds after which a request has failed."""
READ = 4096


@dataclass(slots=True)
class Measurement:
    """What a client saw of one URL.

    `longest_gap` is the longest time in seconds between the ends of two successful requests; `gaps` are all over 0.1 s
    as (seconds since the first success, length). `errors` counts kinds of failure.
    """

    requests: int = 0
    succeeded: int = 0
    failed: int = 0
    longest_gap: float = 0.0
    gaps: list[tuple[float, float]] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    ended_well: bool = False
    first: float | None = field(default=None, repr=False)
    last: float | None = field(default=None, repr=False)

    def success(self, now: float) -> None:
        """Record an answer."""
        self.succeeded += 1
        if self.first is None or self.last is None:
            self.first = self.last = now
            return
        gap = now - self.last
        self.longest_gap = max(self.longest_gap, gap)
        if gap > 0.1:  # noqa: PLR2004  shorter gaps are no news
            self.gaps.append((round(self.last - self.first, 3), round(gap, 3)))
        self.last = max(self.last, now)

    def failure(self, kind: str) -> None:
        """Record a request without a good answer."""
        self.failed += 1
        self.errors[kind] = self.errors.get(kind, 0) + 1

    def close(self, now: float) -> None:
        """Count what is still open as a gap: a service that never came back has no second success."""
        if self.last is not None:
            self.longest_gap = max(self.longest_gap, now - self.last)
            self.ended_well = now - self.last < TIMEOUT + 2 * PACE


async def ask(host: str, port: int, path: str) -> str:
    """One request over a new connection: "" when the answer is 2xx, else the kind of failure."""
    writer = None
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            head = await reader.readline()
            while await reader.read(READ):
                pass
        return "" if head[9:10] == b"2" else f"answer {head[9:12].decode(errors='replace') or 'none'}"
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return error.strerror or type(error).__name__
    finally:
        if writer is not None:
            writer.transport.abort()


async def measure(url: str, until: asyncio.Event) -> Measurement:
    """Ask until told to stop."""
    parts = urlsplit(url)
    host, port, path = parts.hostname or "", parts.port or 80, parts.path or "/"
    seen = Measurement()
    open_requests: set[asyncio.Task[None]] = set()

    async def once() -> None:
        problem = await ask(host, port, path)
        if problem:
            seen.failure(problem)
        else:
            seen.success(time.monotonic())

    next_at = time.monotonic()
    while not until.is_set():
        seen.requests += 1
        task = asyncio.create_task(once())
        open_requests.add(task)
        task.add_done_callback(open_requests.discard)
        next_at = max(next_at + PACE, time.monotonic())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(until.wait(), max(0.0, next_at - time.monotonic()))
    stopped = time.monotonic()
    await asyncio.gather(*open_requests)
    seen.close(stopped)
    return seen


async def run(urls: list[str], seconds: float | None) -> dict[str, Measurement]:
    """Ask all URLs side by side until standard input closes or the seconds are over."""
    until = asyncio.Event()
    loop = asyncio.get_running_loop()
    if seconds is not None:
        loop.call_later(seconds, until.set)
    else:
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        waiting = asyncio.create_task(reader.read())
        waiting.add_done_callback(lambda _: until.set())
    results = await asyncio.gather(*(measure(url, until) for url in urls))
    return dict(zip(urls, results, strict=True))


def main() -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(prog="hakit.drill.prober", description=__doc__)
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--seconds", type=float, help="ask for this long instead of until standard input closes")
    options = parser.parse_args()
    results = asyncio.run(run(options.urls, options.seconds))
    sys.stdout.write(json.dumps({url: asdict(seen) for url, seen in results.items()}) + "\n")


if __name__ == "__main__":
    main()
