"""A host whose clock is off by a year: in a virtual machine, since a container has no clock of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import LabFactory, LabHandle

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
"""Emulated machines on a busy computer boot in minutes."""

INVENTORY = """
all:
  vars:
    hakit:
      lab: {driver: qemu, network: 10.79.0.0/24}
      system:
        files:
          /etc/hakit-clock.conf: {content: "one\\n", restart: [hakit-clock.service]}
          /etc/systemd/system/hakit-clock.service:
            content: |
              [Service]
              ExecStart=/bin/sh -c 'cp /etc/hakit-clock.conf /run/loaded; exec sleep infinity'
              [Install]
              WantedBy=multi-user.target
        units: {hakit-clock.service: {}}
  hosts:
    one: {ansible_host: 10.79.0.11}
"""
YEAR = 365 * 86400


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    return lab_factory(INVENTORY)


@pytest.fixture
def shifted(lab: LabHandle, seconds: int) -> Iterator[None]:
    shift(lab, seconds)
    yield
    shift(lab, -seconds)


def shift(lab: LabHandle, seconds: int) -> None:
    lab.lab.exec("one", ["date", "--set", f"{seconds} seconds"], check=True)


def declare(lab: LabHandle, content: str, package: str) -> None:
    path = lab.inventory / "hosts.yml"
    head = INVENTORY.replace('"one\\n"', json.dumps(f"{content}\n"))
    path.write_text(
        head.replace("      system:\n", f"      system:\n        packages: [{package}]\n"), encoding="utf-8"
    )


def loaded(lab: LabHandle) -> str:
    return lab.lab.exec("one", ["cat", "/run/loaded"], check=True).stdout.strip()


@pytest.mark.parametrize(
    ("seconds", "content", "package", "side"),
    [(-YEAR, "behind", "rsync", "behind"), (YEAR, "ahead", "tree", "ahead of")],
    ids=["behind", "ahead"],
)
@pytest.mark.usefixtures("shifted")
def test_a_clock_that_is_off_by_a_year_misleads_nobody(lab: LabHandle, content: str, package: str, side: str) -> None:
    declare(lab, content, package)
    seen = lab.hakit("doctor", timeout=300)
    assert f"its clock is 365 d {side} this machine's" in seen.stdout, seen.stdout + seen.stderr
    done = lab.hakit("apply", "--yes", timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert loaded(lab) == content
    again = lab.hakit("apply", "--yes", timeout=300)
    assert "0 hosts changed, 1 unchanged" in again.stdout, again.stdout + again.stderr
