"""What the real daemons say of rendered files, without what only a host has."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hakit.components.keepalived.paths import LIBRARY
from hakit.components.keepalived.resources import VALIDATOR
from tests.unit.components.programs import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
