"""Findings of lint and errors of an inventory, as people read them: the place, what is wrong, what to write."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any

from hakit.present.terminal import count, paint, width

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hakit.inventory.origin import Problem
    from hakit.lint.examine import Waived
    from hakit.lint.rule import Rule, Upheld

COLOURS = {"error": "red", "warning": "yellow"}


def problem(one: Problem) -> str:
    """One finding in lines: place, rule and severity; key and message; what to write; where to read more."""
    head = [paint(str(one.mark), bold=True)] if one.mark else []
    head.append(paint(" ".join(filter(None, (one.rule, one.severity))), COLOURS[one.severity]))
    lines = ["  ".join(head), *_wrapped(f"{one.key}: {one.message}" if one.key else one.message, "  ")]
    if one.write:
        lines += _wrapped(f"write  {one.write}", "  ", hang="         ")
    if one.rule:
        lines.append(paint(f"  more   hakit lint --explain {one.rule}", dim=True))
    return "\n".join(lines)


def problems(found: Iterable[Problem]) -> str:
    """All findings, an empty line after each."""
    return "".join(f"{problem(one)}\n\n" for one in found)


def totals(found: Sequence[Problem], waived: Sequence[Waived]) -> str:
    """`3 errors, 1 warning, 2 rules waived`; `nothing found` when there is nothing."""
    errors = sum(one.severity == "error" for one in found)
    warnings = len(found) - errors
    rules = len({one.rule for one in waived})
    parts = [
        *([count(errors, "error")] if errors else []),
        *([count(warnings, "warning")] if warnings else []),
        *(["nothing found"] if not found else []),
        *([f"{count(rules, 'rule')} waived"] if rules else []),
    ]
    return ", ".join(parts)


def as_json(found: Iterable[Problem], waived: Iterable[Waived]) -> dict[str, Any]:
    """Findings and waivers for programs."""
    return {
        "problems": [
            {
                "severity": one.severity,
                "rule": one.rule,
                "file": one.mark.file if one.mark else None,
                "line": one.mark.line if one.mark else None,
                "column": one.mark.column if one.mark else None,
                "key": one.key,
                "message": one.message,
                "write": one.write,
            }
            for one in found
        ],
        "waived": [
            {
                "rule": one.rule,
                "reason": one.reason,
                "file": one.mark.file if one.mark else None,
                "line": one.mark.line if one.mark else None,
            }
            for one in waived
        ],
    }


def rule(one: Rule) -> str:
    """A rule explained: what it looks at, why, on whose word, how to waive it."""
    lines = [f"{paint(one.id, bold=True)}  {paint(one.severity, COLOURS[one.severity])}", *_wrapped(one.reason, "  ")]
    if one.check.__doc__:
        lines += _wrapped(f"looks at  {one.check.__doc__.splitlines()[0]}", "  ", hang="            ")
    lines += _wrapped(f"source    {one.source}", "  ", hang="            ")
    if one.waivable:
        lines.append(f'  waive     hakit: {{lint: {{ignore: {{{one.id}: "why it does not apply here"}}}}}}')
    else:
        lines.append("  waive     never: it protects data")
    return "\n".join(lines)


def upheld(one: Upheld) -> str:
    """A rule that no settings can break, and what upholds it."""
    return "\n".join(
        [
            f"{paint(one.id, bold=True)}  upheld by hakit itself",
            *_wrapped(one.reason, "  "),
            *_wrapped(f"how       {one.how}", "  ", hang="            "),
            *_wrapped(f"source    {one.source}", "  ", hang="            "),
        ]
    )


def catalogue(rules: Mapping[str, Rule], given: Mapping[str, Upheld]) -> str:
    """All rules, one line each: id, severity, reason."""
    rows: list[tuple[str, str, str]] = [(one.id, one.severity, one.reason) for one in rules.values()]
    rows += [(one.id, "upheld", one.reason) for one in given.values()]
    return "\n".join(
        f"{id_}  {paint(f'{severity:<7}', COLOURS.get(severity))}  {reason}" for id_, severity, reason in sorted(rows)
    )


def catalogue_json(rules: Mapping[str, Rule], given: Mapping[str, Upheld]) -> list[dict[str, Any]]:
    """All rules for programs."""
    checked = [
        {
            "id": one.id,
            "severity": one.severity,
            "reason": one.reason,
            "checks": one.check.__doc__,
            "source": one.source,
            "waivable": one.waivable,
        }
        for one in rules.values()
    ]
    kept = [
        {"id": one.id, "severity": "upheld", "reason": one.reason, "how": one.how, "source": one.source}
        for one in given.values()
    ]
    return sorted([*checked, *kept], key=lambda row: str(row["id"]))


def catalogue_markdown(rules: Mapping[str, Rule], given: Mapping[str, Upheld]) -> str:
    """All rules as a page of documentation."""
    lines = [
        "# The rules of `hakit lint`",
        "",
        "Written by `hakit lint --rules --markdown`; [lint.md](lint.md) says how to use them.",
    ]
    for id_ in sorted([*rules, *given]):
        lines += ["", *(_section(rules[id_]) if id_ in rules else _upheld_section(given[id_]))]
    return "\n".join(lines) + "\n"


def _section(one: Rule) -> list[str]:
    waivable = [] if one.waivable else ["", "Can't be waived: it protects data."]
    looks = [f"Looks at: {one.check.__doc__.splitlines()[0]}", ""] if one.check.__doc__ else []
    return [f"## {one.id} ({one.severity})", "", one.reason, "", *looks, f"Source: {one.source}", *waivable]


def _upheld_section(one: Upheld) -> list[str]:
    return [
        f"## {one.id} (upheld)",
        "",
        one.reason,
        "",
        f"No setting breaks it: {one.how}.",
        "",
        f"Source: {one.source}",
    ]


def _wrapped(text: str, indent: str, hang: str | None = None) -> list[str]:
    """Lines that fit the terminal; one line in a pipe, where programs and grep read."""
    if not sys.stdout.isatty():
        return [indent + text]
    return textwrap.wrap(
        text,
        max(width(), 60),
        initial_indent=indent,
        subsequent_indent=hang or indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
