"""The networks of the ladder: what is declared at each rung, and what is then to be seen on the hosts and from outside.

Host `one` is moved to systemd-networkd by the first rung, `two` stays with ifupdown. Both are changed in one run: they
stand in for nobody. `{n}` in a rung is the host's number, `{other}` the other host's.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hakit.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.lab.conftest import LabHandle

HOSTS = {"one": ("1", "systemd-networkd"), "two": ("2", "ifupdown")}
"""Each host's number and what brings its network up."""
NETWORK = "10.79.0.0/24"
GATEWAY = "10.79.0.1"
"""The lab's bridge, where hakit sits."""
SWITCH = "10.79.0.2"
"""The switch, which routes between the lab and VLAN 20."""
SWITCH_ON_VLAN, MANAGEMENT_GATEWAY = "10.81.0.1", "10.79.0.17"
"""Its addresses on VLAN 20: the second is that of hosts whose management address is there, in 10.79.0.16/28."""
BOUND = ["eth0", "eth1"]
IN_USE = "port state: 63\n"
"""What a bond tells of an end of a cable that speaks LACP at the fast rate, is in step, collects and distributes."""
PATIENCE = ("--confirm-timeout", "600")
"""Seconds: an emulated machine on a busy computer takes minutes to move to another manager."""


@dataclass(frozen=True)
class Rung:
    """`bonding` is declared. `addresses`, `mtus` and `members` are seen: of links, and whose port a link is.

    `management` is where SSH goes to; `peer` what the other host reaches it at, in packets of `size` octets of data.
    """

    name: str
    bonding: Mapping[str, Any]
    addresses: Mapping[str, list[str]]
    members: Mapping[str, str]
    mode: str = ""
    mtus: Mapping[str, int] = field(default_factory=dict)
    management: str = "10.79.0.1{n}"
    gateway: str = GATEWAY
    pinged: tuple[str, ...] = ("10.79.0.1{n}",)
    size: int = 1400

    def of(self, host: str) -> Rung:
        """The rung as it is for one of the hosts."""
        number = HOSTS[host][0]
        (other,) = (one for one, _ in HOSTS.values() if one != number)

        def filled(name: str) -> Any:
            value = getattr(self, name)
            made = json.loads(json.dumps(value).replace("{n}", number).replace("{other}", other))
            return tuple(made) if isinstance(value, tuple) else made

        return replace(self, **{name: filled(name) for name in self.__dataclass_fields__})


def _bond(address: str = "10.79.0.1{n}/24", **more: Any) -> dict[str, Any]:
    return {"members": BOUND, "addresses": [address], "gateway": GATEWAY, **more}


LACP = {"mode": "802.3ad", "lag": "the lab's switch"}
VLAN = {"addresses": ["10.81.0.1{n}/24"]}
MEMBERS = {"eth0": "bond0", "eth1": "bond0"}
ON_VLAN = {"eth0": [], "eth1": [], "bond0": ["10.79.0.1{n}/24"], "bond0.20": ["10.81.0.1{n}/24"]}
PEERS = ["10.81.0.1{other}", SWITCH_ON_VLAN]
RUNGS = (
    Rung(
        "active-backup",
        {"bonds": {"bond0": _bond(mode="active-backup")}},
        addresses={"eth0": [], "eth1": [], "bond0": ["10.79.0.1{n}/24"]},
        members=MEMBERS,
        mode="active-backup",
        mtus={"bond0": 1500},
    ),
    Rung(
        "802.3ad",
        {"bonds": {"bond0": _bond(**LACP)}},
        addresses={"eth0": [], "eth1": [], "bond0": ["10.79.0.1{n}/24"]},
        members=MEMBERS,
        mode="802.3ad",
    ),
    Rung(
        "a VLAN on top",
        {"bonds": {"bond0": _bond(**LACP)}, "vlans": {"bond0.20": VLAN}, "confirm": {"peers": PEERS}},
        addresses=ON_VLAN,
        members=MEMBERS,
        mode="802.3ad",
        pinged=("10.79.0.1{n}", "10.81.0.1{n}"),
    ),
    Rung(
        "MTU 9000",
        {"bonds": {"bond0": _bond(**LACP, mtu=9000)}, "vlans": {"bond0.20": VLAN}, "confirm": {"peers": PEERS}},
        addresses=ON_VLAN,
        members=MEMBERS,
        mode="802.3ad",
        mtus={"eth0": 9000, "eth1": 9000, "bond0": 9000, "bond0.20": 9000},
        pinged=("10.79.0.1{n}", "10.81.0.1{n}"),
        size=8900,
    ),
    Rung(
        "another management address, on the VLAN",
        {
            "bonds": {"bond0": {**LACP, "members": BOUND, "mtu": 9000}},
            "vlans": {"bond0.20": {"addresses": ["10.79.0.2{n}/28"], "gateway": MANAGEMENT_GATEWAY, "mtu": 1500}},
        },
        addresses={"eth0": [], "eth1": [], "bond0": [], "bond0.20": ["10.79.0.2{n}/28"]},
        members=MEMBERS,
        mode="802.3ad",
        mtus={"eth0": 9000, "eth1": 9000, "bond0": 9000, "bond0.20": 1500},
        management="10.79.0.2{n}",
        gateway=MANAGEMENT_GATEWAY,
        pinged=("10.79.0.2{n}",),
    ),
    Rung(
        "back to one NIC",
        {"nics": {"eth0": {"addresses": ["10.79.0.1{n}/24"], "gateway": GATEWAY}}},
        addresses={"eth0": ["10.79.0.1{n}/24"], "eth1": []},
        members={"eth0": "", "eth1": ""},
        mtus={"eth0": 1500, "eth1": 1500},
    ),
)


def inventory(rung: Rung | None = None, *, lags: bool = False) -> dict[str, Any]:
    """The inventory of a rung; of none: of hosts as they come. With `lags` the switch offers LACP on both NICs."""
    hosts = {}
    for host, (number, manager) in HOSTS.items():
        here = rung.of(host) if rung is not None else None
        hosts[host] = {
            "ansible_host": here.management if here is not None else f"10.79.0.1{number}",
            "hakit": {
                "nics": {"eth1": None},
                **({"hardware": {"lags": {"trunk": BOUND}}} if lags else {}),
                **({"bonding": {"manager": manager, **here.bonding}} if here is not None else {}),
            },
        }
    return {"all": {"vars": {"hakit": {"lab": {"driver": "qemu", "network": NETWORK}}}, "hosts": hosts}}


def climb(handle: LabHandle, rung: Rung, *, lags: bool = False) -> None:
    """Declare a rung, and apply it: once, and confirmed over a new connection to each host."""
    # JSON is YAML.
    (handle.inventory / "hosts.yml").write_text(json.dumps(inventory(rung, lags=lags)), encoding="utf-8")
    done = handle.hakit("apply", "--yes", *PATIENCE, timeout=2400)
    assert done.returncode == 0, done.stdout + done.stderr
    for host in HOSTS:
        told = f"{host}  network confirmed over a new connection to {rung.of(host).management}, after"
        assert told in done.stderr, done.stdout + done.stderr
    again = handle.hakit("apply", "--yes", timeout=600)
    assert f"0 hosts changed, {len(HOSTS)} unchanged" in again.stdout, again.stdout + again.stderr


def assert_it_stands(handle: LabHandle, rung: Rung) -> None:
    """The kernels have what the rung declares, and nothing else."""
    for host in HOSTS:
        here = rung.of(host)
        links = {link["ifname"]: link for link in _ip(handle, host, "address") if link["ifname"] != "lo"}
        assert links.keys() == here.addresses.keys()
        assert {name: _addresses(link) for name, link in links.items()} == here.addresses
        assert {name: links[name].get("master", "") for name in here.members} == here.members
        assert {name: links[name]["mtu"] for name in here.mtus} == here.mtus
        routes = _ip(handle, host, "route", "show", "default")
        assert [route["gateway"] for route in routes] == [here.gateway], routes
        if here.mode:
            assert _read(handle, host, "/sys/class/net/bond0/bonding/mode").split()[0] == here.mode
        if here.mode == "802.3ad":
            assert_lacp(handle, host)
        _assert_it_is_reached(handle, rung, host)


def assert_lacp(handle: LabHandle, host: str) -> None:
    """Both members are in one aggregate with the switch, and both ends of both cables are in use."""
    number = HOSTS[host][0]
    handle.eventually(
        lambda: (
            _read(handle, "switch", f"/sys/class/net/bond{number}/address")
            == _read(handle, host, "/sys/class/net/bond0/bonding/ad_partner_mac")
            and _read(handle, host, "/proc/net/bonding/bond0").count(IN_USE) == 4
        ),
        f"{host} has both members in one aggregate with the switch",
        timeout=120,
    )


def _assert_it_is_reached(handle: LabHandle, rung: Rung, host: str) -> None:
    """The other host reaches it in packets as large as its links carry."""
    other = next(name for name in HOSTS if name != host)
    for address in rung.of(other).pinged:
        argv = ["ping", "-c3", "-W10", "-Mdo", f"-s{rung.size}", address]
        done = handle.lab.exec(host, argv)
        assert done.returncode == 0, done.stdout + done.stderr


def assert_it_outlives_pulled_plugs(handle: LabHandle, rung: Rung) -> None:
    """Without power for a moment, both boot with the rung's network, and a plan has nothing to do."""
    # The hosts answer where this rung has them.
    lab = Lab.of(handle.site)
    before = {host: _boot(handle, host) for host in HOSTS}

    def pull_and_boot(host: str) -> None:
        lab.power(host, "pull")
        lab.power(host, "on")

    with ThreadPoolExecutor() as pool:
        list(pool.map(pull_and_boot, HOSTS))
    assert all(_boot(handle, host) != boot for host, boot in before.items())
    assert_it_stands(handle, rung)
    plan = handle.hakit("plan", timeout=600)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert len(re.findall("nothing to do", plan.stdout)) == 1, plan.stdout + plan.stderr


def _ip(handle: LabHandle, host: str, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(handle.lab.exec(host, ["ip", "-json", *words], check=True).stdout)
    return found


def _addresses(link: dict[str, Any]) -> list[str]:
    return [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["family"] == "inet"]


def _read(handle: LabHandle, host: str, path: str) -> str:
    return handle.lab.exec(host, ["cat", path]).stdout


def _boot(handle: LabHandle, host: str) -> str:
    return _read(handle, host, "/proc/sys/kernel/random/boot_id")
