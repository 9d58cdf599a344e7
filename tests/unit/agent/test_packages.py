"""Packages that leave the inventory, by a real agent with a dpkg and an apt that do as they are told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hakit.agent.resources.package import Package
from tests.unit.agent.agent_support import apply_with

if TYPE_CHECKING:
    from tests.unit.agent.agent_support import Agents

DPKG_QUERY = """#!/bin/sh
cd "${0%/*}/../fake"
test -e no-dpkg && { echo "dpkg-query: error: parsing file" >&2; exit 2; }
test "$1" = -L && { cat files; exit 0; }
printf 'nano\\t1\\tii \\n'
"""
SYSTEMCTL = """#!/bin/sh
cd "${0%/*}/../fake"
echo "ActiveState=$(cat active)"; echo InvocationID=1
"""
APT_GET = """#!/bin/sh
cd "${0%/*}/../fake"
case "$*" in
*" -s "*|"-s "*) test -e no-apt && exit 100; echo "Remv nano [1]"; cat dependants 2>/dev/null ;;
*) echo "$@" >> asked ;;
esac
exit 0
"""


@pytest.fixture
def packages(agents: Agents) -> Agents:
    """A host with one package, that hakit remembers to have installed."""
    (agents.root / "fake").mkdir()
    for name, script in (("dpkg-query", DPKG_QUERY), ("apt-get", APT_GET), ("systemctl", SYSTEMCTL)):
        agents.write(f"/bin/{name}", script, 0o755)
    agents.write("/fake/files", "/usr/bin/nano\n")
    agents.state.mkdir(parents=True, mode=0o700)
    record = {"items": {"package:nano": {"installed": True, "component": "test"}}, "files": {}}
    agents.write("/var/lib/hakit/manifest.json", json.dumps(record), 0o600)
    return agents


def remembered(agents: Agents) -> bool:
    """Whether the host still knows that hakit installed the package."""
    return "package:nano" in json.loads(agents.read("/var/lib/hakit/manifest.json"))["items"]


@pytest.mark.parametrize(
    ("listed", "active", "impact"),
    [
        ("/usr/lib/systemd/system/nano.service", "active", "disruptive"),
        ("/lib/systemd/system/nano.service", "active", "disruptive"),
        ("/lib/systemd/system/nano.service", "inactive", "none"),
        ("/lib/systemd/system/nano@.service", "active", "none"),
        ("/usr/bin/nano", "active", "none"),
    ],
)
def test_a_removal_disrupts_where_it_stops_a_service(packages: Agents, listed: str, active: str, impact: str) -> None:
    packages.write("/fake/files", f"/.\n{listed}\n")
    packages.write("/fake/active", f"{active}\n")
    (item,) = packages.plan()
    assert (item.summary, item.impact) == (("remove 1",), impact)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("no-dpkg", "reading what is installed: dpkg-query failed with exit 2"),
        ("no-apt", "seeing what would go with nano: apt-get failed with exit 100"),
    ],
)
def test_nothing_is_removed_or_forgotten_where_dpkg_or_apt_can_not_tell(
    packages: Agents, broken: str, message: str
) -> None:
    (packages.root / "fake" / broken).touch()
    (item,) = packages.plan()
    assert item.error is not None
    assert (item.status, item.error.message) == ("refused", message)
    (packages.root / "fake" / broken).unlink()
    with packages.client() as client:
        client.plan((), None)
        (packages.root / "fake" / broken).touch()
        assert client.apply([], ["package:nano"], lambda _: None).failed == 1
    assert remembered(packages)
    assert not (packages.root / "fake/asked").exists()


def test_a_package_that_somebody_needs_meanwhile_stays_and_is_not_forgotten(packages: Agents) -> None:
    with packages.client() as client:
        client.plan((), None)
        (packages.root / "fake/dependants").write_text("Remv editor [1]\n")
        errors: list[str] = []
        client.apply([], ["package:nano"], lambda event: errors.extend([event.error.message] if event.error else []))
    assert errors == ["editor would go with it now: look at it again with a new plan"]
    assert remembered(packages)


def test_a_package_of_which_the_plan_says_that_it_stays_stays(packages: Agents) -> None:
    dependants = packages.root / "fake/dependants"
    dependants.write_text("Remv editor [1]\n")
    with packages.client() as client:
        (item,) = client.plan((), None)
        assert item.summary == ("keep it: editor would go with it",)
        dependants.unlink()
        assert client.apply([], ["package:nano"], lambda _: None).failed == 0
    assert not (packages.root / "fake/asked").exists()
    assert not remembered(packages)


def test_a_dpkg_that_can_not_tell_refuses_a_package_and_no_more(packages: Agents) -> None:
    (packages.root / "fake/no-dpkg").touch()
    with packages.client() as client:
        client.hello(run="r", who="w", lock=True, packages=["nano"])
        (item,) = apply_with(client, [Package(package="nano", component="test")]).items
    assert item.status == "refused"
