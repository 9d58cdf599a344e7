from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from hakit.cli import options
from hakit.cli.init import init
from hakit.cli.schema import schema
from hakit.inventory import load
from hakit.inventory.reference import markdown
from hakit.inventory.schema import inventory_schema
from hakit.lint import findings
from tests.unit.inventory.conftest import SCHEMAS

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent


def validator(*, only_variables: bool = False) -> jsonschema.Draft202012Validator:
    found = inventory_schema(SCHEMAS, only_variables=only_variables)
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


GOOD = """
all:
  vars: {free: [1], hakit: {zone: a, services: {web: {address: 10.0.0.1, rto: 3s}}}}
  hosts: {"web[1:3]": , db: {ansible_host: 10.0.0.2, hakit: {balancer: {password: {secret: x}}}}}
  children: {g: {hosts: single}, empty: }
"""


def test_a_good_inventory_passes() -> None:
    assert not list(validator().iter_errors(yaml.safe_load(GOOD)))


@pytest.mark.parametrize(
    "bad",
    [
        {"all": {"host": {}}},
        {"all": {"vars": {"hakit": {"balancr": {}}}}},
        {"all": {"hosts": {"a": {"hakit": {"balancer": {"backends": {"w": {"prot": 80}}}}}}}},
        {"all": {"hosts": {"a": {"hakit": {"balancer": {"backends": {"w": {"port": 0}}}}}}}},
        {"all": {"vars": {"hakit": {"balancer": {"password": "clear"}}}}},
        {"all": {"vars": {"hakit": {"services": {"w": {"rto": 3}}}}}},
        {"all": {"hosts": ["a"]}},
    ],
)
def test_bad_inventories_fail(bad: Any) -> None:
    assert list(validator().iter_errors(bad))


def test_parts_need_not_be_whole() -> None:
    part = {"hakit": {"balancer": {"backends": {"web": {"mode": "tcp"}}}, "lab": {"driver": "nspawn"}}}
    assert not list(validator(only_variables=True).iter_errors(part))


@pytest.mark.parametrize("folder", sorted((ROOT / "inventories").iterdir()), ids=lambda path: path.name)
def test_own_inventories_pass_the_printed_schema(folder: Path) -> None:
    printed = CliRunner().invoke(schema, catch_exceptions=False)
    variables = CliRunner().invoke(schema, ["--variables"], catch_exceptions=False)
    for path in [*folder.glob("*.yml"), *folder.glob("group_vars/**/*.yml"), *folder.glob("host_vars/**/*.yml")]:
        found = json.loads((printed if path.parent == folder else variables).output)
        errors = list(jsonschema.Draft202012Validator(found).iter_errors(yaml.safe_load(path.read_text())))
        assert not errors, path


def test_reference_shows_defaults_as_they_are_written() -> None:
    text = markdown(SCHEMAS)
    assert '| `secrets.timeout` | a duration with its unit such as 500ms, 3s, 2m, 1h | `"30s"` |' in text
    assert "| `balancer.backends.&lt;name>.port` |" in text.replace("<name>", "&lt;name>")
    assert "| `balancer.password` | a secret: `{secret: NAME}` |" in text


def test_the_reference_in_docs_is_current() -> None:
    printed = CliRunner().invoke(schema, ["--markdown"], catch_exceptions=False).output
    kept = (ROOT / "docs" / "inventory-reference.md").read_text()
    assert kept == printed, "run  hakit schema --markdown > docs/inventory-reference.md"


def test_the_starter_inventory_has_nothing_to_find(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    done = CliRunner().invoke(init, [str(folder)], catch_exceptions=False)
    assert done.exit_code == 0
    assert {".hakit/*", "!.hakit/known_hosts"} <= set((folder / ".gitignore").read_text().splitlines())
    components = options.components()
    site = load(folder, {name: component.Settings for name, component in components.items()})
    assert set(site.groups["balancers"].hosts) == {"lb1", "lb2"}
    assert not site.warnings
    assert not list(findings(site, components))


def test_init_leaves_a_filled_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    done = CliRunner().invoke(init, [str(tmp_path)])
    assert done.exception is not None
    assert "is not empty" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
