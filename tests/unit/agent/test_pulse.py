"""Signs of life: a hang is told from work, whatever hangs; beats never get in the way of frames."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent import client as client_module
from hakit.agent import frames, process, pulse
from hakit.agent.client import Client
from hakit.agent.pulse import Pulse
from hakit.agent.resources.command import Command
from hakit.agent.session import Channel
from hakit.agent.starting import AgentGone
from tests.unit.agent.agent_support import Agents, ForkChannel, files, one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BEAT, HANG, QUICK = 0.25, 1.0, 0.05
HANGS = r"^hangs: nothing was heard from its agent for 1 s, though its sshd answers$"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats and patience in fractions of what they are; agents of these tests are forks and take it over."""
    monkeypatch.setattr(pulse, "BEAT", BEAT)
    monkeypatch.setattr(client_module, "HANG", HANG)


def slow(root: Path, seconds: float) -> Command:
    script = f"touch {root}/etc/began; sleep {seconds}; touch {root}/etc/made"
    return Command(label="slow", argv=("sh", "-c", script), creates="/etc/made", timeout=20.0)


def test_an_agent_that_is_busy_for_longer_than_a_hang_is_waited_for(agents: Agents) -> None:
    assert agents.apply(slow(agents.root, 2.5 * HANG)).result.changed == 1


def test_an_agent_that_stops_is_given_up_and_does_nothing_more_when_it_goes_on(agents: Agents) -> None:
    resources = (slow(agents.root, 0.3), files(one("/etc/late.conf", "x\n")))
    with agents.client() as client:
        client.plan(resources, None)
        channel = client._channel
        assert isinstance(channel, ForkChannel)
        stopper = threading.Thread(target=stop_when, args=(channel.pid, (agents.root / "etc/began").exists))
        stopper.start()
        with pytest.raises(AgentGone, match=HANGS) as caught:
            client.apply([one.key for one in resources], [], lambda _: None)
        assert "next apply" in (caught.value.hint or "")
        stopper.join()
        channel.hang_up()
        os.kill(channel.pid, signal.SIGCONT)
        assert channel.exit_status(10) == 0
    assert not (agents.root / "etc/late.conf").exists()
    assert agents.apply(*resources).result.failed == 0


def stop_when(pid: int, state: Callable[[], bool]) -> None:
    wait_for(state)
    os.kill(pid, signal.SIGSTOP)


def wait_for(state: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not state():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_idle_agent_says_nothing(agents: Agents) -> None:
    with agents.client(lock=False) as client:
        # A beat may have been on its way when the answer was given.
        channel, heard = client._channel, b""
        with contextlib.suppress(TimeoutError):
            while len(heard) < 100:
                heard += channel.recv(100, 4 * BEAT)
        assert len(heard) < 2 * len(frames.encode({"ev": "beat"}, 100))


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Where the beats of a process are heard whose main thread is held, and where a byte lets it run once."""
    monkeypatch.setattr(pulse, "BEAT", QUICK)
    heard, beats = os.pipe()
    gate, opener = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(opener)
            Pulse(partial(os.write, beats, b".")).begin()
            while os.read(gate, 1):
                pass
        finally:
            os._exit(0)
    os.close(beats)
    os.close(gate)
    yield heard, opener
    os.close(opener)
    os.waitpid(pid, 0)
    os.close(heard)


def test_a_main_thread_that_the_kernel_holds_is_not_passed_off_as_alive(stuck: tuple[int, int]) -> None:
    heard, opener = stuck
    for _ in range(2):
        count = 0
        while select.select([heard], [], [], 10 * QUICK)[0]:
            count += len(os.read(heard, 1))
            assert count <= 2 * pulse.STILL
        assert count >= pulse.STILL - 2
        os.write(opener, b"x")


def test_beats_and_frames_do_not_run_into_each_other() -> None:
    read, write = os.pipe()
    channel = Channel(os.open(os.devnull, os.O_RDONLY), write)
    sent: list[dict[str, Any]] = [{"ev": "note", "text": str(n) * 90_000} for n in range(40)]
    over = threading.Event()

    def beat() -> None:
        while not over.is_set():
            channel.beat()

    def tell() -> None:
        for event in sent:
            channel.send(event)
        over.set()

    threads = [threading.Thread(target=each, daemon=True) for each in (beat, beat, tell)]
    for thread in threads:
        thread.start()
    decoder, came = frames.Decoder(frames.TO_CONTROLLER), []
    while any(thread.is_alive() for thread in threads) or select.select([read], [], [], 0)[0]:
        if select.select([read], [], [], 0.05)[0]:
            decoder.feed(os.read(read, 1 << 16))
            while (frame := decoder.next()) is not None:
                came.append(frame)
    assert [frame for frame in came if frame != {"ev": "beat"}] == sent
    assert decoder.empty
    assert {"ev": "beat"} in came


class Speaker:
    """A channel whose host beats for ever, and answers after a while."""

    def __init__(self, answer: bytes = b"", after: float = 60.0) -> None:
        self.sent: list[bytes] = []
        self._answer = answer
        self._at = time.monotonic() + after
        self._said: list[bytes] = []
        self._patience = time.monotonic() + 10

    def start(self, command: str) -> Speaker:
        self._said.append(b"\n" + command.split()[-3].encode() + b" have\n")
        return self

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def recv(self, size: int, timeout: float) -> bytes:
        del size
        assert timeout <= max(HANG, 30.0)
        if self._said:
            return self._said.pop()
        time.sleep(0.01)
        assert time.monotonic() < self._patience
        if time.monotonic() > self._at:
            return self._answer
        return frames.encode({"ev": "beat"}, frames.TO_CONTROLLER)

    def stderr_tail(self) -> str:
        return ""

    def exit_status(self, timeout: float) -> int | None:
        del timeout
        return None

    def close(self) -> None:
        self.sent.append(b"closed")


def test_an_agent_that_lives_and_never_answers_is_given_up_without_a_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be sent to it might have to wait until it reads."""
    monkeypatch.setattr(client_module, "ANSWER", 0.2)
    speaker = Speaker()
    client = Client.start(speaker.start, sudo=False)
    with pytest.raises(AgentGone, match="lives and does not answer in time"):
        client.plan([], None)
    requests = len(speaker.sent)
    client.close()
    assert speaker.sent[requests:] == [b"closed"]


def test_steps_may_take_the_time_that_is_declared_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER", 0.1)
    answer = frames.encode({"ev": "plan", "items": []}, frames.TO_CONTROLLER)
    client = Client.start(Speaker(answer, after=0.5).start, sudo=False)
    assert client.plan([Command(label="c", argv=("true",), unless=("false",), timeout=5.0)], None) == ()


def test_a_command_that_can_not_be_killed_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one is that waits for a disk which never answers."""
    signals: list[int] = []
    children: list[int] = []

    def deaf(group: int, number: int) -> None:
        children.append(group)
        signals.append(number)

    monkeypatch.setattr(process, "_kill", deaf)
    monkeypatch.setattr(process, "GRACE", 0.05)
    began = time.monotonic()
    result = process.run(("sleep", "6"), 0.1)
    assert time.monotonic() - began < 5
    assert result.late
    assert result.code == -signal.SIGKILL
    assert signals == [signal.SIGTERM, signal.SIGKILL, signal.SIGKILL]
    os.kill(children[0], signal.SIGKILL)
    os.waitpid(children[0], 0)
