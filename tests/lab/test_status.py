"""`hakit status` on a site that serves, while its parts are stopped one after the other."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.conftest import DATABASE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import LabFactory, LabHandle

INVENTORY = Path(__file__).parents[2] / "inventories" / "lab"
WEB, API = "10.77.0.100", "10.77.0.101"


def look(lab: LabHandle) -> tuple[int, dict[str, Any]]:
    done = lab.hakit("status", "--json")
    assert "Traceback" not in done.stderr
    data: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, data


def states(data: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["state"] for one in data["services"]}


def service(data: dict[str, Any], name: str = "web") -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in data["services"] if one["name"] == name)
    return found


def run(lab: LabHandle, host: str, *command: str) -> None:
    lab.lab.exec(host, command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def applied(lab_factory: LabFactory) -> LabHandle:
    handle = lab_factory(INVENTORY, without=DATABASE)
    first = handle.hakit("apply", "--yes")
    assert first.returncode == 0, first.stdout + first.stderr
    return handle


@pytest.fixture
def lab(applied: LabHandle) -> Iterator[LabHandle]:
    """The lab, healthy before and mended after each test."""
    mend(applied)
    yield applied
    mend(applied)


def mend(lab: LabHandle) -> None:
    for host in ("lb1", "lb2"):
        run(lab, host, "systemctl", "start", "haproxy.service", "keepalived.service")
    for host in ("web1", "web2", "web3"):
        run(lab, host, "systemctl", "start", "nginx.service")
        lab.lab.exec(host, ["ip", "addr", "del", f"{WEB}/24", "dev", "eth0"], check=False, capture_output=True)
    lab.eventually(lambda: look(lab)[0] == 0, "everything is healthy again", timeout=60)


def test_a_healthy_site(lab: LabHandle) -> None:
    done = lab.hakit("status", "-v")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["web", "healthy", WEB, "on", "lb1"]
    assert lines[1].split() == ["api", "healthy", API, "on", "lb2"]
    assert lines[2].startswith("hosts  5 of 5 answer · clocks within ")
    assert any("VRRP web  MASTER" in line for line in lines)
    assert any(line.startswith("lb2") and "VRRP web  BACKUP" in line for line in lines)


def test_keepalived_stopped_on_one_then_on_both(lab: LabHandle) -> None:
    run(lab, "lb2", "systemctl", "stop", "keepalived.service")
    lab.eventually(lambda: service(look(lab)[1], "api")["holders"] == ["lb1"], "lb1 takes the other's address")
    code, data = look(lab)
    assert (code, states(data)) == (1, {"web": "at risk", "api": "at risk"})
    assert service(data)["why"][0].startswith("lb2 can't take over: ")
    assert "keepalived" in service(data)["why"][0]
    run(lab, "lb1", "systemctl", "stop", "keepalived.service")
    lab.eventually(lambda: states(look(lab)[1]) == {"web": "down", "api": "down"}, "nobody holds the addresses")
    code, data = look(lab)
    assert (code, service(data)["holders"], service(data)["why"][0]) == (1, [], "no host holds it")


@pytest.mark.parametrize("second", ["lb2", "web1"])
def test_two_holders_are_an_alarm(lab: LabHandle, second: str) -> None:
    run(lab, second, "ip", "addr", "add", f"{WEB}/24", "dev", "eth0")
    try:
        code, data = look(lab)
    finally:
        run(lab, second, "ip", "addr", "del", f"{WEB}/24", "dev", "eth0")
    assert (code, service(data)["state"], service(data)["holders"]) == (1, "alarm", ["lb1", second])
    assert service(data, "api")["state"] == "healthy"


def test_servers_of_a_pool_gone_one_by_one(lab: LabHandle) -> None:
    run(lab, "web3", "systemctl", "stop", "nginx.service")
    lab.eventually(lambda: set(states(look(lab)[1]).values()) == {"at risk"}, "web3 is missed")
    assert any("web3" in text for text in service(look(lab)[1])["why"])
    for host in ("web1", "web2"):
        run(lab, host, "systemctl", "stop", "nginx.service")
    lab.eventually(lambda: set(states(look(lab)[1]).values()) == {"down"}, "no server is left")


def test_a_host_whose_power_is_pulled(lab: LabHandle) -> None:
    lab.lab.power("lb2", "pull")
    try:
        began = time.monotonic()
        code, data = look(lab)
        seconds = time.monotonic() - began
    finally:
        lab.lab.power("lb2", "on")
    assert code == 1
    assert states(data) == {"web": "at risk", "api": "at risk"}
    assert not data["hosts"]["lb2"]["answers"]
    assert "lb2" in data["hosts"]["lb2"]["error"]
    assert any(text.startswith("lb2 can't take over: does not answer") for text in service(data)["why"])
    assert seconds < 30


def test_watch_keeps_one_connection_and_ends_with_the_last_state(lab: LabHandle) -> None:
    def logins() -> int:
        log = lab.lab.exec("web1", ["journalctl", "-q", "--no-pager", "-o", "cat"], capture_output=True, check=True)
        return log.stdout.count("Accepted publickey")

    before = logins()
    environment = {**os.environ, "HAKIT_INVENTORY": str(lab.inventory), "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "hakit", "status", "--watch"]
    with subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment) as watching:
        os.close(terminal)
        shown = b""
        try:
            while shown.count(b"5 of 5 answer") < 3:
                shown += os.read(controller, 4096)
            watching.send_signal(signal.SIGINT)
            assert watching.wait(10) == 0
        finally:
            watching.kill()
    os.close(controller)
    assert shown.count(b"\x1b[2J") >= 3
    assert b"Traceback" not in shown
    assert logins() - before == 1


def test_a_wrong_inventory_is_exit_2(lab: LabHandle) -> None:
    assert lab.hakit("status", "-i", "nowhere").returncode == 2
