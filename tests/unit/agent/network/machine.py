"""The programs of a simulated host for an agent in a process of its own: `python machine.py ROOT PROGRAM WORDS...`.

What systemd would start beside the agent goes on in a process of its own as well.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from hakit.agent.network import bringing, changing, returning
from hakit.agent.network.place import RETURN, UNITS
from tests.unit.agent.network.simulated import BEGAN, PROGRAMS, Simulated

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = 'case "$1" in daemon-reload|is-active|stop|kill) exit 0;; esac\n'
"""What systemctl is asked often, and does here without a word."""
REPOSITORY = Path(__file__).parents[4]


def equip(host: Simulated) -> None:
    """Give a host its programs."""
    for name in PROGRAMS:
        program = host.folder / "bin" / name
        program.write_text(
            f'#!/bin/sh\n{QUICK}cd {REPOSITORY} && exec {sys.executable} -m {__name__} {host.folder} {name} "$@"\n'
        )
        program.chmod(0o755)


def beside(host: Simulated, what: Callable[[], object]) -> None:
    """Do something in a process that nobody waits for; what it says is kept."""
    if os.fork():
        return
    os.setsid()
    said = os.open(host.at("/fake/said"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDWR)
    for fd, to in ((0, null), (1, said), (2, said)):
        os.dup2(to, fd)
    if os.fork() == 0:
        try:
            what()
        except BaseException:  # noqa: BLE001 - this process ends with it
            traceback.print_exc()
    sys.stderr.flush()
    os._exit(0)


def main(root: str, words: list[str]) -> int:
    """Be one of the programs."""
    host = Simulated(Path(root))
    bringing.SETTLED = 0.0
    done = host.run(words)
    sys.stdout.write(done.out)
    sys.stderr.write(done.err)
    if words[0] == "systemd-run" and not done.code:
        beside(host, lambda: changing.change(host.record, host, 0.1))
    if words == ["systemctl", "start", f"{RETURN}.timer"]:
        beside(host, lambda: run_out(host))
    if words[-1] == f"{RETURN}.service":
        beside(host, lambda: returning.restore(host.record, host))
    return done.code


def run_out(host: Simulated) -> None:
    """Be the timer, until it has run out or its host is no more."""
    text = Path(host.at(f"{UNITS}/{RETURN}.timer")).read_text(encoding="utf-8")
    end = BEGAN / 1e6 + float(text.partition("OnStartupSec=")[2].split()[0])
    while time.monotonic() < end:
        time.sleep(0.2)
        if not host.folder.exists():
            return
    returning.restore(host.record, host)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
