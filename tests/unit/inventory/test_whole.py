"""`hakit inventory` takes what Ansible takes; every other command wants addresses and groups to be unmistakable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.cli import options
from hakit.errors import InventoryError

if TYPE_CHECKING:
    from pathlib import Path

TWICE = "all:\n  hosts:\n    a: {ansible_host: 10.0.0.1}\n    b: {ansible_host: 10.0.0.1}\n"
UNDEFINED = "all:\n  hosts: {a: {}}\n  children:\n    web: {children: {wbe: }}\n"
LOCAL = "all:\n  vars: {ansible_connection: local, ansible_host: 127.0.0.1}\n  hosts: {a: {}, b: {}}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [(TWICE, ":4:23: ansible_host: b has the address 10.0.0.1 of a"), (UNDEFINED, ":4:22: children.wbe: wbe is named")],
    ids=["address", "group"],
)
def test_hosts_without_settings_are_held_to_it_too(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(text)
    assert len(options.load(path, whole=False)[0].hosts) > 0
    with pytest.raises(InventoryError) as error:
        options.load(path)
    assert message in error.value.message


def test_many_names_of_this_machine_are_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(LOCAL)
    assert list(options.load(path)[0].hosts) == ["a", "b"]
