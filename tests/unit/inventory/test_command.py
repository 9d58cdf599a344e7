"""`hakit inventory` as a user sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING

import pytest

from hakit.inventory.starter import FILES
from hakit.inventory.store import Store, make_identity

if TYPE_CHECKING:
    from tests.unit.inventory.conftest import Ansible

ROOT = Path(__file__).parents[3]
LAB = "inventories/lab"


def write_starter(folder: Path) -> None:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def hakit(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hakit", "inventory", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=60,
    )


@pytest.mark.parametrize("inventory", ["lab", "example-datacentre"])
def test_ansible_sees_the_same_in_the_file(inventory: str, ansible: Ansible) -> None:
    done = hakit("-i", f"inventories/{inventory}/hosts.yml", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    mine, theirs = json.loads(done.stdout), ansible.list(ROOT / "inventories" / inventory / "hosts.yml")
    for listing in (mine, theirs):
        for values in listing["_meta"]["hostvars"].values():
            values.pop("hakit", None)  # hakit merges it deeply, Ansible replaces it
    assert mine == theirs


@pytest.mark.parametrize("inventory", ["lab", "example-datacentre", "starter"])
def test_ansible_sees_the_same_groups_in_the_folder(inventory: str, tmp_path: Path) -> None:
    """As a user runs it: Ansible then tries every file in the folder, templates and secrets too."""
    folder = tmp_path / inventory
    if inventory == "starter":
        write_starter(folder)
    else:
        copytree(ROOT / "inventories" / inventory, folder)
    (folder / "known_hosts").write_text("10.77.0.11 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK\n")
    store = Store(folder)
    store.add_recipient(make_identity(tmp_path / "age.key"), "me")
    store.save({"a": "b"})
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    theirs = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", str(folder), "--graph"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    assert theirs.stdout == hakit("-i", str(folder), "--graph").stdout


def test_summary() -> None:
    done = hakit("-i", LAB)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[0].split() == ["HOST", "ADDRESS", "ZONE", "GROUPS", "COMPONENTS"]
    assert lines[1].startswith("lb1   10.77.0.11  a     balancers")
    assert lines[-1] == f"Check it with  hakit lint -i {LAB}"


def test_graph() -> None:
    assert hakit("-i", LAB, "--graph").stdout.splitlines()[:4] == [
        "@all:",
        "  |--@ungrouped:",
        "  |--@balancers:",
        "  |  |--lb1",
    ]


def test_host_and_blame() -> None:
    host = hakit("-i", LAB, "--host", "lb1").stdout
    assert f"{LAB}/hosts.yml:" in host
    assert "10.77.0.11" in host
    blame = hakit("-i", LAB, "--blame", "lb1", "hakit.zone", "--json")
    found = json.loads(blame.stdout)
    assert [(one["effect"], one["by"], one["value"]) for one in found] == [("sets", "host lb1", "a")]
    assert found[0]["file"] == f"{LAB}/hosts.yml"
    assert json.loads(hakit("-i", LAB, "--host", "lb1", "--json").stdout)["hakit"]["zone"] == "a"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-i", LAB, "--host", "lb3"), "did you mean lb2?"),
        (("-i", LAB, "--blame", "lb1", "hakit.zoen"), "did you mean"),
        (("-i", LAB, "--host", "lb1", "--graph"), "exclude each other"),
        (("-i", "inventories/labs"), "did you mean inventories/lab?"),
        (("-i", "README.nothing"), "there is no such inventory"),
        (("--blame", "lb1"), "requires 2 arguments"),
    ],
)
def test_mistakes_are_told_and_exit_2(arguments: tuple[str, ...], said: str) -> None:
    done = hakit(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_every_problem_is_on_a_line_of_its_own() -> None:
    case = Path(__file__).parent / "bad" / "duplicate_keys"
    done = hakit("-i", ".", cwd=case)
    assert done.returncode == 2
    assert [line for line in (case / "expected.txt").read_text().splitlines() if line not in done.stderr] == []


def test_warnings_go_to_standard_error(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {a: }, remote_user: me}\n")
    done = hakit("-i", str(tmp_path), "--json")
    assert json.loads(done.stdout)["ungrouped"] == {"hosts": ["a"]}
    assert done.stderr.startswith(f"warning: {tmp_path}/hosts.yml:1:21: all.remote_user:")
