"""What an operator does with a host: maintenance, replacing it, letting it go; and a secret made new."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.lab import privilege
from tests.lab.conftest import DATABASE
from tests.lab.test_rolling import BALANCERS, FAILING, WEBS, declare, held, load, sh, succeed

if TYPE_CHECKING:
    from tests.lab.conftest import LabFactory, LabHandle

INVENTORY = Path(__file__).parents[2] / "inventories" / "lab"


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    handle = lab_factory(INVENTORY, without=DATABASE)
    done = handle.hakit("apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    return handle


def at_home(lab: LabHandle) -> bool:
    return held(lab) == {"10.77.0.100": ["lb1"], "10.77.0.101": ["lb2"]}


def marks(lab: LabHandle, host: str) -> list[str]:
    return sh(lab, host, "ls /var/lib/hakit/withdrawn 2>/dev/null || true").split()


def states(lab: LabHandle, balancer: str, pool: str) -> dict[str, str]:
    """The servers of a pool as a balancer has them."""
    script = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock');"
        "s.send(b'show stat -1 4 -1\\n'); print(b''.join(iter(lambda: s.recv(65536), b'')).decode())"
    )
    done = lab.lab.exec(balancer, ["python3", "-c", script], check=True, capture_output=True, text=True)
    rows = [line.split(",") for line in done.stdout.splitlines()]
    return {row[1]: row[17] for row in rows if row[0] == pool}


def taken_out(lab: LabHandle, balancer: str, server: str) -> bool:
    """Whether a server gets no request in any pool: in maintenance, or drained, whatever its checks come to."""
    return {states(lab, balancer, pool)[server].split()[0] for pool in ("web", "api")} <= {"MAINT", "DRAIN"}


def run(lab: LabHandle, *arguments: str) -> str:
    done = lab.hakit(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("host", ["web1", "lb1"])
@pytest.mark.timed
def test_a_host_goes_out_and_comes_back_unnoticed(lab: LabHandle, host: str) -> None:
    lab.eventually(lambda: at_home(lab), "each address at home", 30)
    with load(lab) as seen:
        told = run(lab, "maintenance", "on", host, "--why", "new fan")
        shown = json.loads(lab.hakit("status", "--json").stdout)
        again = run(lab, "maintenance", "on", host)
        back = run(lab, "maintenance", "off", host)
    assert f"{host} is in maintenance" in told
    assert f"{host} is in maintenance" in again
    assert f"{host} is back in service" in back
    assert "new fan" in json.dumps(shown)
    assert len(seen.failures) <= FAILING * seen.requests, seen.told()
    lab.eventually(lambda: at_home(lab), "each address at home", 30)
    assert all(marks(lab, name) == [] for name in (*BALANCERS, *WEBS))
    assert "was not in maintenance" in run(lab, "maintenance", "off", host)


@pytest.mark.timed
def test_a_server_in_maintenance_gets_nothing_and_stays_out(lab: LabHandle) -> None:
    run(lab, "maintenance", "on", "web2")
    with load(lab) as seen:
        seen.seen.clear()
    assert all("web2" not in who for one in seen.seen for _, who in one.successes)
    sh(lab, "lb1", "systemctl restart haproxy")
    run(lab, "reboot", "--limit", "web2", "--all", "--yes")
    lab.eventually(lambda: states(lab, "lb1", "web")["web1"] == "UP", "HAProxy knows its servers", 30)
    assert taken_out(lab, "lb1", "web2")
    assert "0 hosts changed" in run(lab, "apply", "--yes")
    assert taken_out(lab, "lb2", "web2")
    run(lab, "maintenance", "off", "web2")
    lab.eventually(lambda: states(lab, "lb1", "api")["web2"] == "UP", "web2 is back", 30)


def test_a_balancer_in_maintenance_takes_nothing_after_a_reboot(lab: LabHandle) -> None:
    lab.eventually(lambda: at_home(lab), "each address at home", 30)
    run(lab, "maintenance", "on", "lb1")
    run(lab, "reboot", "--limit", "lb1", "--all", "--yes")
    lab.eventually(lambda: sh(lab, "lb1", "systemctl is-active keepalived || true") == "active", "it runs", 30)
    assert held(lab) == {"10.77.0.100": ["lb2"], "10.77.0.101": ["lb2"]}
    done = lab.hakit("maintenance", "on", "lb2")
    assert done.returncode == 1
    assert "lb2 is needed" in done.stderr
    run(lab, "maintenance", "off", "lb1")
    lab.eventually(lambda: at_home(lab), "each address at home", 30)


def test_a_host_that_can_not_serve_stays_in_maintenance(lab: LabHandle) -> None:
    run(lab, "maintenance", "on", "web3")
    sh(lab, "web3", "systemctl stop nginx")
    done = lab.hakit("maintenance", "off", "web3")
    assert done.returncode == 1
    assert "web3 stays in maintenance" in done.stderr
    assert marks(lab, "web3") == ["web3.json"]
    run(lab, "apply", "--yes")
    run(lab, "maintenance", "off", "web3")


def test_only_what_failed_is_done_again(lab: LabHandle) -> None:
    sh(lab, "web2", "mkdir /etc/demo.conf")
    declare(lab, "web", "hakit: {system: {files: {/etc/demo.conf: {content: demo}}}}\n")
    done = lab.hakit("apply", "--yes")
    assert done.returncode == 1
    assert re.search(r"^web2 +failed", done.stdout, re.MULTILINE), done.stdout
    sh(lab, "web2", "rmdir /etc/demo.conf")
    told = run(lab, "apply", "--failed", "--yes")
    assert "✓ files:/etc/demo.conf  create" in told
    assert "lb1" not in told
    done = lab.hakit("apply", "--failed", "--yes")
    assert done.returncode == 2
    assert "left no host unfinished" in done.stderr


def test_nothing_more_is_begun_once_enough_have_failed(lab: LabHandle) -> None:
    """A balancer fails and its partner is left; web servers do not stand in for it, and are left all the same."""
    command = "{run: [/bin/false], creates: /nowhere}"
    declare(lab, "balancers", f"hakit: {{system: {{commands: {{bad: {command}}}}}}}\n")
    declare(lab, "web", "hakit: {system: {files: {/etc/more.conf: {content: more}}}}\n")
    done = lab.hakit("apply", "--yes", "--max-fail", "1", "--forks", "1")
    assert done.returncode == 1
    assert re.search(r"^web3 +not started .*--max-fail 1 is reached", done.stdout, re.MULTILINE), done.stdout
    for group in ("balancers", "web"):
        declare(lab, group, "")
    run(lab, "apply", "--yes")


@pytest.mark.timed
def test_a_secret_is_rotated_on_all_members_together(lab: LabHandle, tmp_path: Path) -> None:
    environment = {"HAKIT_AGE_IDENTITY": str(tmp_path / "identity.txt")}

    def secret(*arguments: str, given: str = "") -> str:
        done = lab.hakit("secret", *arguments, env=environment, input=given)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    hosts = lab.inventory / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("rto: 3s", "rto: 5s"))
    secret("init")
    secret("set", "vrrp", given="first123")
    settings = "{version: 2, auth: {secret: vrrp}}"
    declare(lab, "balancers", f"hakit: {{keepalived: {{instances: {{web: {settings}, api: {settings}}}}}}}\n")
    done = lab.hakit("apply", "--yes", env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    with load(lab) as seen:
        told = secret("rotate", "vrrp", "--yes")
    assert "partners change first" in told
    assert seen.longest_gap <= 2.0, seen.told()
    passwords = {sh(lab, host, "grep -h auth_pass /etc/keepalived/keepalived.conf | sort -u") for host in BALANCERS}
    assert len(passwords) == 1
    assert "first123" not in passwords.pop()
    lab.eventually(lambda: at_home(lab), "each address at home", 30)
    declare(lab, "balancers", "")
    run(lab, "apply", "--yes")


def from_the_shelf(lab: LabHandle, host: str) -> None:
    """A machine with a disk and a host key of its own in the place of a dead one."""
    subprocess.run([*privilege.sudo(), "rm", "-rf", str(lab.lab.console(host).parent)], check=True)
    lab.lab.up()
    new_key = "rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key"
    sh(lab, host, f"{new_key}; systemctl restart ssh")


def test_a_new_machine_takes_the_name_of_a_dead_one(lab: LabHandle) -> None:
    lab.lab.power("web3", "pull")
    done = lab.hakit("apply", "--yes")
    assert done.returncode == 1
    assert re.search(r"^web3 +unreachable", done.stdout, re.MULTILINE), done.stdout
    from_the_shelf(lab, "web3")
    done = lab.hakit("apply", "--yes")
    assert done.returncode == 1
    assert "trust" in done.stdout
    assert "--replace web3" in done.stdout
    run(lab, "trust", "--replace", "web3", "--yes")
    told = run(lab, "apply", "--yes")
    assert "1 host changed" in told
    lab.eventually(lambda: states(lab, "lb1", "web")["web3"] == "UP", "web3 serves", 30)


@pytest.mark.timed
def test_a_host_leaves_for_good(lab: LabHandle) -> None:
    done = lab.hakit("retire", "lb1", "--yes")
    assert done.returncode == 1
    assert "the site can't do without lb1" in done.stderr
    with load(lab) as seen:
        told = succeed(lab, "retire", "web3")
    assert len(seen.failures) <= FAILING * seen.requests, seen.told() + told
    assert "web3 is retired" in told
    assert "web3" not in states(lab, "lb1", "web")
    assert sh(lab, "web3", "systemctl is-active nginx || true") == "inactive"
    done = lab.hakit("apply", "--yes")
    assert done.returncode == 1
    assert "web3 is retired, and the inventory still names it" in done.stderr
    assert "web3" not in states(lab, "lb1", "web")
    run(lab, "retire", "web3", "--undo")
    succeed(lab, "apply")
    lab.eventually(lambda: states(lab, "lb1", "web").get("web3") == "UP", "web3 serves", 30)


@pytest.mark.timed
def test_a_dead_host_is_forgotten_by_its_peers(lab: LabHandle) -> None:
    lab.lab.power("web3", "pull")
    for host in BALANCERS:
        lab.eventually(lambda h=host: states(lab, h, "web")["web3"] == "DOWN", "it is seen to be down", 30)  # type: ignore[misc]  # defaults bind the loop's values
    with load(lab) as seen:
        told = succeed(lab, "retire", "web3", "--dead")
    assert len(seen.failures) <= FAILING * seen.requests, seen.told() + told
    assert "web3" not in states(lab, "lb1", "web")
    done = lab.hakit("apply", "--yes")
    assert done.returncode == 1
    assert "web3 is retired, and the inventory still names it" in done.stderr
    assert "web3" not in states(lab, "lb1", "web")
    run(lab, "retire", "web3", "--undo")
    lab.lab.power("web3", "on")
