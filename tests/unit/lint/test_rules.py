"""Each rule has an inventory that breaks it, and it alone, and one that breaks none."""

from __future__ import annotations

from pathlib import Path

import pytest

from hakit.components.registry import discover
from hakit.inventory import load
from hakit.lint import findings
from hakit.lint.registry import rules, upheld

CASES = Path(__file__).parent / "cases"
COMPONENTS = discover()
RULES = rules(COMPONENTS)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_VRRP", "eight888")
    monkeypatch.setenv("HAKIT_SECRET_REPLICATION", "of standbys")


def broken(path: Path) -> list[str]:
    """The ids of all rules that an inventory breaks; what is no rule's finding stands as its message."""
    site = load(path, {name: component.Settings for name, component in COMPONENTS.items()})
    return sorted({problem.rule or problem.message for problem in findings(site, COMPONENTS)})


@pytest.mark.parametrize("rule", RULES)
def test_bad_inventory_breaks_this_rule_alone(rule: str) -> None:
    assert broken(CASES / rule / "bad.yml") == [rule]


@pytest.mark.parametrize("rule", RULES)
def test_good_inventory_breaks_no_rule(rule: str) -> None:
    assert broken(CASES / rule / "good.yml") == []


def test_every_case_belongs_to_a_rule() -> None:
    assert sorted(path.name for path in CASES.iterdir()) == sorted(RULES)


def test_no_rule_is_both_checked_and_upheld() -> None:
    assert not RULES.keys() & upheld(COMPONENTS).keys()


def test_no_two_components_share_a_rule_id() -> None:
    ids = [rule.id for component in COMPONENTS.values() for rule in component.rules]
    ids += [rule.id for component in COMPONENTS.values() for rule in component.upheld]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_says_why_and_on_whose_word(rule: str) -> None:
    assert RULES[rule].reason.endswith(".")
    assert RULES[rule].source
    assert RULES[rule].check.__doc__
