"""Each folder of `cases` is an inventory and what becomes of it on every host: files, and `resources.txt` for the rest.

`HAKIT_UPDATE_CASES=1 pytest tests/unit/components/test_cases.py` writes what is expected anew; the diff is the review.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.agent.declare import Declaration
from hakit.agent.resources.files import Files
from hakit.components.content import Content
from hakit.components.registry import discover
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.engine.facts import offline
from hakit.inventory import load

if TYPE_CHECKING:
    from hakit.agent.resources.base import Resource

CASES = Path(__file__).parent / "cases"
COMPONENTS = discover()
PROGRAMS = ("haproxy-reload", "haproxy-drained", "keepalived-http", "keepalived-notify", "postgresql-reload")
"""Files that are the same for every inventory, with tests that run them."""
LIBRARIES = ("/usr/local/lib/hakit-postgresql/",)
"""Folders of programs that are hakit's own modules, with tests of their own."""
HIDDEN = ("component", "after", "label", "file", "files", "validate", "place")


def rendered(case: Path) -> dict[str, str]:
    site = load(case / "inventory.yml", {name: one.Settings for name, one in COMPONENTS.items()})
    templates = Templates(site)
    found: dict[str, str] = {}
    for name, host in site.hosts.items():
        declared = declare(site, COMPONENTS, host, offline(site, host), templates)
        found |= {
            f"{name}{path}": content.masked()
            for path, content in declared.contents().items()
            if not path.endswith(PROGRAMS) and not path.startswith(LIBRARIES)
        }
        found[f"{name}/resources.txt"] = "".join(f"{line}\n" for line in map(shown, declared.resources.values()))
    return found


def shown(resource: Resource) -> str:
    if isinstance(resource, Files):
        owners = ", ".join(dict.fromkeys(f"{file.owner}:{file.group} {file.mode:04o}" for file in resource.files))
        judges = "".join(f" validated by {' '.join(one.argv)}" for one in resource.validate)
        return f"{resource.key} {owners}{judges}{'' if resource.impact == 'none' else f' → {resource.impact}'}"
    return " ".join([resource.key, *told(resource)])


def told(declaration: Declaration) -> list[str]:
    kind = type(declaration)
    fields = {name: getattr(declaration, name) for name in declaration._fields if name not in HIDDEN}
    return [f"{name}={plain(name, value)}" for name, value in fields.items() if value != getattr(kind, name, None)]


def plain(name: str, value: object) -> str:
    if isinstance(value, Content):
        return value.masked()
    if isinstance(value, tuple):
        value = tuple(one for one in value if not str(one).startswith(LIBRARIES))
        if any(isinstance(one, Declaration) for one in value):
            return "".join(f"\n  {' '.join(told(one))}" for one in value)
    return f"{value:04o}" if name == "mode" else repr(value)


def expected(case: Path) -> dict[str, str]:
    folder = case / "expected"
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def write(case: Path, files: dict[str, str]) -> None:
    folder = case / "expected"
    shutil.rmtree(folder, ignore_errors=True)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda case: case.name)
def test_case(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATS", "APP_KEY", "DEPLOY_HASH", "VRRP", "PGREPL", "PGAPP"):
        monkeypatch.setenv(f"HAKIT_SECRET_{name}", "revealed")
    found = rendered(case)
    if os.environ.get("HAKIT_UPDATE_CASES"):
        write(case, found)
    wanted = expected(case)
    assert not any("revealed" in text for text in found.values())
    assert sorted(found) == sorted(wanted)
    for path, text in found.items():
        assert text == wanted[path], path
