"""The measuring client, against a server on loopback that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from hakit.drill.prober import Measurement, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def server(answer: bytes, pause: tuple[float, float] | None = None) -> AsyncIterator[str]:
    """Answers everyone, except between the two seconds of `pause` after its start."""
    began = time.monotonic()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        since = time.monotonic() - began
        if pause is not None and pause[0] < since < pause[1]:
            await reader.read()
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    listening.close()


async def seen(answer: bytes, seconds: float, pause: tuple[float, float] | None = None) -> Measurement:
    async with server(answer, pause) as url:
        return (await run([url], seconds))[url]


def test_a_steady_service_has_no_gap() -> None:
    result = asyncio.run(seen(b"HTTP/1.1 200 OK\r\n\r\nok", 0.6))
    assert result.failed == 0
    assert result.ended_well
    assert result.succeeded == result.requests >= 20
    assert result.longest_gap < 0.2


def test_a_pause_is_measured() -> None:
    result = asyncio.run(seen(b"HTTP/1.1 204 No\r\n\r\n", 1.6, pause=(0.3, 0.9)))
    assert 0.55 <= result.longest_gap <= 0.8
    assert result.errors == {"timeout": result.failed}
    assert result.ended_well
    assert len(result.gaps) == 1


def test_a_wrong_answer_is_a_failure() -> None:
    result = asyncio.run(seen(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", 0.3))
    assert result.succeeded == 0
    assert result.errors == {"answer 503": result.failed}
    assert not result.ended_well


def test_a_service_that_never_comes_back_is_one_long_gap() -> None:
    result = asyncio.run(seen(b"HTTP/1.1 200 OK\r\n\r\n", 1.2, pause=(0.2, 99)))
    assert result.longest_gap > 0.9
    assert not result.ended_well


@pytest.mark.parametrize("way", ["stdin", "seconds"])
def test_the_program_ends_when_told(way: str) -> None:
    url = "http://127.0.0.1:1/"
    command = [sys.executable, "-m", "hakit.drill.prober", url, *(["--seconds", "0.2"] if way == "seconds" else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as prober:
        out, _ = prober.communicate(timeout=20)
    result = json.loads(out)[url]
    assert result["succeeded"] == 0
    assert prober.returncode == 0
