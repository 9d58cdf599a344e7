"""What the real daemons say of rendered files, without what only a host has."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hakit.components.keepalived.paths import LIBRARY
from hakit.components.keepalived.resources import VALIDATOR
from tests.unit.components.programs import program, server_programs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.unit.agent.postgres.servers import Server

_ONLY_ON_A_HOST = re.compile(
    r"^    (?:chroot|user|group|stats socket|server-state-file) .*\n|^    load-server-state-from-file global\n",
    re.MULTILINE,
)
_OWN_CHECKS = re.compile(rf'^(    (?:script|notify) ")[^" ]*{re.escape(LIBRARY)}[^" ]*', re.MULTILINE)
_INTERFACE = re.compile(r"^    interface (\S+)$|^    track_interface \{\n((?:        \S+\n)*)", re.MULTILINE)


def haproxy_says(text: str, folder: Path) -> str:
    """What HAProxy complains of, warnings too; empty when it accepts the file."""
    config = folder / "haproxy.cfg"
    config.write_text(_ONLY_ON_A_HOST.sub("", text), encoding="utf-8")
    argv = [program("haproxy"), "-c", "-f", str(config)]
    done = subprocess.run(argv, capture_output=True, timeout=60, check=False)
    said = done.stderr.decode(errors="replace")
    told = [line for line in said.splitlines() if re.search(r"WARNING|ALERT", line)]
    return "\n".join([*told, *([f"exit {done.returncode}"] if done.returncode else [])])


class Keepalived:
    """keepalived in a network of its own: it looks up each interface, and refuses the loopback."""

    def __init__(self, holder: int, folder: Path) -> None:
        self._inside = [*_root(), "nsenter", "--target", str(holder), "--net"]
        self._folder = folder
        self._interfaces: set[str] = {"lo"}

    def says(self, text: str) -> str:
        """What keepalived complains of; empty when it accepts the file."""
        for pattern, replacement in VALIDATOR.swap:
            text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
        text = _OWN_CHECKS.sub(r"\1/bin/true", text)
        for own, tracked in _INTERFACE.findall(text):
            for name in {own, *tracked.split()} - self._interfaces - {""}:
                self._add(name)
        config = self._folder / "keepalived.conf"
        config.write_text(text, encoding="utf-8")
        config.chmod(0o644)
        done = subprocess.run(
            [*self._inside, program("keepalived"), "-t", "-f", config], capture_output=True, timeout=60, check=False
        )
        said = done.stderr.decode(errors="replace")
        return said + ("" if done.returncode in VALIDATOR.ok else f"\nexit {done.returncode}")

    def _add(self, name: str) -> None:
        number = len(self._interfaces)
        argv = [*self._inside, "ip", "link", "add", "name", name, "type", "veth", "peer", "name", f"peer{number}"]
        subprocess.run(argv, check=True, capture_output=True)
        self._interfaces.add(name)


def judged(programs: Path, config: Path, name: str = "max_connections") -> tuple[int, str]:
    """What `postgres -C` says of a file: exit, output."""
    done = subprocess.run(
        [programs / "postgres", "-C", name, f"--config-file={config}"], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout[:-1] if done.returncode == 0 else done.stderr


def laid_out(files: Mapping[str, str], folder: Path) -> Path:
    """The server's own files below a folder; where its main file is."""
    own = {path: text for path, text in files.items() if path.startswith("/etc/postgresql/")}
    for path, text in own.items():
        for other in own:
            text = text.replace(f"'{other}'", f"'{folder}{other}'")  # noqa: PLW2901 - step by step
        (folder / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (folder / path[1:]).write_text(text)
    return next(folder / path[1:] for path in own if path.endswith("/postgresql.conf"))


def without_tls(text: str) -> str:
    """A server that has no certificate says of each row for TLS that it can't match."""
    return text.replace("hostssl", "host").replace(" cert", " scram-sha-256")


class Postgresql:
    """A server that runs, and reads the rows of any pg_hba.conf that it is given."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.version = server.place.version
        self._server = server
        self._programs = server_programs()
        self._folder = folder

    def says(self, files: Mapping[str, str]) -> str:
        """What it complains of in a member's configuration; empty when it takes all of it."""
        main = laid_out(files, self._folder)
        code, said = judged(self._programs, main)
        if code:
            told = [line for line in said.splitlines() if "skipping missing" not in line]
            return "\n".join([*told, f"exit {code}"])
        doors = (main.parent / "pg_hba.conf").read_text()
        self._server.at(f"{self._server.place.config}/pg_hba.conf").write_text(without_tls(doors))
        wrong = self._server.query("SELECT line_number, error FROM pg_hba_file_rules WHERE error IS NOT NULL")
        lines = without_tls(doors).splitlines()
        return "\n".join(f"{error}: {lines[int(str(line)) - 1]}" for line, error in wrong)


@contextmanager
def postgresql(folder: Path) -> Iterator[Postgresql]:
    """A server of its own."""
    server_programs()
    from tests.unit.agent.postgres.servers import Servers, short_folder  # noqa: PLC0415 - it needs the programs

    with short_folder() as below:
        servers = Servers(below)
        try:
            yield Postgresql(servers.member("db1").create().start(), folder)
        finally:
            servers.close()


def _root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


@contextmanager
def keepalived(folder: Path) -> Iterator[Keepalived]:
    """keepalived beside a process that holds the network for it, and ends with it."""
    program("keepalived")
    argv = [*_root(), "unshare", "--net", "sh", "-c", "echo $$; read -r _"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            yield Keepalived(int(holder.stdout.readline()), folder)
        finally:
            holder.stdin.close()
            holder.wait(10)
