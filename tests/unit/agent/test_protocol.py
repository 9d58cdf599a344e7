"""Frames, JSON, declarations on their way, and what an agent does with nonsense."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.agent import frames, jsonlite
from hakit.agent.actions import Action
from hakit.agent.client import Client
from hakit.agent.errors import FrameError
from hakit.agent.probes import Probe
from hakit.agent.resources.account import Group, User
from hakit.agent.resources.command import Command
from hakit.agent.resources.files import File, Files, Validator
from hakit.agent.resources.package import Package
from hakit.agent.resources.paths import Directory, Symlink
from hakit.agent.resources.sysctl import Sysctl
from hakit.agent.resources.unit import Unit
from hakit.agent.starting import AgentGone
from hakit.agent.wire import Text, from_wire, probe_from_wire, wire
from tests.unit.agent.agent_support import Agents, ForkChannel, files, one

if TYPE_CHECKING:
    from hakit.agent.resources.base import Resource

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)

RESOURCES: tuple[Resource, ...] = (
    Package(package="haproxy", component="haproxy"),
    Unit(unit="haproxy.service", enabled=None, reload_on=("/etc/a",), after=("package:haproxy",), impact="reload"),
    Group(group="ops", gid=3000, system=True),
    User(user="ops", groups=("a", "b"), authorized_keys=(), password_hash=Text("$6$x", "<secret:x>")),
    Sysctl(label="x", values=(("net.ipv4.ip_forward", "1"),)),
    Directory(path="/srv/x", mode=0o700),
    Symlink(path="/x", target="y"),
    Command(label="c", argv=("true",), unless=("false",), timeout=3.5),
    Files(
        label="set",
        files=(File(path="/etc/ä", content=Text("text\0 ü")), File(path="/etc/b", content=Text("s", "m"), mode=0o600)),
        validate=(Validator(argv=("x", "{/etc/b}"), path="/etc/b", swap=(("a", "b"),), ok=(0, 3)),),
    ),
)


@given(plain)
def test_json_is_read_and_written_as_the_json_package_does(value: Any) -> None:
    text = jsonlite.dumps(value)
    assert json.loads(text) == value
    assert jsonlite.loads(text) == value
    assert jsonlite.loads(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nul", "{}x", " 1", "NaN", '{"a":1,}', "[" * 100_000, '"\x01"'])
def test_broken_json_is_an_error_of_values(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the messages are of the C code and differ by version
        jsonlite.loads(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, {1}, b"x", object()])
def test_what_json_can_not_hold_is_not_written(value: object) -> None:
    with pytest.raises(TypeError):
        jsonlite.dumps([value])


@given(st.lists(st.dictionaries(st.text(), plain), max_size=4), st.integers(1, 40))
def test_frames_survive_however_they_are_cut(values: list[dict[str, Any]], size: int) -> None:
    data = b"".join(frames.encode(value, frames.TO_HOST) for value in values)
    decoder = frames.Decoder(frames.TO_HOST)
    found = []
    for start in range(0, len(data), size):
        decoder.feed(data[start : start + size])
        while (frame := decoder.next()) is not None:
            found.append(frame)
    assert found == values
    assert decoder.empty


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\0\0\0\2{]", b"\0\0\0\2[]", b"\0\0\0\1\xff"])
def test_nonsense_is_no_frame(data: bytes) -> None:
    decoder = frames.Decoder(1000)
    decoder.feed(data)
    with pytest.raises(FrameError):
        decoder.next()


def test_a_frame_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(FrameError, match="too large"):
        frames.encode({"x": "y" * 100}, 50)


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.type)
def test_a_declaration_arrives_as_it_was_sent(resource: Resource) -> None:
    arrived = from_wire(jsonlite.loads(json.dumps(wire(resource))))
    assert wire(arrived) == wire(resource)
    assert arrived.key == resource.key


def test_a_probe_arrives_as_it_was_sent() -> None:
    probe = Probe(kind="tcp", target="10.0.0.1:80", timeout=0.5)
    assert probe_from_wire(wire(probe)) == probe


@pytest.mark.parametrize(
    "data", [{"type": "spaceship"}, {"type": "package"}, {"type": "package", "package": "x", "y": 1}]
)
def test_a_declaration_that_can_not_be_is_nonsense(data: dict[str, Any]) -> None:
    with pytest.raises(FrameError):
        from_wire(data)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ({"op": "dance"}, "no such request: 'dance'"),
        ({"op": "apply", "keys": []}, "apply without the host's lock"),
        ({"op": "plan"}, "the request plan lacks 'resources'"),
        ({"op": "plan", "resources": [{"type": "spaceship"}]}, "no such type of resource: 'spaceship'"),
    ],
)
def test_an_agent_answers_nonsense_with_a_crash(agents: Agents, sent: dict[str, Any], why: str) -> None:
    with agents.client(lock=False) as client, pytest.raises(AgentGone, match=why):
        client._ask(sent, "never")


def test_only_what_was_planned_is_applied(agents: Agents) -> None:
    with agents.client() as client, pytest.raises(AgentGone, match="not in the plan of this session: files:x"):
        client.apply(["files:x"], [], lambda _: None)


def test_what_another_run_made_meanwhile_is_not_forgotten(agents: Agents) -> None:
    """A host that is only watched is planned without its lock, which is taken later."""
    with agents.client(lock=False) as client:
        assert client.plan([], None) == ()
        agents.apply(files(one("/etc/a.conf", "x\n")))
        assert client.hello(run="r", who="w", lock=True, packages=[]).lock is None
        client.act([Action(kind="write", target="/var/lib/hakit-test/web", text="1\n")])
    assert [item.key for item in agents.plan()] == ["files:set"]


class Script:
    """A channel with a host that says what it likes."""

    def __init__(self, *answers: bytes, stderr: str = "", code: int | None = 1) -> None:
        self._answers = list(answers)
        self._stderr = stderr
        self._code = code
        self.token = b""

    def send(self, data: bytes) -> None:
        del data

    def recv(self, size: int, timeout: float) -> bytes:
        del size
        assert timeout > 0
        return self._answers.pop(0).replace(b"TOKEN", self.token) if self._answers else b""

    def stderr_tail(self) -> str:
        return self._stderr

    def exit_status(self, timeout: float) -> int | None:
        del timeout
        return self._code

    def close(self) -> None:
        self._answers.clear()

    def start(self, command: str) -> Script:
        self.token = command.split()[-3].encode()
        return self


def talk(*answers: bytes) -> Client:
    return Client.start(Script(b"\nTOKEN have\n", *answers).start, sudo=False)


def frame(**value: Any) -> bytes:
    return frames.encode(value, frames.TO_CONTROLLER)


@pytest.mark.parametrize(
    "answer",
    [
        b"\xff\xff\xff\xff",
        frame(ev="hello"),
        frame(ev="hello", facts={}),
        frame(ev="note", key="x"),
        frame(ev="surprise", key="x"),
        frame(nothing=1),
    ],
)
def test_a_host_that_answers_nonsense_is_told_so(answer: bytes) -> None:
    with pytest.raises(FrameError):
        talk(answer).hello(run="r", who="w", lock=False, packages=())


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"key": "x", "status": "fine"},
        {"key": "x", "status": "same", "summary": [1], "impact": "", "after": "", "files": [], "new": False},
    ],
)
def test_a_plan_of_nonsense_is_told_so(item: dict[str, Any]) -> None:
    with pytest.raises(FrameError):
        talk(frame(ev="plan", items=[item])).plan([], None)


def test_notes_without_end_are_cut_off() -> None:
    notes = [frame(ev="note", key="", text="x" * 300_000)] * 9
    with pytest.raises(FrameError, match="without end"):
        talk(*notes).apply([], [], lambda _: None)


def test_an_agent_that_ends_in_the_middle_is_gone() -> None:
    client = Client.start(Script(b"\nTOKEN have\n", b"\0\0", stderr="Killed\n", code=137).start, sudo=False)
    with pytest.raises(AgentGone, match="it ended with exit 137: Killed"):
        client.plan([], None)


def test_the_end_of_the_stream_ends_the_agent_after_its_step(agents: Agents) -> None:
    """The controller goes away while a command runs: the command is completed, nothing after it is begun."""
    flag, ready = agents.root / "etc/flag", agents.root / "etc/ready"
    slow = Command(
        label="slow",
        argv=("sh", "-c", f"touch {ready}; while ! test -e {agents.root}/etc/go; do sleep 0.02; done; touch {flag}"),
        creates="/etc/flag",
    )
    with agents.client() as client:
        client.plan([slow, files(one("/etc/late.conf", "x\n"))], None)
        channel = client._channel
        assert isinstance(channel, ForkChannel)
        client._channel.send(frames.encode({"op": "apply", "keys": ["command:slow", "files:set"]}, frames.TO_HOST))
        _wait_for(ready.exists)
        channel.hang_up()
        (agents.root / "etc/go").touch()
        assert channel.exit_status(10) == 0
    assert flag.exists()
    assert not (agents.root / "etc/late.conf").exists()
    assert agents.apply(files(one("/etc/late.conf", "x\n"))).result.changed == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_an_idle_agent_in_peace(agents: Agents, number: signal.Signals) -> None:
    with agents.client() as client:
        channel = client._channel
        assert isinstance(channel, ForkChannel)
        os.kill(channel.pid, number)
        assert channel.exit_status(10) == 0
    assert (agents.state / "lock").read_text() == ""


def test_what_children_print_never_reaches_the_frames(agents: Agents) -> None:
    noisy = Command(
        label="noisy", argv=("sh", "-c", f"echo noise; echo noise >&2; touch {agents.root}/x"), creates="/x"
    )
    assert agents.apply(noisy).result.changed == 1


def test_the_agent_itself_has_nothing_to_print_frames_over(agents: Agents) -> None:
    with agents.client(lock=False) as client:
        channel = client._channel
        assert isinstance(channel, ForkChannel)
        ours = Path(f"/proc/self/fd/{channel._in}").readlink()
        assert Path(f"/proc/{channel.pid}/fd/1").readlink() != ours
        assert str(Path(f"/proc/{channel.pid}/fd/0").readlink()) == "/dev/null"


def _wait_for(state: Any) -> None:
    deadline = time.monotonic() + 10
    while not state():
        assert time.monotonic() < deadline
        time.sleep(0.01)
