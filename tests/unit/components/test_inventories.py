"""The inventories that hakit ships are good examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from hakit.engine.render import render_site
from hakit.inventory import load
from hakit.lint import examine
from tests.unit.components.sites import COMPONENTS

INVENTORIES = Path(__file__).parents[3] / "inventories"


@pytest.mark.parametrize("name", sorted(path.name for path in INVENTORIES.iterdir() if (path / "hosts.yml").is_file()))
def test_it_lints_clean_and_renders_the_same_twice(name: str, tmp_path: Path) -> None:
    trees = []
    for turn in ("one", "two"):
        site = load(INVENTORIES / name, {name: one.Settings for name, one in COMPONENTS.items()})
        report = examine(site, COMPONENTS)
        assert (report.problems, report.waived) == ((), ())
        render_site(site, COMPONENTS, tuple(site.hosts), tmp_path / turn)
        files = sorted(path for path in (tmp_path / turn).rglob("*") if path.is_file())
        trees.append({str(path.relative_to(tmp_path / turn)): path.read_bytes() for path in files})
    assert trees[0] == trees[1]
    assert len(trees[0]) > len(site.hosts)


def test_the_example_is_a_data_centre() -> None:
    site = load(INVENTORIES / "example-datacentre", {name: one.Settings for name, one in COMPONENTS.items()})
    assert len(site.hosts) >= 20
    assert len({host.zone for host in site.hosts.values()}) == 3


@pytest.mark.parametrize("name", ["database", "lab"])
def test_every_host_can_be_taken_out_of_its_duties(name: str) -> None:
    """A component is asked about hosts that it does not run on: another one's servers, say."""
    site = load(INVENTORIES / name, {name: one.Settings for name, one in COMPONENTS.items()})
    duties = {
        host: [duty.what for one in COMPONENTS.values() for duty in one.withdraw(site, known)]
        for host, known in site.hosts.items()
    }
    assert all(duties.values()), duties
