"""A real agent in a process of its own, with a folder for its root."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import select
import shlex
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hakit.agent.bootstrap import bundle
from hakit.agent.client import Client
from hakit.agent.resources.files import File, Files
from hakit.agent.wire import Text
from tests.unit.agent import driver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from hakit.agent.answers import AgentEvent, BatchResult, Item
    from hakit.agent.resources.base import Resource

ME = pwd.getpwuid(os.getuid()).pw_name
MY_GROUP = grp.getgrgid(os.getgid()).gr_name


class PipeChannel:
    """The client's channel over the pipes of a process."""

    def __init__(self, argv: list[str] | str, **options: object) -> None:
        pipe = subprocess.PIPE
        self.process: subprocess.Popen[bytes] = subprocess.Popen(  # type: ignore[call-overload]  # options of any kind
            argv, stdin=pipe, stdout=pipe, stderr=pipe, shell=isinstance(argv, str), **options
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin, self.stdout, self.stderr = self.process.stdin, self.process.stdout, self.process.stderr

    def send(self, data: bytes) -> None:
        self.stdin.write(data)
        self.stdin.flush()

    def recv(self, size: int, timeout: float) -> bytes:
        if not select.select([self.stdout], [], [], timeout)[0]:
            raise TimeoutError
        return os.read(self.stdout.fileno(), size)

    def stderr_tail(self) -> str:
        os.set_blocking(self.stderr.fileno(), False)
        try:
            return os.read(self.stderr.fileno(), 1 << 16).decode()
        except BlockingIOError:
            return ""

    def exit_status(self, timeout: float) -> int | None:
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        for stream in (self.stdin, self.stdout):
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        self.process.wait(20)
        self.stderr.close()


class ForkChannel:
    """The client's channel to an agent in a fork of this process: a tenth of the time that a new Python takes."""

    def __init__(self, token: str, root: Path, kill_at: int) -> None:
        from_client, to_agent = os.pipe()
        from_agent, to_client = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.dup2(from_client, 0)
                os.dup2(to_client, 1)
                for fd in (from_client, to_agent, from_agent, to_client):
                    os.close(fd)
                driver.serve(token, len(bundle().loader), root, kill_at)
            finally:
                os._exit(70)
        os.close(from_client)
        os.close(to_client)
        self._in, self._out = from_agent, to_agent
        self._open = True

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._out, view) :]

    def recv(self, size: int, timeout: float) -> bytes:
        if not select.select([self._in], [], [], timeout)[0]:
            raise TimeoutError
        return os.read(self._in, size)

    def stderr_tail(self) -> str:
        return ""

    def hang_up(self) -> None:
        """What a connection does that is lost."""
        if self._open:
            self._open = False
            os.close(self._out)

    def exit_status(self, timeout: float) -> int | None:
        end = os.pidfd_open(self.pid)
        ended = select.select([end], [], [], timeout)[0]
        os.close(end)
        if not ended:
            return None
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        assert found is not None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def close(self) -> None:
        self.hang_up()
        if self._in >= 0:
            os.close(self._in)
            os.waitpid(self.pid, 0)
            self._in = -1


@dataclass
class Applied:
    """What one plan and apply did."""

    items: tuple[Item, ...]
    result: BatchResult
    events: list[AgentEvent] = field(default_factory=list)

    def error(self, key: str) -> str:
        """Why a key failed."""
        found = next(event.error for event in self.events if event.ev == "failed" and event.key == key)
        assert found is not None
        return found.message

    def item(self, key: str) -> Item:
        """What was planned for a key."""
        return next(item for item in self.items if item.key == key)


class Agents:
    """Starts agents on a root of their own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "var/lib/hakit"
        for name in ("etc", "run/systemd/system", "bin"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name, line in (
            ("passwd", f"{ME}:x:{os.getuid()}:{os.getgid()}::/:/bin/sh"),
            ("group", f"{MY_GROUP}:x:{os.getgid()}:"),
        ):
            (root / "etc" / name).write_text(line + "\n")

    def channel(self, command: str, kill_at: int = 0) -> ForkChannel:
        """An agent in place of the one that a command would start."""
        return ForkChannel(shlex.split(command)[-3], self.root, kill_at)

    @contextmanager
    def client(self, *, lock: bool = True, kill_at: int = 0) -> Iterator[Client]:
        """An agent that has said hello; killed at its `kill_at`th write."""
        client = Client.start(lambda command: self.channel(command, kill_at), sudo=False)
        try:
            hello = client.hello(run="test", who="tests", lock=lock, packages=[])
            assert hello.lock is None
            yield client
        finally:
            client.close()

    def plan(self, *resources: Resource) -> tuple[Item, ...]:
        """What would be done."""
        with self.client(lock=False) as client:
            return client.plan(resources, None)

    def apply(self, *resources: Resource, kill_at: int = 0) -> Applied:
        """Plan and carry out everything, removals included."""
        with self.client(kill_at=kill_at) as client:
            return apply_with(client, resources)

    def read(self, path: str) -> str:
        """What is in a file below the root."""
        return (self.root / path.lstrip("/")).read_text()

    def write(self, path: str, text: str, mode: int = 0o644) -> Path:
        """Put a file below the root, as someone else would."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        return target

    def tree(self) -> dict[str, str]:
        """Everything below the root but hakit's state: path → kind, mode, content."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if name.startswith(("var/lib/hakit", "fake")):
                continue
            mode = f"{path.lstat().st_mode:o}"
            text = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else ""
            found[name] = f"{mode} {text}"
        return found


def apply_with(client: Client, resources: Sequence[Resource]) -> Applied:
    """Plan and carry out everything in a session that is open."""
    items = client.plan(resources, None)
    keys = [item.key for item in items if item.status in {"change", "unknown"}]
    remove = [item.key for item in items if item.status == "remove"]
    events: list[AgentEvent] = []
    return Applied(items, client.apply(keys, remove, events.append), events)


def one(path: str, text: str, mode: int = 0o644, mask: str | None = None) -> File:
    """A file of ours."""
    return File(path=path, content=Text(text, mask), owner=ME, group=MY_GROUP, mode=mode)


def files(*members: File, label: str = "set", component: str = "test", **more: object) -> Files:
    """A set of files."""
    return Files(label=label, files=members, component=component, **more)  # type: ignore[arg-type]  # fields of Files
