"""What lint says of settings of `system` that exclude each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hakit.errors import InventoryError
from tests.unit.components.sites import found, site

if TYPE_CHECKING:
    from pathlib import Path

TEXT = {"content": "text\n"}


@pytest.mark.parametrize(
    ("system", "key", "said"),
    [
        pytest.param(
            {"files": {"/etc/x": {}}},
            "system.files./etc/x",
            "a file needs either content or template; it has neither",
            id="no content",
        ),
        pytest.param(
            {"files": {"/etc/x": {**TEXT, "template": "x.j2"}}},
            "system.files./etc/x",
            "a file needs either content or template; it has both",
            id="content and template",
        ),
        pytest.param(
            {"files": {"/etc/x": {**TEXT, "validate_with": ["/bin/true"]}}},
            "system.files./etc/x.validate_with",
            "the command must name the new file",
            id="a validator that sees no file",
        ),
        pytest.param(
            {"files": {"/etc/x": TEXT}, "directories": {"/etc/x": {}}},
            "system.files./etc/x",
            "the same path stands under directories",
            id="file and directory",
        ),
        pytest.param(
            {"commands": {"a": {"run": ["/bin/true"]}}},
            "system.commands.a",
            "a command needs exactly one guard",
            id="a command without a guard",
        ),
        pytest.param(
            {"hosts": {"10.1.0.9": ["nas"]}}, "system.hosts", "lines for /etc/hosts need hosts_file: true", id="hosts"
        ),
        pytest.param(
            {"hosts_file": True, "files": {"/etc/hosts": TEXT}},
            "system.files./etc/hosts",
            "hosts_file makes this file already",
            id="two ways to /etc/hosts",
        ),
    ],
)
def test_it_says(tmp_path: Path, system: dict[str, Any], key: str, said: str) -> None:
    findings = found(site(tmp_path, {"one": {"system": system}}))
    assert findings.get(key, str(findings)).startswith(said)


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ({"files": {"etc/x": TEXT}}, "an absolute path"),
        ({"files": {"/etc/x": {**TEXT, "mode": 644}}}, "an octal file mode in quotes"),
        ({"files": {"/etc/x": {"content": "a\x1b[31m"}}}, "printable text"),
        ({"files": {"/etc/x": {"template": "../x.j2"}}}, "a path below the folder"),
        ({"sysctl": {"swappiness": 1}}, "a kernel parameter such as net.ipv4.ip_forward"),
        ({"units": {"nginx": {}}}, "a systemd unit with its suffix"),
        ({"users": {"Root": {}}}, "a user or group name"),
        ({"packages": ["nginx; reboot"]}, "the name of a Debian package"),
        ({"users": {"a": {"authorized_keys": ["ssh-ed25519 A\nssh-ed25519 B"]}}}, "one line of printable text"),
        ({"hosts": {"nas": ["store"]}}, "an IP address"),
    ],
)
def test_it_refuses(tmp_path: Path, system: dict[str, Any], said: str) -> None:
    with pytest.raises(InventoryError, match=said):
        site(tmp_path, {"one": {"system": system}})
