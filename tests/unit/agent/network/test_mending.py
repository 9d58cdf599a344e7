"""A real kernel's network, in a namespace with cables for cards, is made again as it was by `ip` alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hakit.agent.network.leaving import sizing
from hakit.agent.network.live import Live, LiveLink
from hakit.agent.resources.network import Link, Network

ROOT = Path(__file__).parents[4]
SCRIPT = """
set -e
mount --make-rprivate /
mount -t sysfs sysfs /sys
ip link set lo up
for number in 0 1 2; do
    ip link add "card$number" type veth peer name "far$number"
    ip link set "far$number" up
done
{old}
exec "$1" -c '
import json, sys
from hakit.agent.network.live import read
from hakit.agent.network.mending import mending
from hakit.agent.resources.network import Link, Network
from hakit.agent.wire import wire
from hakit.agent.work import Work
work = Work("", print)
old = read(work)
work.must(["sh", "-ec", sys.argv[1]], "changing")
names = ("card0", "card1", "card2", "br0", "br1")
new = Network(manager="", files=(), links=tuple(Link(name=name) for name in names), others=("10.0.0.100",))
failed, passes = [], 0
while (left := mending(old, read(work), new)) and passes < 6:
    passes += 1
    for one in left:
        if one.argv:
            done = work.run(one.argv, one.timeout)
            failed += [f"{one.told()}: {done.tail()}"] if done.code else []
        else:
            with open(one.path, "w") as file:
                file.write(one.text)
def shown(live):
    links = sorted((wire(link) for link in live.links), key=lambda link: link["name"])
    return [links, sorted(repr(one) for one in live.routes if one.to != "fe80::/64")]
print(json.dumps({"old": shown(old), "now": shown(read(work)), "failed": failed, "passes": passes}))' "$2"
"""
PLAIN = """
ip link set card0 up
ip address add 10.0.0.5/24 broadcast + dev card0
ip address add fd00::5/64 dev card0 nodad
ip route add default via 10.0.0.1 dev card0
ip route add 10.9.0.0/16 via 10.0.0.9 dev card0 metric 50 proto static
ip -6 route add default via fd00::1 dev card0
ip link set card0 mtu 1400
"""
BRIDGED = """
ip link add br0 type bridge forward_delay 400
ip link set card0 master br0
ip link set card1 master br0
ip link set card0 up
ip link set card1 up
ip link set br0 up
ip address add 10.0.0.5/24 broadcast + dev br0
ip route add default via 10.0.0.1 dev br0
"""
CASES = {
    "nothing changed": (PLAIN, "true", 0),
    "a bridge took the card": (
        PLAIN,
        """
        ip address flush dev card0
        ip link add br1 type bridge
        ip link set card0 master br1
        ip link set card2 master br1
        ip link set br1 up
        ip address add 10.0.0.5/16 dev br1
        ip address add 10.0.0.100/32 dev br1
        ip route add default via 10.0.0.3 dev br1
        """,
        5,
    ),
    "the card is down": (PLAIN, "ip link set card0 down; ip link set card0 mtu 1300", 5),
    "another router": (PLAIN, "ip route replace default via 10.0.0.7; ip -6 route del default", 5),
    "the bridge is gone": (BRIDGED, "ip link del br0; ip address add 10.0.0.5/24 dev card1", 5),
    "a port left, an option changed": (
        BRIDGED,
        "ip link set card1 nomaster; ip link set br0 type bridge forward_delay 800",
        5,
    ),
}


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="a network namespace is made, as root")
@pytest.mark.parametrize(("old", "change", "most"), CASES.values(), ids=CASES)
def test_a_network_is_as_it_was(old: str, change: str, most: int) -> None:
    argv = ["unshare", "--net", "--mount", "sh", "-c", SCRIPT.replace("{old}", old), "sh", sys.executable, change]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["failed"] == []
    assert told["now"] == told["old"]
    assert told["passes"] <= most


def test_a_vlan_is_sized_once_its_parent_is() -> None:
    links = (Link(name="bond0", kind="bond", mtu=9000), Link(name="bond0.20", kind="vlan", on="bond0", mtu=9000))
    network = Network(manager="systemd-networkd", files=(), links=(*links, Link(name="eth0", master="bond0", mtu=9000)))

    def sized(bond: int, vlan: int) -> list[str]:
        live = Live(
            links=(
                LiveLink(name="bond0", kind="bond", mtu=bond),
                LiveLink(name="bond0.20", kind="vlan", on="bond0", mtu=vlan),
                LiveLink(name="eth0", mtu=1500),
            )
        )
        return [command.told() for command in sizing(network, live)]

    assert sized(1500, 1500) == ["ip link set dev bond0 mtu 9000"]
    assert sized(9000, 1500) == ["ip link set dev bond0.20 mtu 9000"]
    assert sized(9000, 9000) == []
