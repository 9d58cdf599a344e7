"""Inventories that say in their first lines what lint must find: `# expect: RULE SEVERITY KEY` (`-`: not a rule)."""

from __future__ import annotations

from pathlib import Path

import pytest

from hakit.components.registry import discover
from hakit.inventory import load
from hakit.lint import findings

VARIANTS = sorted((Path(__file__).parent / "variants").glob("*.yml"))
COMPONENTS = discover()
EXPECT = "# expect: "


@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.stem)
def test_variant(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_VRRP", "eight888")
    monkeypatch.setenv("HAKIT_SECRET_LONG", "nine99999")
    monkeypatch.setenv("HAKIT_SECRET_REPLICATION", "of standbys")
    site = load(path, {name: component.Settings for name, component in COMPONENTS.items()})
    found = [f"{one.rule or '-'} {one.severity} {one.key}" for one in findings(site, COMPONENTS)]
    expected = [line.removeprefix(EXPECT) for line in path.read_text().splitlines() if line.startswith(EXPECT)]
    assert sorted(found) == sorted(expected)
