"""The endpoint and the guard as they run on a host: from the files of LIBRARY alone, the endpoint with its sockets."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

from hakit.agent.jsonlite import dumps
from hakit.agent.postgres.library import COMMAND, sources
from hakit.agent.wire import wire
from tests.unit.agent.postgres.servers import account, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.postgres.servers import Server


def library(folder: Path) -> Path:
    """The folder LIBRARY as the component puts it on a host."""
    target = folder / "library"
    for name, text in sources().items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return target


def describe(server: Server) -> Path:
    """Write the description of the member's place; its path."""
    path = server.at(server.place.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dumps(wire(server.place)))
    return path


def command(server: Server, what: str) -> list[str]:
    """How one of the two programs is started."""
    target = server.servers.folder / "library"
    if not target.exists():
        library(server.servers.folder)
    return [*COMMAND[:-1], str(target), what, str(describe(server))]


class Endpoint:
    """The role endpoint of a member: its listening socket stays while the process comes and goes."""

    def __init__(self, server: Server, *, start: bool = True) -> None:
        self.server = server
        self.listener = socket.create_server((server.address, server.place.endpoint), backlog=64)
        self.process: subprocess.Popen[bytes] | None = None
        self.log = server.root / "endpoint.log"
        if start:
            self.start()

    def start(self, **environment: str) -> Endpoint:
        """Start the process as systemd would."""
        uid, gid, _ = account()
        drop = {"user": uid, "group": gid, "extra_groups": ()} if os.geteuid() == 0 else {}
        # The listener becomes descriptor 3, and LISTEN_PID is known only to who is executed.
        script = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        fd = self.listener.fileno()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # type: ignore[call-overload]  # options that depend on who we are
                ["/bin/bash", "-c", script, "bash", str(fd), *command(self.server, "endpoint")],
                pass_fds=[fd], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", env=environment, **drop,
            )  # fmt: skip
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the process, not the socket; its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        return self.process.wait(20)

    def close(self) -> None:
        """End it all."""
        self.stop(signal.SIGKILL)
        self.listener.close()

    def ask(self, path: str, method: str = "GET", timeout: float = 20.0) -> tuple[int, str]:
        """Status and body."""
        connection = http.client.HTTPConnection(self.server.address, self.server.place.endpoint, timeout=timeout)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode().strip()
        finally:
            connection.close()

    def status(self, path: str) -> int:
        """The status of a path."""
        return self.ask(path)[0]

    def state(self) -> dict[str, Any]:
        """What it tells its peers."""
        found: dict[str, Any] = json.loads(self.ask("/state")[1])
        return found

    def until(self, path: str, status: int, patience: float = 30.0) -> str:
        """Wait for a status; the body that came with it."""
        until(lambda: self.status(path) == status, f"{path} of {self.server.place.host}: {self.ask(path)}", patience)
        return self.ask(path)[1]
