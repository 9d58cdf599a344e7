"""From an inventory to hosts and back: apply, apply again, drift, rejection, removal; on five real hosts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.lab.conftest import DATABASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.conftest import LabFactory, LabHandle

INVENTORIES = Path(__file__).parents[2] / "inventories"
HOSTS = ("lb1", "lb2", "web1", "web2", "web3")


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    """The lab's inventory, applied once to empty hosts."""
    handle = lab_factory(INVENTORIES / "lab", without=DATABASE)
    first = handle.hakit("apply", "--yes")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "5 hosts changed" in first.stdout
    return handle


@pytest.fixture
def edited(lab: LabHandle) -> Any:
    """Change the inventory's files within a test; afterwards the old ones are back and applied."""
    files = {path: path.read_text() for path in lab.inventory.rglob("*.yml")}

    def edit(name: str, change: Callable[[dict[str, Any]], None]) -> None:
        path = lab.inventory / name
        data = yaml.safe_load(path.read_text())
        change(data)
        path.write_text(yaml.safe_dump(data, sort_keys=False))

    yield edit
    for path, text in files.items():
        path.write_text(text)
    back = lab.hakit("apply", "--yes")
    assert back.returncode == 0, back.stdout + back.stderr


def text(lab: LabHandle, host: str, *command: str) -> str:
    return lab.lab.exec(host, command, capture_output=True, check=False).stdout


def sshd_counts(lab: LabHandle, host: str) -> tuple[int, int]:
    """Logins and execs that the host's own sshd has logged."""
    log = text(lab, host, "journalctl", "-q", "--no-pager", "-t", "sshd", "-t", "sshd-session", "-o", "cat")
    return len(re.findall(r"^Accepted publickey", log, re.MULTILINE)), len(
        re.findall(r"^Starting session: command", log, re.MULTILINE)
    )


def result(lab: LabHandle, *arguments: str) -> dict[str, Any]:
    done = lab.hakit("apply", "--yes", "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_second_apply_changes_nothing_with_one_connection_and_one_exec_per_host(lab: LabHandle) -> None:
    before = {host: sshd_counts(lab, host) for host in HOSTS}
    found = result(lab)
    assert {one["state"] for one in found["hosts"].values()} == {"same"}
    for host in HOSTS:
        logins, execs = (after - earlier for after, earlier in zip(sshd_counts(lab, host), before[host], strict=True))
        assert (logins, execs) == (1, 1), host


def test_plan_exit_code_tells_whether_something_differs(lab: LabHandle) -> None:
    assert lab.hakit("plan", "--exit-code").returncode == 0
    lab.lab.exec("web1", ["sh", "-c", "echo '# mine' >> /etc/nginx/nginx.conf"], check=True)
    differs = lab.hakit("plan", "--exit-code")
    assert differs.returncode == 3
    assert "# mine" in differs.stdout
    assert result(lab)["hosts"]["web1"]["state"] == "changed"


def test_a_change_behind_its_back_of_equal_size_and_time_is_found_and_mended(lab: LabHandle) -> None:
    path = "/etc/haproxy/haproxy.cfg"
    original = text(lab, "lb2", "cat", path)
    script = f"touch -r {path} /tmp/t && sed -i s/leastconn/roundrobi/ {path} && touch -r /tmp/t {path}"
    lab.lab.exec("lb2", ["sh", "-c", script], check=True)
    assert text(lab, "lb2", "cat", path) != original
    found = result(lab)
    assert found["hosts"]["lb2"]["state"] == "changed"
    assert found["hosts"]["lb1"]["state"] == "same"
    assert text(lab, "lb2", "cat", path) == original


@pytest.mark.parametrize(
    ("daemon", "section", "line"),
    [
        ("haproxy", "haproxy.backends.web", "ballance roundrobin"),
        ("keepalived", "keepalived.instances.web", "no_such_keyword 1"),
    ],
)
def test_a_rejected_configuration_never_replaces_the_running_one(
    lab: LabHandle, edited: Any, daemon: str, section: str, line: str
) -> None:
    path = {"haproxy": "/etc/haproxy/haproxy.cfg", "keepalived": "/etc/keepalived/keepalived.conf"}[daemon]
    unit = f"{daemon}.service"
    kept = {host: text(lab, host, "cat", path) for host in ("lb1", "lb2")}
    running = {host: text(lab, host, "systemctl", "show", "-p", "InvocationID,MainPID", unit) for host in kept}

    def break_it(data: dict[str, Any]) -> None:
        place = data["hakit"]
        for part in section.split("."):
            place = place[part]
        place["extra"] = [line]

    edited("group_vars/balancers.yml", break_it)
    done = lab.hakit("apply", "--yes")
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "Traceback" not in said
    number = re.search(rf"{re.escape(path)}:(\d+): ", said)
    assert number, said
    assert re.search(rf"templates/\S+\.j2:\d+, \S*group_vars/balancers\.yml:\d+ {section}\.extra\[0\]", said), said
    for host, before in kept.items():
        assert text(lab, host, "cat", path) == before
        assert text(lab, host, "systemctl", "show", "-p", "InvocationID,MainPID", unit) == running[host]


def test_what_leaves_the_inventory_is_shown_and_goes(lab: LabHandle, edited: Any) -> None:
    def add(data: dict[str, Any]) -> None:
        data["hakit"]["system"]["users"] = {"deploy": {}}
        data["hakit"]["system"]["files"]["/etc/hakit-demo.conf"] = {"content": "hello\n"}

    original = (lab.inventory / "group_vars/web.yml").read_text()
    edited("group_vars/web.yml", add)
    assert result(lab)["hosts"]["web1"]["state"] == "changed"
    assert "deploy" in text(lab, "web1", "id", "deploy")
    assert text(lab, "web1", "cat", "/etc/hakit-demo.conf") == "hello\n"
    (lab.inventory / "group_vars/web.yml").write_text(original)

    def remove(data: dict[str, Any]) -> None:
        del data["hakit"]["keepalived"]["instances"]["api"]
        del data["hakit"]["haproxy"]["frontends"]["api"]
        del data["hakit"]["haproxy"]["backends"]["api"]

    def promise_less(data: dict[str, Any]) -> None:
        data["all"]["vars"]["hakit"]["services"].pop("api", None)

    edited("group_vars/balancers.yml", remove)
    edited("hosts.yml", promise_less)
    planned = lab.hakit("plan").stdout
    assert "− user deploy" in planned
    assert "− /etc/hakit-demo.conf" in planned
    assert "10.77.0.101" in planned
    result(lab)
    assert text(lab, "web1", "id", "deploy") == ""
    assert text(lab, "web1", "cat", "/etc/hakit-demo.conf") == ""
    for host in ("lb1", "lb2"):
        lab.eventually(lambda host=host: "10.77.0.101" not in text(lab, host, "ip", "address"), "the address goes")  # type: ignore[misc]  # a default binds the loop's host
    assert {one["state"] for one in result(lab)["hosts"].values()} == {"same"}


def test_a_whole_component_that_leaves_is_gone(lab: LabHandle, edited: Any) -> None:
    edited("group_vars/balancers.yml", lambda data: data["hakit"].pop("keepalived"))
    edited("hosts.yml", lambda data: data["all"]["vars"]["hakit"].pop("services", None))
    assert "− unit keepalived.service" in lab.hakit("plan").stdout
    result(lab)
    for host in ("lb1", "lb2"):
        assert text(lab, host, "systemctl", "is-active", "keepalived.service") in ("inactive\n", "failed\n", "")
        assert text(lab, host, "pgrep", "-x", "keepalived") == ""
        assert text(lab, host, "cat", "/etc/keepalived/keepalived.conf") == ""
        assert "10.77.0.10" not in text(lab, host, "ip", "address")
    assert {one["state"] for one in result(lab)["hosts"].values()} == {"same"}


def test_no_terminal_and_no_yes_changes_nothing(lab: LabHandle) -> None:
    lab.lab.exec("web2", ["sh", "-c", "echo '# mine' >> /etc/nginx/nginx.conf"], check=True)
    done = lab.hakit("apply")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert "- # mine" in done.stdout
    short = lab.hakit("apply", "--no-diff").stdout
    assert "/etc/nginx/nginx.conf" in short
    assert "# mine" not in short
    assert "# mine" in text(lab, "web2", "cat", "/etc/nginx/nginx.conf")
    assert result(lab)["hosts"]["web2"]["state"] == "changed"


def test_a_dead_host_is_reported_and_the_others_finish(lab: LabHandle) -> None:
    lab.lab.power("web3", "pull")
    try:
        lab.lab.exec("web1", ["sh", "-c", "echo '# mine' >> /etc/nginx/nginx.conf"], check=True)
        done = lab.hakit("apply", "--yes", "--json", timeout=60)
        found = json.loads(done.stdout)
        assert done.returncode == 1
        assert found["hosts"]["web3"]["state"] == "unreachable"
        assert found["hosts"]["web1"]["state"] == "changed"
    finally:
        lab.lab.power("web3", "on")
    assert result(lab)["hosts"]["web3"]["state"] == "same"
