"""Probes of what a host says of itself: addresses, files, sockets."""

from __future__ import annotations

import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from hakit.agent.probes import Probe
from tests.unit.agent.test_acting import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.answers import ProbeResult
    from tests.unit.agent.agent_support import Agents

# Exponential for a search that goes back: without a limit it would outlive the test.
EXPLODES = "(a+)+$"


def ask(agents: Agents, **fields: object) -> ProbeResult:
    with agents.client(lock=False) as client:
        return client.probe([Probe(**fields)])[0]  # type: ignore[arg-type]  # fields of Probe


@pytest.mark.parametrize(("address", "here"), [("127.0.0.1", True), ("::1", True), ("203.0.113.77", False)])
def test_absent_is_the_opposite_of_address(agents: Agents, address: str, here: bool) -> None:
    if address == "::1" and not os.path.exists("/proc/net/if_inet6"):  # noqa: PTH110 - the agent's own view
        here = False
    assert ask(agents, kind="address", target=address).ok == here
    assert ask(agents, kind="absent", target=address).ok != here


@pytest.mark.parametrize(("match", "ok"), [("^(MASTER|BACKUP)$", True), ("BACK", True), ("FAULT", False), ("", True)])
def test_a_file_says(agents: Agents, match: str, ok: bool) -> None:
    agents.write("/run/state", "BACKUP\n")
    result = ask(agents, kind="says", target="/run/state", match=match)
    assert (result.ok, result.detail) == (ok, "BACKUP\n")


@pytest.mark.parametrize("thing", ["missing", "folder", "link", "fifo"])
def test_what_is_no_file_says_nothing(agents: Agents, thing: str) -> None:
    path = agents.root / "run/state"
    secret = agents.write("/etc/shadow", "BACKUP")
    if thing == "folder":
        path.mkdir()
    if thing == "link":
        path.symlink_to(secret)
    if thing == "fifo":
        os.mkfifo(path)
    result = ask(agents, kind="says", target="/run/state", match="")
    assert not result.ok
    assert "BACKUP" not in result.detail


@pytest.mark.parametrize(
    ("answer", "ends", "match", "ok"),
    [
        (b"a,UP\nb,DOWN\n", True, "^b,DOWN$", True),
        (b"a,UP\nb,DOWN\n", True, "^b,UP$", False),
        (b"a,UP\n> ", False, "^a,UP$", True),
        (b"x" * 300_000 + b"end", True, "end", False),
    ],
)
def test_a_daemon_answers(agents: Agents, answer: bytes, ends: bool, match: str, ok: bool) -> None:
    daemon = Daemon(agents, answer, ends=ends)
    result = ask(agents, kind="socket", target="/run/daemon.sock", text="show stat", match=match, timeout=0.5)
    daemon.close()
    assert result.ok == ok
    assert result.detail.encode() == answer[: 256 << 10]
    assert daemon.got == [b"show stat\n"]


def test_a_daemon_that_hangs_is_not_waited_for(agents: Agents) -> None:
    daemon = Daemon(agents, b"", ends=False)
    result = ask(agents, kind="socket", target="/run/daemon.sock", text="show stat", match="", timeout=0.2)
    daemon.close()
    assert not result.ok
    assert 0.15 < result.seconds < 2


def test_a_search_that_explodes_is_cut_short(agents: Agents) -> None:
    agents.write("/run/state", "a" * 60 + "b")
    began = time.monotonic()
    result = ask(agents, kind="says", target="/run/state", match=EXPLODES, timeout=0.3)
    assert not result.ok
    assert "took too long" in result.detail
    assert time.monotonic() - began < 5


def test_what_is_no_regex_is_told(agents: Agents) -> None:
    agents.write("/run/state", "x")
    assert "is no regex" in ask(agents, kind="says", target="/run/state", match="(").detail


class Answering(BaseHTTPRequestHandler):
    """Answers `/state` with a mapping, and everything else with a reason why not."""

    def do_GET(self) -> None:
        good = self.path == "/state"
        body = b'{"role": "standby"}' if good else b"held: it is being changed\n"
        self.send_response(200 if good else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "match", "expected"),
    [
        ("state", "standby", (True, '{"role": "standby"}')),
        ("state", "primary", (False, '{"role": "standby"}')),
        ("primary", "held", (False, "held: it is being changed\n")),
    ],
)
def test_an_answer_has_to_match(agents: Agents, web: str, path: str, match: str, expected: tuple[bool, str]) -> None:
    result = ask(agents, kind="http", target=f"{web}/{path}", match=match)
    assert (result.ok, result.detail) == expected


def test_without_a_match_only_the_status_counts(agents: Agents, web: str) -> None:
    assert ask(agents, kind="http", target=f"{web}/primary").detail == f"{web}/primary answers 503 Service Unavailable"
