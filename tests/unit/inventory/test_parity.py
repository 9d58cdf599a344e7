"""hakit and ansible-core see the same hosts, groups and variables in the same inventories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hakit.errors import InventoryError
from hakit.inventory import load
from hakit.inventory.listing import inventory_list

if TYPE_CHECKING:
    from tests.unit.inventory.conftest import Ansible

CASES = sorted(Path(__file__).parent.joinpath("parity").iterdir())


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 40


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_same_as_ansible(case: Path, ansible: Ansible) -> None:
    assert inventory_list(load(case, {})) == ansible.list(case)


# No host has the name of a group: Ansible itself confuses them then, and hakit warns.
NAMES = st.sampled_from(["a", "b", "c", "d-1", "e_2", "x.y", "host[1:3]", "h[a:b]"])
# `ungrouped` below another group makes Ansible lose its hosts; parity/ungrouped.yml has it where it belongs.
GROUPS = st.sampled_from(["web", "db", "east", "west", "all", "leaf", "Top"])
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x17F, exclude_characters="\x7f\x85"), max_size=8),
    st.dates(),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("abc", min_size=1), inner))
)
VARIABLES = st.dictionaries(st.sampled_from(["v", "w", "x", "y", "z"]), VALUES, max_size=3)
PRIORITIES = st.one_of(st.just({}), st.builds(lambda n: {"ansible_group_priority": n}, st.integers(-3, 30)))


def _group(children: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.fixed_dictionaries(
        {},
        optional={
            "hosts": st.one_of(st.none(), st.dictionaries(NAMES, st.one_of(st.none(), VARIABLES), max_size=3)),
            "vars": st.one_of(st.none(), st.builds(lambda a, b: a | b, VARIABLES, PRIORITIES)),
            "children": st.one_of(st.none(), st.dictionaries(GROUPS, children, max_size=3)),
        },
    )


INVENTORIES = st.dictionaries(GROUPS, st.recursive(_group(st.none()), _group, max_leaves=6), min_size=1, max_size=5)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(inventory=INVENTORIES)
def test_generated_inventories_are_the_same(
    inventory: dict[str, object], ansible: Ansible, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("generated") / "hosts.yml"
    path.write_text(yaml.safe_dump(inventory, sort_keys=False, allow_unicode=True))
    mine = _list(path)
    if isinstance(mine, InventoryError):
        # Circles are the one thing that generated groups can get wrong; Ansible refuses them too.
        assert all("circle" in problem.message for problem in mine.problems)
        with pytest.raises(AssertionError):
            ansible.list(path)
    else:
        assert mine == ansible.list(path)


def _list(path: Path) -> dict[str, object] | InventoryError:
    try:
        return inventory_list(load(path, {}))
    except InventoryError as error:
        return error
