"""The reload script against a real HAProxy on the loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from hakit.components.registry import discover
from hakit.components.templates import Templates
from hakit.inventory import load
from tests.unit.components.programs import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def ask(path: Path, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(f"{command}\n".encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


class Balancer:
    """A running HAProxy and the reload script made for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "haproxy.cfg"
        self.master = folder / "master.sock"
        self.state = folder / "state" / "server-state"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "seed").write_text("1\n# header\n0 orders 0 db1 - 0 0 1 1 0 1 1 0 6 0 0 0 - 5432 - 0 0 - - 0\n")
        self.script = folder / "haproxy-reload"
        self.script.write_text(self._rendered())

    def _rendered(self) -> str:
        inventory = self.folder / "hosts.yml"
        inventory.write_text("all: {hosts: {lb1: {ansible_host: 10.1.0.1}}}\n")
        site = load(inventory, {name: one.Settings for name, one in discover().items()})
        values = {
            "config": self.config,
            "admin_socket": self.folder / "admin.sock",
            "master_socket": self.master,
            "state_file": self.state,
            "seed": self.folder / "seed",
        }
        return Templates(site).render("haproxy", "haproxy-reload", site.hosts["lb1"], values).reveal()

    def write(self, *lines: str) -> None:
        self.config.write_text(
            "\n".join(
                (
                    "global",
                    f"    stats socket {self.folder}/admin.sock level admin",
                    f"    server-state-file {self.state}",
                    "defaults",
                    "    mode http",
                    "    timeout connect 1s",
                    "    timeout client 1s",
                    "    timeout server 1s",
                    "    load-server-state-from-file global",
                    "listen web",
                    f"    bind 127.0.0.1:{self.port}",
                    "    server one 127.0.0.1:9 check",
                    *lines,
                    "",
                )
            )
        )

    def start(self) -> None:
        command = [program("haproxy"), "-Ws", "-f", str(self.config), "-S", str(self.master)]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if self.workers():
                    return
            except OSError:
                time.sleep(0.01)
        pytest.fail((self.folder / "log").read_text())

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    def workers(self) -> list[str]:
        current = ask(self.master, "show proc").partition("# workers")[2].partition("# old workers")[0]
        return [line.split()[0] for line in current.splitlines() if " worker " in line]

    def reload(self) -> subprocess.CompletedProcess[str]:
        assert self.process is not None
        environment = {"MAINPID": str(self.process.pid), "CONFIG": str(self.config)}
        return subprocess.run(
            [sys.executable, "-ISE", str(self.script)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@contextmanager
def running(folder: Path) -> Iterator[Balancer]:
    balancer = Balancer(folder)
    balancer.write()
    balancer.start()
    try:
        yield balancer
    finally:
        balancer.stop()


def test_a_good_reload_succeeds_with_a_new_worker_that_knows_its_servers(tmp_path: Path) -> None:
    with running(tmp_path) as balancer:
        before = balancer.workers()
        ask(tmp_path / "admin.sock", "set server web/one state drain")
        result = balancer.reload()
        assert (result.returncode, result.stderr) == (0, "")
        assert balancer.workers() != before
        row = ask(tmp_path / "admin.sock", "show servers state web").splitlines()[2].split()
        assert (row[3], row[6]) == ("one", "8"), "the drained server is drained in the new worker too"


def test_servers_that_the_old_worker_did_not_know_start_as_the_seed_says(tmp_path: Path) -> None:
    with running(tmp_path) as balancer:
        balancer.write("backend orders", "    mode tcp", "    server db1 127.0.0.1:9 check inter 1h")
        assert balancer.reload().returncode == 0
        row = ask(tmp_path / "admin.sock", "show servers state orders").splitlines()[2].split()
        assert (row[3], row[5]) == ("db1", "0"), "it starts as stopped"


def test_a_rejected_configuration_fails_and_leaves_the_worker(tmp_path: Path) -> None:
    with running(tmp_path) as balancer:
        before = balancer.workers()
        balancer.write("    nonsense")
        result = balancer.reload()
        assert result.returncode == 1
        assert "HAProxy rejects the configuration, the running one stays" in result.stderr
        assert "unknown keyword 'nonsense'" in result.stderr
        assert balancer.workers() == before


def test_a_configuration_that_can_not_be_loaded_fails_and_leaves_the_worker(tmp_path: Path) -> None:
    with running(tmp_path) as balancer, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        before = balancer.workers()
        balancer.write("listen second", f"    bind 127.0.0.1:{taken.getsockname()[1]}")
        result = balancer.reload()
        assert result.returncode == 1
        assert "could not load the new configuration, the old workers go on" in result.stderr
        assert balancer.workers() == before


def test_a_master_that_does_not_answer_is_no_success(tmp_path: Path) -> None:
    with running(tmp_path) as balancer:
        balancer.master.unlink()
        result = balancer.reload()
        assert result.returncode == 1
        assert result.stderr.startswith("HAProxy's master does not answer at")


def test_it_says_how_to_run_it(tmp_path: Path) -> None:
    script = Balancer(tmp_path).script
    result = subprocess.run([sys.executable, "-ISE", str(script)], env={}, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (1, "systemd runs this: systemctl reload haproxy\n")
