"""When a new content contradicts the other members of a redundancy group: by data, and by a real agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.agent.handlers.agreeing import differs, sections
from hakit.agent.resources.files import Agreement
from tests.unit.agent.agent_support import files, one

if TYPE_CHECKING:
    from tests.unit.agent.agent_support import Agents

AGREED = Agreement(
    path="/etc/daemon.conf",
    section=r"^instance (?P<name>\S+) \{",
    lines=r"^\s*(?:id|version|pass)\s|^\s*\d+\.\d+\.\d+\.\d+/",
    unit="daemon.service",
)
TEXT = """global {
    id everyone's own
}
instance a {
    id 1
    priority 100
    pass x
    addresses {
        10.0.0.1/24
        10.0.0.2/24
    }
}
instance b {
    id 2
}
"""


def test_sections_end_where_the_next_one_begins() -> None:
    assert sections(AGREED, TEXT) == {"a": ["id 1", "pass x", "10.0.0.1/24", "10.0.0.2/24"], "b": ["id 2"]}


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        pytest.param("", "", False, id="nothing"),
        pytest.param("    priority 100", "    priority 50", False, id="a line that is each member's own"),
        pytest.param("    id everyone's own", "    id another", False, id="outside of the sections"),
        pytest.param("    id 1", "\tid 1", False, id="only blanks"),
        pytest.param("    id 1", "    id 7", True, id="another value"),
        pytest.param("    pass x\n", "", True, id="a line less"),
        pytest.param("    pass x", "    pass x\n    version 3", True, id="a line more"),
        pytest.param(
            "        10.0.0.1/24\n        10.0.0.2/24", "        10.0.0.2/24\n        10.0.0.1/24", True, id="order"
        ),
        pytest.param("instance b", "instance c", False, id="a section that only one side has"),
        pytest.param("instance a", "instance c", False, id="all of a section"),
        pytest.param("    id 2", "    id 3", True, id="the last section"),
    ],
)
def test_differs(old: str, new: str, broken: bool) -> None:
    assert old in TEXT
    assert differs(AGREED, TEXT, TEXT.replace(old, new, 1)) == broken
    assert differs(AGREED, TEXT.replace(old, new, 1), TEXT) == broken


def systemctl(agents: Agents, active: str, enabled: str) -> None:
    program = agents.root / "bin/systemctl"
    program.write_text(f"#!/bin/sh\necho ActiveState={active}; echo UnitFileState={enabled}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("active", "enabled", "impact"),
    [
        ("active", "enabled", "group-atomic"),
        ("active", "disabled", "group-atomic"),
        ("inactive", "enabled", "group-atomic"),
        ("inactive", "enabled-runtime", "group-atomic"),
        ("deactivating", "disabled", "group-atomic"),
        ("inactive", "disabled", "reload"),
        ("failed", "disabled", "reload"),
        ("inactive", "", "reload"),
    ],
)
def test_who_does_not_speak_contradicts_nobody(agents: Agents, active: str, enabled: str, impact: str) -> None:
    agents.write("/etc/daemon.conf", TEXT)
    systemctl(agents, active, enabled)
    (item,) = agents.plan(
        files(one("/etc/daemon.conf", TEXT.replace("pass x", "pass y")), agree=(AGREED,), impact="reload")
    )
    assert item.impact == impact


@pytest.mark.parametrize(
    ("new", "impact"), [(TEXT, "none"), (TEXT.replace("100", "50"), "disruptive"), ("", "disruptive")]
)
def test_what_agrees_keeps_its_own_impact(agents: Agents, new: str, impact: str) -> None:
    agents.write("/etc/daemon.conf", TEXT)
    systemctl(agents, "active", "enabled")
    (item,) = agents.plan(files(one("/etc/daemon.conf", new), agree=(AGREED,), impact="disruptive"))
    assert item.impact == impact


def test_a_new_file_contradicts_nobody(agents: Agents) -> None:
    systemctl(agents, "active", "enabled")
    (item,) = agents.plan(files(one("/etc/daemon.conf", TEXT), agree=(AGREED,)))
    assert item.impact == "none"


def test_without_a_unit_it_always_counts(agents: Agents) -> None:
    agents.write("/etc/daemon.conf", TEXT)
    changed = one("/etc/daemon.conf", TEXT.replace("id 1", "id 9"))
    (item,) = agents.plan(files(changed, agree=(AGREED.replace(unit=""),)))
    assert item.impact == "group-atomic"


@pytest.mark.parametrize("section", ["(", "^instance"])
def test_a_rule_that_can_not_be_read_is_told(agents: Agents, section: str) -> None:
    agents.write("/etc/daemon.conf", TEXT)
    changed = one("/etc/daemon.conf", TEXT.replace("id 1", "id 9"))
    (item,) = agents.plan(files(changed, agree=(AGREED.replace(section=section),)))
    assert item.status == "refused"
    assert item.error is not None
    assert "can't be told" in item.error.message
