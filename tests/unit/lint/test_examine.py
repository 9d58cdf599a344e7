"""Waivers, findings told once, their order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
from pydantic import BaseModel

from hakit.components.base import Component, HostContext
from hakit.inventory.model import Host, Login, Site
from hakit.inventory.origin import Mark
from hakit.inventory.secrets import Secrets
from hakit.lint import examine
from hakit.lint.rule import Finding, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hakit.agent.resources.base import Resource
    from hakit.inventory.origin import Path as KeyPath


class Empty(BaseModel):
    pass


class Fake(Component):
    name = "fake"
    Settings: ClassVar[type[BaseModel]] = Empty

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules  # type: ignore[misc]  # a class variable of real components

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        del ctx
        return ()


def host(name: str, *, line: int = 1, ignore: Mapping[str, str] | None = None) -> Host:
    marks: dict[KeyPath, Mark] = {
        ("fake",): Mark("hosts.yml", line, 3),
        ("lint", "ignore", "ZZ001"): Mark("hosts.yml", 99),
    }
    return Host(name, (), Login(name), name, None, None, {"fake": Empty()}, {}, marks, dict(ignore or {}))


def site(hosts: Sequence[Host]) -> Site:
    secrets = Secrets.__new__(Secrets)
    return Site(Path("hosts.yml"), Path(), {one.name: one for one in hosts}, {}, {}, None, secrets)


def rule(id_: str = "ZZ001", message: str = "{host} is wrong", **more: object) -> Rule:
    def check(found: Site, components: Mapping[str, Component]) -> Iterable[Finding]:
        del components
        return [Finding(one, ("fake",), message.format(host=one.name)) for one in found.hosts.values()]

    return Rule(id_, "error", "A reason.", "a source", check, **more)  # type: ignore[arg-type]  # waivable


def messages(hosts: Sequence[Host], *rules: Rule) -> list[str]:
    return [one.message for one in examine(site(hosts), {"fake": Fake(*rules)}).problems]


def test_the_same_at_one_place_is_told_once() -> None:
    assert messages([host("a"), host("b")], rule(message="wrong")) == ["wrong"]


def test_what_differs_by_host_alone_names_the_others() -> None:
    assert messages([host("a"), host("b"), host("c")], rule()) == ["a is wrong (likewise b, c)"]


def test_other_places_are_told_for_themselves() -> None:
    assert messages([host("a"), host("b", line=2)], rule()) == ["a is wrong", "b is wrong"]


def test_a_waiver_silences_its_own_host_and_is_reported() -> None:
    hosts = [host("a", ignore={"ZZ001": "we know"}), host("b", line=2)]
    report = examine(site(hosts), {"fake": Fake(rule())})
    assert [one.message for one in report.problems] == ["b is wrong"]
    assert [(one.rule, one.reason, one.mark) for one in report.waived] == [("ZZ001", "we know", Mark("hosts.yml", 99))]


def test_what_protects_data_is_not_waived() -> None:
    found = messages([host("a", ignore={"ZZ001": "we know"})], rule(waivable=False))
    assert found == ["a is wrong", "ZZ001 protects data and can't be waived: A reason."]


def test_a_waiver_of_an_unknown_rule_suggests_one() -> None:
    found = messages([host("a", ignore={"ZZ002": "why"})], rule(id_="ZZ003", message="x"))
    assert sorted(found) == ["no such rule: ZZ002 (did you mean ZZ003?)", "x"]


def test_errors_come_last_and_places_in_order() -> None:
    hosts = [host("a", line=30), host("b", line=4)]
    warning = Rule("ZZ002", "warning", "A reason.", "a source", rule(message="risky").check)
    assert messages(hosts, rule(message="wrong"), warning) == ["risky", "risky", "wrong", "wrong"]
    report = examine(site(hosts), {"fake": Fake(rule(message="wrong"), warning)})
    assert [one.mark.line for one in report.problems if one.mark] == [4, 30, 4, 30]
    assert len(report.errors) == len(report.warnings) == 2


@pytest.mark.parametrize("severity", ["error", "warning"])
def test_a_finding_may_be_milder_than_its_rule(severity: str) -> None:
    def check(found: Site, components: Mapping[str, Component]) -> Iterable[Finding]:
        del components
        return [Finding(one, ("fake",), "x", severity=severity) for one in found.hosts.values()]  # type: ignore[arg-type]

    (problem,) = examine(site([host("a")]), {"fake": Fake(Rule("ZZ001", "error", "A.", "a source", check))}).problems
    assert problem.severity == severity
