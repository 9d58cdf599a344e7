"""A real kernel, brought up by a manager from what is rendered, differs in nothing from what is declared.

In a network namespace of its own, with cables in place of cards; bonds and VLANs need modules that a test machine may
not have, bridges are there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hakit.agent.resources.network import Network
from hakit.agent.wire import wire
from hakit.components.base import Facts
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from tests.unit.components.bonding import judges
from tests.unit.components.sites import COMPONENTS, site

ROOT = Path(__file__).parents[4]
BRING_UP = """
set -e
mount --make-rprivate /
mount -t sysfs sysfs /sys
ip link set lo up
for number in 0 1 2; do
    ip link add "card$number" type veth peer name "far$number"
    ip link set "far$number" up
done
{manager}
{after}
exec "$2" -c '
import json, sys, time
from hakit.agent.network.comparing import differences
from hakit.agent.network.live import read
from hakit.agent.wire import from_wire
from hakit.agent.work import Work
network, deadline = from_wire(json.load(sys.stdin)), time.monotonic() + float(sys.argv[1])
while (found := differences(network, read(Work("", print)))) and time.monotonic() < deadline:
    time.sleep(0.2)
print(json.dumps(found))' "$3"
"""
MANAGERS = {
    "ifupdown": """ifup --all --no-loopback --force -i "$1/etc/network/interfaces" --state-dir "$1" >&2""",
    "systemd-networkd": f"""
mkdir -p /etc/systemd/network /run/systemd/netif
mount -t tmpfs -o mode=755 tmpfs /etc/systemd/network
cp "$1"/etc/systemd/network/* /etc/systemd/network/
chmod 644 /etc/systemd/network/*
mount -t tmpfs -o mode=755,uid=systemd-network tmpfs /run/systemd/netif
# With a /sys that can't be written it takes itself for a container's, and does not wait for udev.
mount -o remount,ro /sys
SYSTEMD_LOG_TARGET=console {judges.NETWORKD} >&2 </dev/null &
""",
}
PATIENCE = 20.0
"""Seconds until systemd-networkd must have brought everything up."""
BONDING: dict[str, Any] = {
    "nics": {
        "card0": {
            "addresses": ["10.1.0.1/24", "10.1.1.1/24", "fd00:1::1/64"],
            "gateway": "10.1.0.254",
            "gateway6": "fd00:1::fe",
            "mtu": 1400,
            "routes": [{"to": "10.9.0.0/16", "via": "10.1.0.253", "metric": 50}, {"to": "10.8.0.0/16"}],
        },
        "card2": {"mtu": 9000},
    },
    "bridges": {
        "br0": {
            "members": ["card1", "card2"],
            "mac": "02:00:00:00:00:07",
            "addresses": ["fd00:2::1/64"],
            "routes": [{"to": "fd09::/16", "via": "fd00:2::fe"}],
        }
    },
}
CAN_TRY = judges.CAN_JUDGE and shutil.which("ifup") is not None and Path("/sbin/brctl").exists()


def differing(folder: Path, manager: str, after: str = "") -> list[str]:
    """What differs once a manager has brought the network up, and commands were run after it."""
    here = site(folder, {"a": {"bonding": {**BONDING, "manager": manager}}})
    network = declare(here, COMPONENTS, here.hosts["a"], Facts(), Templates(here)).resources["network:network"]
    assert isinstance(network, Network)
    for file in network.files:
        path = folder / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content.reveal(), encoding="utf-8")
    script = BRING_UP.replace("{manager}", MANAGERS[manager]).replace("{after}", after)
    patience = str(0.0 if after else PATIENCE)
    # A process namespace, so that nothing outlives the comparison.
    argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script]
    argv += ["sh", str(folder), sys.executable, patience]
    asked = json.dumps(wire(network))
    done = subprocess.run(argv, input=asked, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not CAN_TRY, reason="a network namespace is made, as root")
@pytest.mark.parametrize("manager", MANAGERS)
def test_what_a_manager_brings_up_is_what_is_declared(tmp_path: Path, manager: str) -> None:
    assert differing(tmp_path, manager) == []


@pytest.mark.skipif(not CAN_TRY, reason="a network namespace is made, as root")
def test_what_somebody_changed_since_is_told(tmp_path: Path) -> None:
    after = """
    ip address delete 10.1.1.1/24 dev card0
    ip address add 10.1.1.1/24 dev br0
    ip address add 10.5.0.1/24 dev card0
    ip route replace default via 10.1.0.9
    ip link set card2 nomaster
    ip link set card0 mtu 1300
    """
    assert sorted(differing(tmp_path, "ifupdown", after)) == [
        "br0: address 10.1.1.1/24 goes to card0",
        "card0: MTU 1300 → 1400",
        "card0: − address 10.5.0.1/24",
        "card2: becomes a member of br0",
        "default route: via 10.1.0.9 (card0) → via 10.1.0.254 (card0)",
    ]
