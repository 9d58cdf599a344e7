"""A neighbour in a namespace of its own hears where a host's addresses are now, and believes it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hakit.agent.network.announcing import announced
from hakit.agent.network.live import Live, LiveLink
from hakit.agent.resources.network import Link, Network

ROOT = Path(__file__).parents[4]
SCRIPT = """
set -e
mount --make-rprivate /
mount -t sysfs sysfs /sys
unshare --net sleep 60 &
neighbour=$!
trap 'kill "$neighbour"' EXIT
until [ "$(readlink "/proc/$neighbour/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
ip link add card0 address 02:00:00:00:00:05 type veth peer name far0 netns "$neighbour"
ip link set card0 up
ip address add 10.0.0.5/24 dev card0
ip address add fd00::5/64 dev card0 nodad
there() { nsenter --target "$neighbour" --net "$@"; }
there ip link set far0 up
there ip address add 10.0.0.9/24 dev far0
there ip address add fd00::9/64 dev far0 nodad
until ip -json address show dev card0 | grep -q '"operstate":"UP"'; do sleep 0.01; done
for address in 10.0.0.5 10.0.0.6 fd00::5; do
    there ip neigh replace "$address" lladdr 02:00:00:00:00:99 dev far0 nud stale
done
"$1" -c '
from hakit.agent.network.announcing import announce
from hakit.agent.resources.network import Link, Network
from hakit.agent.work import Work
links = (Link(name="card0", addresses=("10.0.0.5/24", "10.0.0.6/24", "fd00::5/64")),)
announce(Network(manager="", files=(), links=links), Work("", print))'
there ip -json neigh
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="network namespaces are made, as root")
def test_a_neighbour_forgets_the_mac_address_of_before() -> None:
    argv = ["unshare", "--net", "--mount", "sh", "-c", SCRIPT, "sh", sys.executable]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    known = {one["dst"]: one["lladdr"] for one in json.loads(done.stdout.splitlines()[-1]) if "lladdr" in one}
    assert known["10.0.0.5"] == known["fd00::5"] == "02:00:00:00:00:05"
    assert known["10.0.0.6"] == "02:00:00:00:00:99", "declared, and not there"


def test_what_others_bring_and_what_is_down_is_not_announced() -> None:
    there = ("10.0.0.5/24", "10.0.0.100/24")
    mac = "02:00:00:00:00:05"
    links = (Link(name="lan1", nic=f"mac:{mac}", addresses=there[:1]), Link(name="eno2", addresses=("10.1.0.5/24",)))
    network = Network(manager="", files=(), links=links, others=there[1:])
    live = Live(
        links=(
            LiveLink(name="eno1", nics=(f"mac:{mac}",), addresses=there, mac=mac),
            LiveLink(name="eno2", addresses=("10.1.0.5/24",), mac="02:00:00:00:00:06", up=False),
        )
    )
    assert announced(network, live) == (("eno1", bytes.fromhex(mac.replace(":", "")), "10.0.0.5"),)
