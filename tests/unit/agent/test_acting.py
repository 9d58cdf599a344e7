"""Actions and marks, by a real agent on a root of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from hakit.agent import frames
from hakit.agent.actions import Action, Mark
from hakit.agent.resources.unit import Unit
from hakit.agent.starting import AgentGone
from hakit.agent.wire import action_from_wire, mark_from_wire, wire
from tests.unit.agent.agent_support import Agents, ForkChannel, files
from tests.unit.agent.agent_support import one as file_of

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.agent.answers import ActResult

# A systemd with one unit: what it is, is in files; what was asked is in `asked`.
SYSTEMCTL = """#!/bin/sh
cd "${0%/*}/../fake"
echo "$@" | sed 's/ --quiet//; s/ --//' >> asked
case "$1" in
show) echo LoadState=loaded; echo Type=notify; echo "ActiveState=$(cat active)"; echo "UnitFileState=$(cat enabled)" ;;
enable) echo enabled > enabled ;;
disable) echo disabled > enabled ;;
start) cat after-start > active; test "$(cat active)" != refused || exit 1 ;;
stop) echo inactive > active ;;
esac
"""
MARK = Mark(host="web1", kind="rolling", who="ops", since="2026-11-22T16:03:11Z", run="r1", why="a reason")


@pytest.fixture
def systemd(agents: Agents) -> Path:
    folder = agents.root / "fake"
    folder.mkdir()
    for name, text in (("active", "active"), ("enabled", "enabled"), ("after-start", "active"), ("asked", "")):
        (folder / name).write_text(text + "\n")
    program = agents.root / "bin/systemctl"
    program.write_text(SYSTEMCTL)
    program.chmod(0o755)
    return folder


def asked(systemd: Path) -> list[str]:
    return [line for line in (systemd / "asked").read_text().splitlines() if line and not line.startswith("show")]


def act(agents: Agents, *actions: Action, mark: Mark | None = None) -> tuple[ActResult, ...]:
    with agents.client() as client:
        return client.act(actions, mark)


def marks(agents: Agents) -> tuple[Mark, ...]:
    with agents.client(lock=False) as client:
        return client.hello(run="r", who="w", lock=False, packages=[]).marks


STOP, START = Action(kind="stop", target="d.service"), Action(kind="start", target="d.service")
STATE = "/var/lib/hakit-test/drained/web"
WRITE, REMOVE = Action(kind="write", target=STATE, text="1\n"), Action(kind="remove", target=STATE)


def test_an_action_and_a_mark_arrive_as_they_were_sent() -> None:
    assert action_from_wire(wire(WRITE)) == WRITE
    assert mark_from_wire(wire(MARK)) == MARK


def test_a_stop_disables_and_a_start_in_another_session_enables_again(agents: Agents, systemd: Path) -> None:
    assert act(agents, STOP)[0].ok
    assert act(agents, STOP)[0].ok
    assert (systemd / "enabled").read_text() == "disabled\n"
    assert act(agents, START)[0].ok
    assert act(agents, START)[0].ok
    assert asked(systemd) == ["disable d.service", "stop d.service", "enable d.service", "start d.service"]
    assert ((systemd / "enabled").read_text(), (systemd / "active").read_text()) == ("enabled\n", "active\n")


def test_what_was_not_enabled_is_not_enabled(agents: Agents, systemd: Path) -> None:
    (systemd / "enabled").write_text("disabled\n")
    act(agents, STOP, START)
    assert asked(systemd) == ["stop d.service", "start d.service"]


def test_a_unit_that_was_enabled_as_declared_is_not_enabled_once_more(agents: Agents, systemd: Path) -> None:
    """A change on which the members agree stops a unit, and its declaration enables it again."""
    act(agents, STOP)
    assert agents.apply(Unit(unit="d.service", running=None, component="test")).item("unit:d.service").summary == (
        "enable",
    )
    (systemd / "enabled").write_text("disabled\n")
    act(agents, START)
    assert (systemd / "enabled").read_text() == "disabled\n"


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("failed", "d.service is failed after start"),
        ("refused", "start d.service: systemctl failed with exit 1"),
        ("activating", "d.service is not active within 0.3 s"),
    ],
)
def test_a_start_that_fails_says_so_and_can_be_repeated(
    agents: Agents, systemd: Path, after: str, message: str
) -> None:
    act(agents, STOP)
    (systemd / "after-start").write_text(after + "\n")
    (result,) = act(agents, START.replace(timeout=0.3))
    assert not result.ok
    assert result.detail.startswith(message)
    (systemd / "after-start").write_text("active\n")
    (systemd / "active").write_text("failed\n")
    assert act(agents, START)[0].ok
    assert (systemd / "enabled").read_text() == "enabled\n"


@pytest.mark.parametrize("planned", [True, False])
def test_a_daemon_that_quotes_a_secret_and_dies_does_not_show_it(agents: Agents, systemd: Path, planned: bool) -> None:
    (systemd / "active").write_text("inactive\n")
    (systemd / "after-start").write_text("failed\n")
    journalctl = agents.root / "bin/journalctl"
    journalctl.write_text("#!/bin/sh\necho bad word: hunter2\n")
    journalctl.chmod(0o755)
    with agents.client() as client:
        if planned:
            client.plan([files(file_of("/etc/a.conf", "pw hunter2\n", 0o600, "pw <secret:x>\n"))], None)
        (result,) = client.act([START])
    said = "bad word: <secret:x>" if planned else "its journal, which may quote secrets:  journalctl -u d.service"
    assert result.detail == f"d.service is failed after start\n{said}"


def test_a_small_file_comes_and_goes(agents: Agents) -> None:
    (agents.root / "var/lib").mkdir(parents=True)
    assert [one.ok for one in act(agents, WRITE, WRITE)] == [True, True]
    file = agents.root / STATE.lstrip("/")
    assert file.read_text() == "1\n"
    assert [oct(path.stat().st_mode & 0o777) for path in (file, file.parent)] == ["0o644", "0o755"]
    assert [one.name for one in file.parent.iterdir()] == ["web"]
    assert [one.ok for one in act(agents, REMOVE, REMOVE)] == [True, True]
    assert not file.exists()


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "/var/lib/hakit/manifest.json",
        "/var/lib/hakit-/x",
        "/var/lib/hakit-x",
        "/var/lib/hakit-x/",
        "/var/lib/hakit-x/../hakit/lock",
        "/var/lib/hakit-x//y",
        "/run/hakit/x",
        "hakit-x/y",
        "",
        "/run/hakit-x/a\0b",
    ],
)
@pytest.mark.parametrize("kind", ["write", "remove"])
def test_no_other_place_is_touched(agents: Agents, kind: str, target: str) -> None:
    (agents.root / "var/lib").mkdir(parents=True)
    before = agents.tree()
    (result,) = act(agents, Action(kind=kind, target=target, text="x"))
    assert not result.ok
    assert "is no place for an action" in result.detail
    assert agents.tree() == before


@pytest.mark.parametrize("link", ["var/lib/hakit-test", "var/lib/hakit-test/drained"])
def test_no_link_is_followed_on_the_way(agents: Agents, link: str) -> None:
    elsewhere = agents.root / "etc/elsewhere/drained"
    elsewhere.mkdir(parents=True)
    (elsewhere / "web").write_text("theirs")
    path = agents.root / link
    path.parent.mkdir(parents=True)
    path.symlink_to(elsewhere.parent if path.name == "hakit-test" else elsewhere)
    assert [one.ok for one in act(agents, WRITE, REMOVE)] == [False, False]
    assert (elsewhere / "web").read_text() == "theirs"


def test_a_link_in_the_place_of_the_file_is_replaced(agents: Agents) -> None:
    path = agents.root / STATE.lstrip("/")
    path.parent.mkdir(parents=True)
    path.symlink_to(agents.write("/etc/theirs", "theirs"))
    assert act(agents, WRITE)[0].ok
    assert not path.is_symlink()
    assert agents.read("/etc/theirs") == "theirs"


class Daemon:
    """A daemon's command line: answers each connection once."""

    def __init__(self, agents: Agents, answer: bytes, *, ends: bool = True) -> None:
        self.path = agents.root / "run/daemon.sock"
        self.got: list[bytes] = []
        self._answer, self._ends = answer, ends
        self._open: list[socket.socket] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(self.path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._server.accept()
            except OSError:
                return
            self._open.append(one)
            self.got.append(one.recv(4096))
            with one if self._ends else one.dup() as answering:
                try:
                    answering.sendall(self._answer)
                except BrokenPipeError:
                    continue

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for one in self._open:
            one.close()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.mark.parametrize(
    ("answer", "ends", "ok", "detail"),
    [
        (b"\n", True, True, ""),
        (b"", True, True, ""),
        (b"No such server.\n\n", True, False, "No such server."),
        (b"No such server.\n> ", False, False, "No such server.\n>"),
        (b"", False, False, "/run/daemon.sock did not answer within 0.3 s"),
        (b"x" * 300_000, True, False, "x" * (256 << 10)),
    ],
)
def test_a_line_goes_to_a_daemon(agents: Agents, answer: bytes, ends: bool, ok: bool, detail: str) -> None:
    daemon = Daemon(agents, answer, ends=ends)
    action = Action(kind="socket", target="/run/daemon.sock", text="set server a/b state drain", timeout=0.3)
    (result,) = act(agents, action)
    daemon.close()
    assert (result.ok, result.detail) == (ok, detail)
    assert daemon.got == [b"set server a/b state drain\n"]


@pytest.mark.parametrize(
    ("text", "message"), [("one\ntwo", "only one line can be sent"), ("one", "No such file or directory")]
)
def test_what_can_not_be_sent_is_told(agents: Agents, text: str, message: str) -> None:
    (result,) = act(agents, Action(kind="socket", target="/run/nobody.sock", text=text))
    assert not result.ok
    assert message in result.detail


def test_all_actions_are_done_also_after_a_failure(agents: Agents) -> None:
    (agents.root / "var/lib").mkdir(parents=True)
    results = act(agents, Action(kind="dance", target="x"), WRITE)
    assert [one.ok for one in results] == [False, True]
    assert results[0].detail == "no such kind of action: dance"


def test_a_mark_is_kept_until_the_host_is_back(agents: Agents) -> None:
    (agents.root / "var/lib").mkdir(parents=True)
    act(agents, WRITE, mark=MARK)
    assert marks(agents) == (MARK,)
    act(agents, REMOVE, Action(kind="dance", target="x"), mark=MARK.replace(kind=""))
    assert marks(agents) == (MARK,), "what failed may leave the host out of service"
    act(agents, REMOVE, mark=MARK.replace(kind=""))
    assert marks(agents) == ()


def test_a_mark_is_there_before_the_first_action(agents: Agents) -> None:
    (agents.root / "var/lib").mkdir(parents=True)
    for number in range(1, 60):
        try:
            with agents.client(kill_at=number) as client:
                client.act([WRITE], MARK)
        except AgentGone:
            assert not (agents.root / STATE.lstrip("/")).exists() or marks(agents) == (MARK,)
            continue
        break
    assert number > 10, "the kills hit nothing"
    assert [path.name for path in (agents.root / STATE.lstrip("/")).parent.iterdir()] == ["web"]
    assert [path.name for path in (agents.state / "withdrawn").iterdir()] == ["web1.json"]


@pytest.mark.parametrize("host", ["", "../x", "a/b", ".x", "a b", "a\nb", "ä", "x" * 201])
def test_a_mark_of_no_host_does_nothing(agents: Agents, host: str) -> None:
    (agents.root / "var/lib").mkdir(parents=True)
    with pytest.raises(AgentGone, match="no host can have the name"):
        act(agents, WRITE, mark=MARK.replace(host=host))
    assert not (agents.root / STATE.lstrip("/")).exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("web2.json", "{"),
        ("web2.json", "[]"),
        ("web2.json", json.dumps({"host": "web2"})),
        ("web2.json", json.dumps({"host": "web3", "kind": "x", "who": "", "since": "", "run": "", "why": ""})),
        ("web2.json", "\xff\xfe"),
    ],
)
def test_a_damaged_mark_is_told_of_and_ignored(agents: Agents, name: str, text: str) -> None:
    act(agents, mark=MARK)
    (agents.state / "withdrawn" / name).write_text(text, encoding="latin-1")
    (agents.state / "withdrawn/web4.json").mkdir()
    with agents.client(lock=False) as client:
        hello = client.hello(run="r", who="w", lock=False, packages=[])
    assert hello.marks == (MARK,)
    assert len(hello.notes) == 2
    assert "web2.json is damaged and ignored" in hello.notes[0]


def test_a_mark_that_can_not_be_kept_stops_everything(agents: Agents) -> None:
    (agents.root / "var/lib").mkdir(parents=True)
    with agents.client() as client:
        (agents.state / "withdrawn").write_text("in the way")
        with pytest.raises(AgentGone, match="can't remember that web1 is out of service"):
            client.act([WRITE], MARK)
    assert not (agents.root / STATE.lstrip("/")).exists()


def test_nothing_is_done_without_the_lock(agents: Agents) -> None:
    with agents.client(lock=False) as client, pytest.raises(AgentGone, match="act without the host's lock"):
        client.act([WRITE])


@pytest.mark.parametrize("how", ["hang up", "signal"])
def test_an_action_that_was_begun_is_completed_and_no_other_begins(agents: Agents, systemd: Path, how: str) -> None:
    """The controller goes away, or a signal comes, while a unit stops."""
    program = agents.root / "bin/systemctl"
    program.write_text(
        SYSTEMCTL.replace("stop)", "stop) touch ready; while ! test -e go; do sleep 0.02; done; touch done;")
    )
    with agents.client() as client:
        channel = client._channel
        assert isinstance(channel, ForkChannel)
        request = {"op": "act", "actions": [wire(STOP), wire(START)], "mark": wire(MARK)}
        channel.send(frames.encode(request, frames.TO_HOST))
        _wait_for(systemd / "ready")
        if how == "signal":
            os.kill(channel.pid, signal.SIGTERM)
        else:
            channel.hang_up()
        (systemd / "go").touch()
        assert channel.exit_status(10) == 0
    assert (systemd / "done").exists()
    assert asked(systemd) == ["disable d.service", "stop d.service"]
    assert marks(agents) == (MARK,)
    assert (agents.state / "lock").read_text() == ""


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
