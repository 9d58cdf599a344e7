"""What a command loads before it begins: nothing that only hosts, or another command, need."""

from __future__ import annotations

import subprocess
import sys

import pytest

SLOW = {
    "paramiko",
    "pydantic",
    "yaml",
    "jinja2",
    "asyncio",
    "hakit.engine",
    "hakit.components",
    "hakit.agent",
    "hakit.ssh",
}
HOSTS_OWN = {
    "hakit.agent.facts",
    "hakit.agent.handlers",
    "hakit.agent.process",
    "hakit.agent.state",
    "hakit.agent.work",
}


def loaded(code: str) -> set[str]:
    """The modules of a fresh interpreter that has run some code."""
    told = f"{code}\nimport sys\nprint('loaded:', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("loaded:")[2].split())


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["plan", "--help"], ["lint", "--help"]])
def test_help_loads_no_work(arguments: list[str]) -> None:
    found = loaded(f"from hakit.cli.main import cli\ntry:\n    cli.main({arguments})\nexcept SystemExit:\n    pass")
    assert "hakit.cli.main" in found
    assert not found & SLOW


def test_a_run_loads_nothing_that_only_hosts_need() -> None:
    found = loaded("import hakit.engine.run")
    assert "hakit.engine.session" in found
    assert not found & HOSTS_OWN


def test_a_connector_loads_no_proxy_commands_and_paramiko_no_asyncio() -> None:
    found = loaded("import hakit.ssh.connector")
    assert "paramiko" in found
    assert not found & {"hakit.ssh.proxy", "asyncio", "unittest.mock"}
