"""Sites made by hand, for tests that need no files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hakit.inventory.model import Group, Host, Login, Site
from hakit.inventory.secrets import Secrets


def host(name: str, *groups: str, **settings: Any) -> Host:
    return Host(name, groups, Login(name), name, None, None, settings, {}, {})


def site(*hosts: Host, root: Path = Path("/nowhere")) -> Site:
    names = {group for one in hosts for group in one.groups}
    groups = {name: Group(name, tuple(one.name for one in hosts if name in one.groups)) for name in sorted(names)}
    return Site(root / "hosts.yml", root, {one.name: one for one in hosts}, groups, {}, None, Secrets())
