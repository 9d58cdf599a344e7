"""`apply --failed`: the hosts that did not end well in the last apply that began anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.cli import options
from hakit.cli.main import main
from hakit.components.base import Facts
from hakit.engine.plan import Change, HostPlan, Rejection, SitePlan
from hakit.engine.records import Record, unfinished
from hakit.engine.run import Run

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Site

HOSTS = "all: {hosts: {db1: {ansible_host: 192.0.2.1}, web1: {ansible_host: 192.0.2.2, hakit: {system: {}}}}}\n"
CHANGE = Change("files:/etc/motd", "change")
REFUSED = Change("files:/etc/motd", "refused", rejection=Rejection("it is a folder"))


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text(HOSTS, encoding="ascii")
    return path


def planned(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    plan = SitePlan({"web1": HostPlan("web1", Facts(), (change,), 0)})
    monkeypatch.setattr(Run, "plan", lambda _: plan)


def applied(site: Site, **states: str) -> None:
    record = Record.create(site, "hakit apply")
    record.write("plan.json", {"failed": {}, "hosts": {}})
    record.write("result.json", {"hosts": {name: {"state": state} for name, state in states.items()}})


def test_an_apply_that_was_declined_began_nothing(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, _ = options.load(inventory)
    applied(site, db1="failed", web1="changed")
    planned(monkeypatch, CHANGE)
    with pytest.raises(SystemExit) as ended:
        main(["apply", "-i", str(inventory), "--limit", "web1"])  # nobody is there to agree
    assert ended.value.code == 2
    assert unfinished(site) == ("db1",)


def test_an_apply_that_was_begun_counts(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, _ = options.load(inventory)
    applied(site, db1="failed", web1="changed")
    planned(monkeypatch, REFUSED)
    with pytest.raises(SystemExit) as ended:
        main(["apply", "-i", str(inventory), "--limit", "web1", "--yes"])
    assert ended.value.code == 1
    assert unfinished(site) == ("web1",)
