"""The kernel's network, read from what its programs and files say: of a machine with bonds, and of a real namespace."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.agent.errors import Failure
from hakit.agent.network.live import Live, LiveRoute, read
from hakit.agent.process import Result
from hakit.agent.work import Work

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
SAID = HERE / "bonded"
"""What `ip -json` says on a machine with an LACP bond, a VLAN on it, a bridge and a tunnel; its sysfs and procfs."""


class Saying(Work):
    """A host whose programs say what a test tells."""

    def __init__(self, root: Path, says: Mapping[str, Result]) -> None:
        super().__init__(str(root), lambda _: None)
        self.says = says

    def run(self, argv: list[str] | tuple[str, ...], timeout: float, **options: object) -> Result:  # type: ignore[override]  # a part of it
        assert timeout > 0
        assert not options
        return self.says[" ".join(argv)]


def bonded(**others: Result) -> Saying:
    says = {
        "ip -json -details address show": Result(0, (SAID / "address.json").read_text(), ""),
        "ip -json -4 route show table main": Result(0, (SAID / "route4.json").read_text(), ""),
        "ip -json -6 route show table main": Result(0, "[ ]", ""),
    }
    return Saying(SAID / "root", {**says, **{name.replace("_", " "): result for name, result in others.items()}})


def test_links_are_told_with_what_they_stand_on() -> None:
    live = read(bonded())
    kinds = {link.name: (link.kind, link.master, link.on, link.id) for link in live.links}
    assert kinds == {
        "eno1": ("physical", "bond0", "", 0),
        "eno2": ("physical", "bond0", "", 0),
        "bond0": ("bond", "", "", 0),
        "bond0.20": ("vlan", "br0", "bond0", 20),
        "br0": ("bridge", "", "", 0),
        "tun0": ("tun", "", "", 0),
    }


def test_addresses_are_ones_own_or_given_and_never_link_local() -> None:
    live = read(bonded())
    assert {link.name: link.addresses for link in live.links if link.addresses} == {
        "bond0": ("10.77.0.21/24", "fd00::21/64"),
        "tun0": ("10.8.0.1/32",),
    }
    assert {link.name: link.given for link in live.links if link.given} == {"br0": ("10.20.0.99/24",)}


def test_options_are_as_the_kernel_shows_them() -> None:
    bond = read(bonded()).link("bond0")
    assert bond is not None
    told = dict(bond.options)
    assert (told["mode"], told["miimon"], told["lacp_rate"], told["primary"]) == ("802.3ad", "100", "fast", "")
    assert told["arp_ip_target"] == "10.77.0.1 10.77.0.2"
    bridge = read(bonded()).link("br0")
    assert bridge is not None
    assert dict(bridge.options) == {"stp_state": "0", "forward_delay": "1500"}


def test_a_member_is_found_by_its_own_address_while_it_has_the_bonds() -> None:
    member = read(bonded()).link("eno2")
    assert member is not None
    assert (member.mac, member.nics) == ("52:54:00:00:00:01", ("mac:52:54:00:00:00:02", "path:pci-0000:04:00.0"))
    assert (member.up, member.carrier, member.mtu) == (True, False, 9000)


def test_routes_are_told_with_who_set_them() -> None:
    assert read(bonded()).routes == (
        LiveRoute(to="default", via="10.77.0.1", link="bond0", protocol="static"),
        LiveRoute(to="10.77.0.0/24", link="bond0", protocol="kernel"),
        LiveRoute(to="10.9.0.5/32", via="10.77.0.9", link="bond0", metric=50, protocol="boot"),
        LiveRoute(to="10.10.0.0/16", via="10.77.0.7", link="bond0", protocol="static"),
        LiveRoute(to="10.10.0.0/16", via="10.77.0.8", link="bond0", protocol="static"),
        LiveRoute(to="10.11.0.0/16", via="fe80::1", link="bond0", protocol="static"),
    )


def test_a_partner_is_one_that_has_spoken() -> None:
    assert read(bonded()).partners == (("bond0", "00:1b:21:00:00:05"),)


def test_a_member_is_bundled_while_both_ends_use_the_link() -> None:
    assert {link.name: link.bundled for link in read(bonded()).links if link.master == "bond0"} == {
        "eno1": True,
        "eno2": False,
    }


def test_no_routes_at_all_are_no_failure() -> None:
    assert read(bonded(**{"ip_-json_-4_route_show_table_main": Result(0, "", "")})).routes == ()


@pytest.mark.parametrize("result", [Result(127, "", "ip: not installed"), Result(0, "{nonsense", "")])
def test_an_ip_that_can_not_tell_is_a_failure(result: Result) -> None:
    with pytest.raises(Failure, match="ip -json -details address show"):
        read(bonded(**{"ip_-json_-details_address_show": result}))


SCRIPT = """
set -e
mount -t sysfs sysfs /sys
ip link set lo up
ip link add br0 type bridge forward_delay 400 stp_state 1
ip link add left type veth peer name right
ip link set left master br0
ip link set br0 mtu 1400
ip address add 10.0.0.5/24 dev br0
ip address add fd00::5/64 dev br0 nodad
ip link set left up
ip link set br0 up
ip route add default via 10.0.0.1
ip -6 route add fd01::/64 via fd00::1 metric 7
exec "$1" -c 'import sys
from hakit.agent.network.live import read
from hakit.agent.work import Work
live = read(Work("", print))
for one in (*live.links, *live.routes): print(repr(one), file=sys.stderr)'
"""


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="a network namespace is made, as root")
def test_a_kernel_is_read() -> None:
    argv = ["unshare", "--net", "--mount", "sh", "-c", SCRIPT, "sh", sys.executable]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=HERE.parents[3])
    assert done.returncode == 0, done.stderr
    told = done.stderr.splitlines()
    bridge = next(line for line in told if "name='br0'" in line)
    for part in ("kind='bridge'", "('10.0.0.5/24', 'fd00::5/64')", "('stp_state', '1')", "('forward_delay', '400')"):
        assert part in bridge
    assert "mtu=1400" in bridge
    port = next(line for line in told if "name='left'" in line)
    assert "kind='veth'" in port
    assert "master='br0'" in port
    assert any(
        "LiveRoute(to='default', via='10.0.0.1', link='br0', metric=0, protocol='boot')" in line for line in told
    )
    assert any("to='fd01::/64', via='fd00::1', link='br0', metric=7" in line for line in told)


def test_the_declarations_are_immutable() -> None:
    with pytest.raises(AttributeError):
        Live(links=()).links = ()  # type: ignore[misc]  # that is what is shown


def test_what_was_recorded_is_json() -> None:
    for path in SAID.glob("*.json"):
        assert json.loads(path.read_text())
