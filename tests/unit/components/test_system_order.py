"""What `system` declares is made in an order that works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.engine.facts import offline
from tests.unit.components.sites import COMPONENTS, site

if TYPE_CHECKING:
    from pathlib import Path

SYSTEM = {
    "units": {"app.service": {"enabled": True}},
    "commands": {"init": {"run": ["/srv/init"], "creates": "/srv/data"}},
    "files": {"/srv/init": {"content": "#!/bin/sh\n", "owner": "app"}},
    "directories": {"/srv": {"owner": "app"}},
    "users": {"app": {"group": "apps"}},
    "groups": {"apps": {}},
    "packages": ["app"],
}


def test_each_kind_waits_for_what_it_needs(tmp_path: Path) -> None:
    made = site(tmp_path, {"one": {"system": SYSTEM}})
    host = made.hosts["one"]
    found = declare(made, COMPONENTS, host, offline(made, host), Templates(made)).resources
    waits = {key: set(resource.after) for key, resource in found.items()}
    chain = [
        "package:app",
        "group:apps",
        "user:app",
        "directory:/srv",
        "files:/srv/init",
        "command:init",
        "unit:app.service",
    ]
    assert [key for key in found if key in chain] == chain
    assert "command:init" in waits["unit:app.service"]
    assert "files:/srv/init" in waits["command:init"]
    assert "directory:/srv" in waits["files:/srv/init"]
    assert "user:app" in waits["directory:/srv"]
    assert "group:apps" in waits["user:app"]
