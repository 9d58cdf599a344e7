"""What a host tells of its network, on a made-up root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent.client import Client
from hakit.agent.network.found import found, managers, nics, resolver
from hakit.agent.work import Work
from hakit.engine.facts import network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.unit.agent.agent_support import Agents


class Root:
    """A root of files that are not there until a test writes them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def work(self) -> Work:
        return Work(str(self.path), lambda _: None)

    def write(self, path: str, text: str = "") -> None:
        target = self.path / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def link(self, path: str, target: str) -> None:
        place = self.path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def nic(self, name: str, index: int, device: str = "", **files: str) -> None:
        """A link in sysfs as the kernel shows it; `device` is the path of its device below /sys/devices."""
        base = f"/sys/devices/{device or 'virtual'}/net/{name}"
        defaults = {
            "type": "1",
            "ifindex": str(index),
            "iflink": str(index),
            "address": f"52:54:00:00:00:{index:02x}",
            "addr_assign_type": "0",
            "mtu": "1500",
            "uevent": f"INTERFACE={name}\nIFINDEX={index}",
        }
        for key, text in {**defaults, **{key.replace("__", "/"): text for key, text in files.items()}}.items():
            self.write(f"{base}/{key}", text + "\n")
        if device:
            self.link(f"{base}/device", "../..")
        self.link(f"/sys/class/net/{name}", f"../../devices/{device or 'virtual'}/net/{name}")


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def test_cards_are_told_with_what_finds_them_again(root: Root) -> None:
    root.nic("eno1", 2, "pci0000:00/0000:00:02.0/0000:03:00.1", speed="10000", mtu="9000")
    root.link("/sys/devices/pci0000:00/0000:00:02.0/0000:03:00.1/driver", "../../../../bus/pci/drivers/ixgbe")
    root.write("/run/udev/data/n2", "I:123\nE:ID_PATH=pci-0000:03:00.1\nE:ID_NET_DRIVER=other\nG:systemd\n")
    assert nics(root.work) == [
        {
            "name": "eno1",
            "mac": "52:54:00:00:00:02",
            "path": "pci-0000:03:00.1",
            "device": "0000:03:00.1",
            "driver": "ixgbe",
            "speed": 10000,
            "mtu": 9000,
        }
    ]


def test_a_virtual_machines_card_is_on_the_device_behind_it(root: Root) -> None:
    root.nic("ens3", 2, "pci0000:00/0000:00:03.0/virtio0", speed="-1")
    (nic,) = nics(root.work)
    assert (nic["device"], nic["speed"]) == ("0000:00:03.0", None)


@pytest.mark.parametrize(
    ("files", "udev", "mac"),
    [
        ({"addr_assign_type": "0"}, "", "52:54:00:00:00:02"),
        ({"bonding_slave__perm_hwaddr": "52:54:00:00:00:99", "addr_assign_type": "3"}, "", "52:54:00:00:00:99"),
        ({"addr_assign_type": "3"}, "E:ID_NET_NAME_MAC=enx5254000000aa\n", "52:54:00:00:00:aa"),
        ({"addr_assign_type": "3"}, "E:ID_NET_NAME_MAC=nonsense\n", "52:54:00:00:00:02"),
    ],
    ids=["its own", "lent by a bond", "set by hand", "nobody knows"],
)
def test_the_mac_address_is_the_cards_own(root: Root, files: Mapping[str, str], udev: str, mac: str) -> None:
    root.nic("eno1", 2, "pci0000:00/0000:03:00.0", **files)
    root.write("/run/udev/data/n2", udev)
    (nic,) = nics(root.work)
    assert nic["mac"] == mac


def test_what_is_made_is_no_card_but_a_containers_cable_is(root: Root) -> None:
    for index, kind in enumerate(("bond", "bridge", "vlan"), 3):
        root.nic(f"{kind}0", index, uevent=f"DEVTYPE={kind}", iflink="2")
    root.nic("lo", 1, type="772")
    root.nic("dummy0", 9)
    root.nic("wlan0", 7, "pci0000:00/0000:04:00.0", wireless__x="")
    root.nic("host0", 8, iflink="20")
    assert [nic["name"] for nic in nics(root.work)] == ["host0"]


NETPLAN = "network:\n  version: 2\n  ethernets:\n    eno1: {dhcp4: true}\n"
HOSTS: dict[str, tuple[dict[str, str], list[str]]] = {
    "nothing": ({}, []),
    "the installer's ifupdown": (
        {"/usr/sbin/ifup": "", "/etc/network/interfaces": "auto lo\niface lo inet loopback\niface eno1 inet dhcp\n"},
        ["ifupdown"],
    ),
    "ifupdown in a folder": (
        {
            "/sbin/ifup": "",
            "/etc/network/interfaces": "source interfaces.d/*\niface lo inet loopback\n",
            "/etc/network/interfaces.d/bond0": "auto bond0\niface bond0 inet manual\n",
        },
        ["ifupdown"],
    ),
    "ifupdown for the loopback alone": (
        {
            "/usr/sbin/ifup": "",
            "/etc/network/interfaces": "source /etc/network/interfaces.d/*\niface lo inet loopback\n",
        },
        [],
    ),
    "files that read each other": (
        {"/usr/sbin/ifup": "", "/etc/network/interfaces": "source /etc/network/interfaces\n"},
        [],
    ),
    "ifupdown that is gone": ({"/etc/network/interfaces": "iface eno1 inet dhcp\n"}, []),
    "links that ifupdown has up": ({"/usr/sbin/ifup": "", "/run/network/ifstate": "lo=lo\neno1=eno1\n"}, ["ifupdown"]),
    "a running networkd": (
        {"/run/systemd/netif/links/2": "ADMIN_STATE=configured\nNETWORK_FILE=/etc/systemd/network/a.network\n"},
        ["systemd-networkd"],
    ),
    "a networkd that manages nothing": ({"/run/systemd/netif/links/2": "ADMIN_STATE=unmanaged\n"}, []),
    "a networkd that has yet to start": (
        {
            "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service": "",
            "/etc/systemd/network/10.network": "",
        },
        ["systemd-networkd"],
    ),
    "two at once": (
        {
            "/usr/sbin/ifup": "",
            "/etc/network/interfaces": "iface eno1 inet dhcp\n",
            "/run/systemd/netif/links/3": "ADMIN_STATE=configured\nNETWORK_FILE=/x\n",
        },
        ["systemd-networkd", "ifupdown"],
    ),
    "netplan, which writes for networkd": (
        {
            "/usr/sbin/netplan": "",
            "/etc/netplan/01.yaml": NETPLAN,
            "/run/systemd/netif/links/2": "ADMIN_STATE=configured\nNETWORK_FILE=/run/systemd/network/x\n",
        },
        ["netplan"],
    ),
    "netplan without links": ({"/usr/sbin/netplan": "", "/etc/netplan/01.yaml": "network: {version: 2}\n"}, []),
    "netplan for NetworkManager": (
        {"/usr/sbin/netplan": "", "/etc/netplan/01.yaml": NETPLAN + "  renderer: NetworkManager\n"},
        ["NetworkManager"],
    ),
    "NetworkManager": ({"/run/NetworkManager/devices/2": "[device]\nmanaged=true\n"}, ["NetworkManager"]),
    "an idle NetworkManager": ({"/run/NetworkManager/devices/2": "[device]\nmanaged=false\n"}, []),
}


@pytest.mark.parametrize("case", HOSTS)
def test_what_brings_the_network_up_is_found_by_looking(root: Root, case: str) -> None:
    files, expected = HOSTS[case]
    for path, text in files.items():
        root.write(path, text)
    assert managers(root.work) == expected


@pytest.mark.parametrize(
    ("target", "program", "who"),
    [
        ("../run/systemd/resolve/stub-resolv.conf", "", "systemd-resolved"),
        ("/run/systemd/resolve/resolv.conf", "", "systemd-resolved"),
        ("/run/resolvconf/resolv.conf", "", "resolvconf"),
        ("", "resolvconf", "resolvconf"),
        ("", "", "file"),
    ],
)
def test_who_writes_resolv_conf(root: Root, target: str, program: str, who: str) -> None:
    if target:
        root.link("/etc/resolv.conf", target)
    else:
        root.write("/etc/resolv.conf", "nameserver 10.0.0.1\n")
    if program:
        root.write(f"/usr/sbin/{program}")
    assert resolver(root.work) == who


def test_the_controller_reads_what_the_host_tells(root: Root) -> None:
    root.nic("eno1", 2, "pci0000:00/0000:03:00.0")
    seen = network(found(root.work))
    assert seen is not None
    assert (seen.managers, seen.resolver, [nic.name for nic in seen.nics]) == ((), "file", ["eno1"])


def test_an_agent_tells_it_when_it_is_asked(agents: Agents) -> None:
    agents.write("/run/NetworkManager/devices/2", "[device]\nmanaged=true\n")
    for asked, told in ((True, {"managers": ["NetworkManager"], "resolver": "file", "nics": []}), (False, None)):
        client = Client.start(agents.channel, sudo=False)
        try:
            hello = client.hello(run="r", who="w", lock=False, packages=[], network=asked)
        finally:
            client.close()
        assert hello.network == told


@pytest.mark.parametrize("told", [{}, {"managers": []}, {"managers": 1, "resolver": "", "nics": []}])
def test_what_is_no_answer_is_refused(told: Any) -> None:
    with pytest.raises((KeyError, TypeError)):
        network(told)
