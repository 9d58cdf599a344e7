"""Holds a site to the rules: waivers taken, the same finding on several hosts told once, sorted for reading."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hakit.inventory.origin import Mark, Problem, dotted
from hakit.lint.registry import rules, upheld
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from hakit.components.base import Component, Facts
    from hakit.inventory.model import Site
    from hakit.lint.rule import Finding, Rule


@dataclass(frozen=True, slots=True)
class Waived:
    """A rule that the inventory waives where it would have spoken, with the reason given there."""

    rule: str
    reason: str
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class Report:
    """What lint found: problems by file and line, warnings before errors; and what was waived."""

    problems: tuple[Problem, ...]
    waived: tuple[Waived, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Those that refuse the inventory."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Those that only warn."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")


def examine(site: Site, components: Mapping[str, Component], facts: Mapping[str, Facts] | None = None) -> Report:
    """Check every component's settings and every rule; `facts` are what is known of hosts by their names."""
    known = rules(components)
    told = [*_component_problems(site, components), *_bad_waivers(site, known, upheld(components))]
    waived: list[Waived] = []
    for rule in known.values():
        for finding in rule.findings(site, components, facts or {}):
            reason = finding.host.ignore.get(rule.id)
            if rule.waivable and finding.waivable and reason is not None:
                waived.append(Waived(rule.id, reason, finding.host.mark("lint", "ignore", rule.id)))
            else:
                told.append((finding.host.name, _problem(rule, finding)))
    return Report(tuple(sorted(_once(told), key=_reading_order)), tuple(dict.fromkeys(waived)))


def _once(told: Iterable[tuple[str, Problem]]) -> Iterator[Problem]:
    """What one setting does wrong on several hosts, told for the first of them; the others are named."""
    places: dict[tuple[object, ...], dict[str, list[Problem]]] = {}
    for host, problem in told:
        place = (problem.rule, problem.severity, problem.mark, problem.key)
        places.setdefault(place, {}).setdefault(host, []).append(problem)
    for by_host in places.values():
        first, *others = by_host
        same = dict.fromkeys(by_host[first])
        differing = [host for host in others if by_host[host][0].message != by_host[first][0].message]
        likewise = f" (likewise {', '.join(differing)})" if differing else ""
        for problem in same:
            yield replace(problem, message=problem.message + likewise)


def _problem(rule: Rule, finding: Finding) -> Problem:
    return Problem(
        message=finding.message,
        mark=finding.host.mark(*finding.path),
        key=dotted(finding.path),
        severity=finding.severity or rule.severity,
        rule=rule.id,
        write=finding.write,
    )


def _component_problems(site: Site, components: Mapping[str, Component]) -> Iterator[tuple[str, Problem]]:
    for component in components.values():
        for host, path, message in component.check(site):
            yield host.name, Problem(message, host.mark(*path), dotted(path))


def _bad_waivers(site: Site, known: Mapping[str, Rule], given: Collection[str]) -> Iterator[tuple[str, Problem]]:
    """Waivers of rules that do not exist, or that nobody may waive."""
    for host in site.hosts.values():
        for rule in host.ignore:
            if rule in given or (rule in known and known[rule].waivable):
                continue
            if rule in known:
                message = f"{rule} protects data and can't be waived: {known[rule].reason}"
            else:
                message = f"no such rule: {rule}{did_you_mean(rule, known)}"
            yield host.name, Problem(message, host.mark("lint", "ignore", rule), f"lint.ignore.{rule}")


def _reading_order(problem: Problem) -> tuple[bool, Mark, str, str]:
    """Warnings first, so that errors stand last on the screen; then by place."""
    return problem.severity == "error", problem.mark or Mark("", 0), problem.rule or "", problem.message
