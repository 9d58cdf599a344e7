"""Hosts that hakit can't manage: another system, no systemd, a Python that is none or too old."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from tests.lab.logins import on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.conftest import LabFactory, LabHandle

INVENTORY = """
all:
  vars:
    hakit:
      lab: {driver: nspawn, network: 10.77.0.0/24}
  hosts:
    odd: {ansible_host: 10.77.0.11}
"""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    return lab_factory(INVENTORY)


@pytest.fixture
def odd(lab: LabHandle) -> Iterator[Callable[[str], str]]:
    """Runs scripts on a host whose system is to be another; it is itself afterwards."""
    save = "cp --remove-destination -L /etc/os-release /run/os; cp -a /usr/bin/python3.11 /run/python; true"
    on(lab, "odd", save)
    yield lambda script: on(lab, "odd", script)
    on(lab, "odd", "cp --remove-destination /run/os /etc/os-release; mkdir -p /run/systemd/system")
    on(lab, "odd", "ln -sf python3.11 /usr/bin/python3; cp -a /run/python /usr/bin/python3.11")


@pytest.mark.parametrize("command", ["plan", "apply"])
@pytest.mark.parametrize("python", [True, False], ids=["with Python", "without Python"])
@pytest.mark.parametrize(
    "system",
    [
        'PRETTY_NAME="Ubuntu 20.04.6 LTS"\nID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=focal\n',
        'PRETTY_NAME="Rocky Linux 9.3 (Blue Onyx)"\nID="rocky"\nID_LIKE="rhel centos fedora"\n',
        'PRETTY_NAME="Alpine Linux v3.20"\nID=alpine\n',
        'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\nID=debian\nVERSION_CODENAME=bullseye\n',
    ],
    ids=["Ubuntu", "Rocky", "Alpine", "old Debian"],
)
def test_another_system_is_named(
    lab: LabHandle, odd: Callable[[str], str], *, system: str, python: bool, command: str
) -> None:
    odd(f"rm -f /etc/os-release; printf %s {shlex.quote(system)} > /etc/os-release")
    if not python:
        odd("rm /usr/bin/python3")
    done = lab.hakit(command, "--limit", "odd", *(["--yes"] if command == "apply" else []))
    assert done.returncode == 1
    assert system.split('"')[1] + " is not supported" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_host_without_systemd_is_named(lab: LabHandle, odd: Callable[[str], str]) -> None:
    odd("mv /run/systemd/system /run/systemd/away")
    try:
        for command in ("plan", "bootstrap"):
            done = lab.hakit(command, "--limit", "odd")
            assert done.returncode == 1
            assert "runs without systemd" in done.stdout + done.stderr
    finally:
        odd("mv /run/systemd/away /run/systemd/system")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        ("rm /usr/bin/python3", "there is no /usr/bin/python3 on the host"),
        ("chmod -x /usr/bin/python3.11", "does not let us run /usr/bin/python3"),
        ("rm /usr/bin/python3; ln -s /bin/false /usr/bin/python3", "the agent did not start (exit 1)"),
        (
            "cd /usr/bin; rm python3; printf '#!/bin/sh\\necho SyntaxError >&2; exit 1\\n' > python3; chmod +x python3",
            "/usr/bin/python3 on the host can't run the agent",
        ),
    ],
)
def test_a_python_that_is_none_is_named(lab: LabHandle, odd: Callable[[str], str], break_it: str, message: str) -> None:
    odd(break_it)
    done = lab.hakit("plan", "--limit", "odd")
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert message in text
    if "there is no" in message:
        assert f"hakit bootstrap -i {lab.inventory} --limit odd" in text
    assert "Traceback" not in text


def test_a_python_that_is_too_old_is_named(lab: LabHandle, odd: Callable[[str], str]) -> None:
    site = "import sys; sys.version_info = (3, 8, 10, 'final', 0)"
    odd(
        "rm /usr/bin/python3; printf '%s\\n' '#!/usr/bin/python3.11 -ISE' 'import sys' "
        "'sys.argv = sys.argv[sys.argv.index(\"-c\"):]' 'code = sys.argv.pop(1)' "
        f"{shlex.quote(site)} 'exec(code)' > /usr/bin/python3; chmod +x /usr/bin/python3"
    )
    done = lab.hakit("plan", "--limit", "odd")
    assert done.returncode == 1
    assert "/usr/bin/python3 on the host is 3.8.10, hakit needs 3.9 or newer" in done.stdout + done.stderr
