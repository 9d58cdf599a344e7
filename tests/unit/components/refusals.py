"""Inventories that are refused, and say why themselves: `# expect: KEY | RULE SEVERITY | a part of the reason`.

`RULE` is `-` for what is no rule's finding. Everything that is found is expected, with its place in the file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hakit.errors import InventoryError
from hakit.inventory import load
from hakit.lint import findings
from tests.unit.components.sites import COMPONENTS

if TYPE_CHECKING:
    from pathlib import Path

EXPECT = "# expect: "


def assert_refused(path: Path, *, below: str = "") -> None:
    """All that is expected is found and nothing else; keys in the file are told without `below`."""
    try:
        site = load(path, {name: one.Settings for name, one in COMPONENTS.items()})
        problems = findings(site, COMPONENTS)
    except InventoryError as error:
        problems = tuple(error.problems)
    text = path.read_text(encoding="utf-8").splitlines()
    wanted = [line.removeprefix(EXPECT).split(" | ") for line in text if line.startswith(EXPECT)]
    assert wanted
    found = {(one.key.removeprefix(below), f"{one.rule or '-'} {one.severity}"): one for one in problems}
    assert sorted(found) == sorted((key, rule) for key, rule, _ in wanted), [one.text() for one in problems]
    for key, rule, reason in wanted:
        problem = found[key, rule]
        assert reason in problem.message
        assert problem.mark is not None
        assert problem.mark.file == str(path)
        # The line names the key, or what the key would stand below.
        names = re.split(r"[.\[]", key)[-3:]
        assert any(name in text[problem.mark.line - 1] for name in names), problem.text()
