"""Real hosts for tests: each lab is a copy of an inventory in a folder of its own, so that no two labs meet."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from hakit.cli import options
from hakit.drill.prober import Prober
from hakit.lab import Lab
from tests.lab.agent_host import AgentHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakit.inventory.model import Site

ROOT = Path(__file__).parents[2]
DATABASE = ("orders.yml", "lab-secrets")
"""What `inventories/lab` says of its database: left out by tests that need its balancers and web servers only."""
ONE_HOST = """
all:
  vars:
    hakit:
      lab: {driver: nspawn, network: 10.77.0.0/24}
  hosts:
    one: {ansible_host: 10.77.0.11}
"""


LONGEST = (
    "test_qemu.py",
    "test_sabotage.py",
    "test_changes.py",
    "test_operations.py",
    "test_hangs.py",
    "test_matrix.py",
    "test_agent_resources.py",
)
"""Files that take minutes: begun first where files run side by side, so that no worker is left alone with one."""


def pytest_configure() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, which some tests send."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.lab)
    if len(ours) == len(items):
        items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A skipped lab test is a failure: whoever runs these has asked for real hosts."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("lab"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: lab tests may not be skipped: {report.longrepr}"


@dataclass(frozen=True)
class LabHandle:
    """A lab that is up, and its inventory, which a test may change."""

    lab: Lab
    inventory: Path

    @property
    def site(self) -> Site:
        """The site as its inventory says now."""
        return options.load(self.inventory)[0]

    def hakit(self, *arguments: str, timeout: float = 300.0, **popen: Any) -> subprocess.CompletedProcess[str]:
        """Run hakit on this lab's inventory, as a user would; never raises for an exit code."""
        environment = {
            **os.environ,
            "HAKIT_INVENTORY": str(self.inventory),
            "PYTHONPATH": str(ROOT),
            **popen.pop("env", {}),
        }
        defaults: dict[str, Any] = {"capture_output": True, "text": True, "check": False, "cwd": self.inventory}
        if "input" not in popen:
            defaults["stdin"] = subprocess.DEVNULL
        command = [sys.executable, "-m", "hakit", *arguments]
        done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: PLW1510 - in defaults
            command, timeout=timeout, env=environment, **(defaults | popen)
        )
        return done

    def prober(self, address: str, port: int = 80, path: str = "/") -> Prober:
        """A client of a service of this lab."""
        return Prober(self.lab.enter(), address, port, path)

    def eventually(self, state: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
        """Wait until a state is reached; fails with `what` when it is not."""
        deadline = time.monotonic() + timeout
        while not state():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {timeout:.0f} s: {what}")
            time.sleep(0.05)


class LabFactory(Protocol):
    """Makes a lab from the text of an inventory, or a copy of one; `without` are names that are not copied."""

    def __call__(self, source: str | Path, *, without: tuple[str, ...] = ()) -> LabHandle: ...


@pytest.fixture(scope="module")
def lab_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabFactory]:
    """Makes labs: from the text of an inventory, or from a copy of an inventory's folder or file."""
    made: list[Lab] = []

    def make(source: str | Path, *, without: tuple[str, ...] = ()) -> LabHandle:
        folder = tmp_path_factory.mktemp("lab")
        if isinstance(source, str):
            (folder / "hosts.yml").write_text(source, encoding="utf-8")
        elif source.is_dir():
            shutil.copytree(source, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".hakit", *without))
        else:
            shutil.copy(source, folder / "hosts.yml")
        lab = Lab.of(options.load(folder)[0])
        made.append(lab)
        lab.up(print)
        return LabHandle(lab, folder)

    yield make
    for lab in made:
        lab.down()


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    """One bare host; modules that need more have a fixture of their own."""
    return lab_factory(ONE_HOST)


@pytest.fixture
def host(lab: LabHandle) -> Iterator[AgentHost]:
    """The one host, for agent sessions; afterwards everything that they declared is taken away again."""
    one = AgentHost(lab)
    yield one
    assert one.apply().result.failed == 0
    assert one.plan() == ()
