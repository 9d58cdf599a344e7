"""What is derived once for a site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.components.once import once_per_site
from tests.unit.components.sites import site

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Site


def test_a_site_is_looked_at_once_and_another_one_anew(tmp_path: Path) -> None:
    seen: list[Site] = []

    @once_per_site
    def names(asked: Site) -> list[str]:
        """The hosts."""
        seen.append(asked)
        return list(asked.hosts)

    first, second = site(tmp_path, {"a": {}}), site(tmp_path, {"b": {}})
    assert [names(one) for one in (first, first, second, second, first)] == [["a"], ["a"], ["b"], ["b"], ["a"]]
    assert len(seen) == 3
    assert names.__doc__ == "The hosts."


def test_an_equal_site_is_another_one(tmp_path: Path) -> None:
    """Two loads of one inventory may differ where equality does not look."""
    counted = once_per_site(lambda asked: [len(asked.hosts)])
    first, second = site(tmp_path, {"a": {}}), site(tmp_path, {"a": {}})
    assert counted(first) is counted(first)
    assert counted(first) is not counted(second)
