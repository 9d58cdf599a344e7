"""A command on a cluster that does not end well, and an operator who does what hakit says."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.lab.conftest import ROOT
from tests.lab.postgres.conftest import SECRETS

if TYPE_CHECKING:
    from tests.lab.postgres.conftest import Cluster

COMMAND = re.compile(r"^ {4}(hakit .*)$", re.MULTILINE)
ABANDONED = "has left its agent at work"
PATIENCE = 60.0
"""Seconds for what a killed controller left at work on a host to end."""
ROUNDS = 4
"""More commands than this are none that finish it."""


def answers(command: list[str]) -> list[str]:
    """What a command would ask on a terminal."""
    return ["--confirm", command[-1]] if "reinit" in command else ["--yes"] if command[0] == "apply" else []


def stepping(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    """hakit in a process that counts its steps, and may end at one."""
    command = [sys.executable, "-m", "tests.lab.postgres.stepping", *words]
    environment = {**os.environ, **SECRETS, "HAKIT_INVENTORY": str(cluster.lab.inventory), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd=ROOT,
        timeout=300,
        check=False,
    )


@dataclass
class Incident:
    """A command that is killed, and what is done about it. `away` is without power meanwhile."""

    cluster: Cluster
    away: str = ""
    story: list[str] = field(default_factory=list)

    def cut(self, step: str, *words: str) -> None:
        """Run a command and kill it at a step, which has to come."""
        done = stepping(self.cluster, "--kill", step, "--", *words)
        self.story.append(f"$ hakit {shlex.join(words)}   # killed at {step}\n{done.stdout}")
        assert done.returncode == -signal.SIGKILL, f"it ended before {step}:\n{self}"

    def finish(self) -> int:
        """Do what `status` names until it names nothing more; how many commands that took."""
        for number in range(ROUNDS + 1):
            command = self.next()
            if not command:
                return number
            self.do(command)
        pytest.fail(f"not finished by {ROUNDS} commands:\n{self}")

    def settle(self) -> int:
        """The same until all members are in their places, and stay there; how many commands that took."""
        count = self.finish()
        self.cluster.settled()
        # A step that was on its way to a host has ended by now.
        late = self.finish()
        if late:
            self.cluster.settled()
        return count + late

    def next(self) -> list[str]:
        """The first command that `status` names; none where it has no reason to name one."""
        shown = self.cluster.hakit("postgres", "status", "main")
        self.story.append(f"$ hakit postgres status main\n{shown.stdout}{shown.stderr}")
        assert shown.returncode in (0, 1), str(self)
        named = COMMAND.findall(shown.stdout)
        if shown.returncode and not self.away:
            assert named, f"status says that something is wrong, and not what to do:\n{self}"
        return shlex.split(named[0])[1:] if named else []

    def do(self, command: list[str]) -> None:
        """Run a command as printed; an operator says yes, adds what a refusal asks for, tries again if told to."""
        deadline = time.monotonic() + PATIENCE
        command = [*command, *answers(command)]
        while True:
            done = self.cluster.hakit(*command)
            self.story.append(f"$ hakit {shlex.join(command)}\n{done.stdout}{done.stderr}")
            vouched = f"--fenced {self.away}"
            if done.returncode == 0:
                return
            if self.away and f"add  {vouched}" in done.stderr and vouched not in shlex.join(command):
                command = [*command, *shlex.split(vouched)]
            else:
                assert ABANDONED in done.stderr, str(self)
                assert time.monotonic() < deadline, str(self)

    def __str__(self) -> str:
        return "\n".join(self.story)


def guarded(cluster: Cluster, host: str) -> bool:
    """Whether a host's boot guard knows that another one is the primary."""
    return "made the primary" in cluster.sh(host, "cat /run/hakit-postgresql/*.guard")


def mend(cluster: Cluster) -> None:
    """Put all members in their places again, where a test that failed left them elsewhere."""
    if not cluster.streaming():
        for host in cluster.lab.lab.status():
            if host.power != "on":
                cluster.lab.lab.power(host.name, "on")
        Incident(cluster).settle()


def tell(request: pytest.FixtureRequest, line: str) -> None:
    """Print a line whether the test fails or not."""
    with request.getfixturevalue("capsys").disabled():
        sys.stdout.write(f"\n  {line}\n")
