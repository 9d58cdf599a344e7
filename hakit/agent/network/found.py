"""What brings this host's network up, and which NICs it has: read from files, no command is run.

sysfs and udev's own records tell of NICs (`/run/udev/data/n<index>`, as `udevadm info` reads them); what a program has
in its hands is told by the state that it keeps, and by its configuration where it keeps none.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from hakit.agent.work import Work

NET = "/sys/class/net"
ETHERNET = "1"  # ARPHRD_ETHER of if_arp.h
PERMANENT = "0"  # NET_ADDR_PERM of netdevice.h: the address is the card's own
NETPLAN = ("/etc/netplan", "/run/netplan", "/lib/netplan")  # netplan-generate(8)
SOURCES = 20  # files of /etc/network/interfaces.d that are looked into, and how deep `source` may lead


def found(work: Work) -> dict[str, Any]:
    """`managers`, `resolver` and `nics` (name, mac, path, device, driver, speed in Mbit/s or null, mtu)."""
    return {"managers": managers(work), "resolver": resolver(work), "nics": nics(work)}


def nics(work: Work) -> list[dict[str, Any]]:
    """The cards of this host, virtual machines' too: Ethernet links with a device behind them."""
    names = sorted(os.listdir(work.at(NET))) if os.path.isdir(work.at(NET)) else []
    return [_nic(name, work) for name in names if _is_card(name, work)]


def _is_card(name: str, work: Work) -> bool:
    folder = f"{NET}/{name}"
    if _text(f"{folder}/type", work) != ETHERNET or os.path.isdir(work.at(f"{folder}/wireless")):
        return False
    # A container's end of a virtual cable has no device, and is all the card that it has.
    virtual = "DEVTYPE=" in _text(f"{folder}/uevent", work)
    cable = not virtual and _text(f"{folder}/iflink", work) != _text(f"{folder}/ifindex", work)
    return cable or os.path.exists(work.at(f"{folder}/device"))


def _nic(name: str, work: Work) -> dict[str, Any]:
    folder = f"{NET}/{name}"
    udev = _udev(_text(f"{folder}/ifindex", work), work)
    speed = _text(f"{folder}/speed", work)
    mtu = _text(f"{folder}/mtu", work)
    return {
        "name": name,
        "mac": _permanent(folder, udev, work),
        "path": udev.get("ID_PATH", ""),
        "device": _device(f"{folder}/device", work),
        "driver": _linked(f"{folder}/device/driver", work) or udev.get("ID_NET_DRIVER", ""),
        "speed": int(speed) if speed.isdigit() and int(speed) else None,
        "mtu": int(mtu) if mtu.isdigit() else 1500,
    }


def _permanent(folder: str, udev: dict[str, str], work: Work) -> str:
    """The card's own MAC address, also while a bond has lent it another."""
    lent = _text(f"{folder}/bonding_slave/perm_hwaddr", work)
    if lent:
        return lent
    named = udev.get("ID_NET_NAME_MAC", "")  # enx525400123456, made of the permanent one
    if _text(f"{folder}/addr_assign_type", work) != PERMANENT and len(named) == len("enx") + 12:
        digits = named[3:]
        return ":".join(digits[place : place + 2] for place in range(0, 12, 2))
    return _text(f"{folder}/address", work)


def _device(path: str, work: Work) -> str:
    """The PCI device behind a link: for a virtual machine's card that is its parent's parent."""
    real = os.path.realpath(work.at(path))
    for part in reversed(real.split("/")):
        pieces = part.split(":")
        if len(pieces) == 3 and "." in pieces[2] and len(pieces[0]) == 4:  # noqa: PLR2004 - 0000:03:00.0
            return part
    return ""


def _linked(path: str, work: Work) -> str:
    try:
        return os.path.basename(os.readlink(work.at(path)))
    except OSError:
        return ""


def _udev(index: str, work: Work) -> dict[str, str]:
    pairs = (
        line[2:].partition("=") for line in _text(f"/run/udev/data/n{index}", work).split("\n") if line[:2] == "E:"
    )
    return {name: value for name, _, value in pairs}


def managers(work: Work) -> list[str]:
    """What has links of this host in its hands; netplan stands for what it writes for."""
    if renderer := _netplan(work):
        return [renderer]
    return [
        name
        for name, here in (
            ("systemd-networkd", _networkd),
            ("ifupdown", _ifupdown),
            ("NetworkManager", _network_manager),
        )
        if here(work)
    ]


def _netplan(work: Work) -> str:
    """`netplan`, or `NetworkManager` where its files say so; empty where it has no links.

    Read by lines, for the host has no reader of YAML: only whether links are named, and by whom they are brought up.
    """
    if not _installed("netplan", work):
        return ""
    found: dict[str, str] = {}
    for folder in NETPLAN:
        for name in _listed(folder, ".yaml", work):
            found[name] = f"{folder}/{name}"
    links, renderer = False, "netplan"
    for name in sorted(found):
        for line in _text(found[name], work).split("\n"):
            key, _, value = line.partition("#")[0].strip().partition(":")
            links = links or key in ("ethernets", "bonds", "vlans", "bridges")
            if key == "renderer":
                renderer = "NetworkManager" if value.strip() == "NetworkManager" else "netplan"
    return renderer if links else ""


def _networkd(work: Work) -> bool:
    """Whether systemd-networkd runs, or shall run, and has a link other than the loopback."""
    states = [
        _pairs(f"/run/systemd/netif/links/{name}", work) for name in _listed("/run/systemd/netif/links", "", work)
    ]
    if any(state.get("NETWORK_FILE") and state.get("ADMIN_STATE") != "unmanaged" for state in states):
        return True
    wanted = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
    return os.path.lexists(work.at(wanted)) and bool(_listed("/etc/systemd/network", ".network", work))


def _ifupdown(work: Work) -> bool:
    """Whether ifupdown is there and has a link other than the loopback, up or to be brought up."""
    if not _installed("ifup", work):
        return False
    up = (line.partition("=")[0] for line in _text("/run/network/ifstate", work).split())
    if any(name != "lo" for name in up):
        return True
    return any(name != "lo" for name in _stanzas("/etc/network/interfaces", work, 0))


def _stanzas(path: str, work: Work, depth: int) -> Iterator[str]:
    """The links that interfaces(5) files configure."""
    for line in _text(path, work).split("\n"):
        words = line.split()
        if len(words) > 1 and words[0] == "iface":
            yield words[1]
        elif len(words) > 1 and words[0] in ("source", "source-directory") and depth < SOURCES:
            for other in sourced(words[1], path, work):
                yield from _stanzas(other, work, depth + 1)


def sourced(pattern: str, path: str, work: Work) -> Iterable[str]:
    """The files that a `source` or `source-directory` line of the file `path` names."""
    from fnmatch import fnmatch

    if not pattern.startswith("/"):
        pattern = f"{os.path.dirname(path)}/{pattern}"
    if os.path.isdir(work.at(pattern)):
        pattern += "/*"
    folder, _, last = pattern.rpartition("/")
    return [f"{folder}/{name}" for name in _listed(folder, "", work)[:SOURCES] if fnmatch(name, last)]


def _network_manager(work: Work) -> bool:
    """Whether NetworkManager has a link in its hands."""
    folder = "/run/NetworkManager/devices"
    return any(_pairs(f"{folder}/{name}", work).get("managed") in ("true", "1") for name in _listed(folder, "", work))


def resolver(work: Work) -> str:
    """Who writes /etc/resolv.conf: `systemd-resolved`, `resolvconf`, or `file` where nobody else does."""
    target = _target("/etc/resolv.conf", work)
    if target.startswith(("/run/systemd/resolve/", "/usr/lib/systemd/resolv")):
        return "systemd-resolved"
    if "/resolvconf/" in target or (_installed("resolvconf", work) and not _installed("resolvectl", work)):
        return "resolvconf"
    return "file"


def _target(path: str, work: Work) -> str:
    """Where a symbolic link leads, as the host sees it."""
    try:
        target = os.readlink(work.at(path))
    except OSError:
        return ""
    return os.path.normpath(os.path.join(os.path.dirname(path), target))


def _installed(program: str, work: Work) -> bool:
    return any(os.path.exists(work.at(f"{folder}/{program}")) for folder in ("/usr/sbin", "/sbin", "/usr/bin", "/bin"))


def _listed(folder: str, suffix: str, work: Work) -> list[str]:
    try:
        return sorted(name for name in os.listdir(work.at(folder)) if name.endswith(suffix))
    except OSError:
        return []


def _pairs(path: str, work: Work) -> dict[str, str]:
    pairs = (line.partition("=") for line in _text(path, work).split("\n"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _text(path: str, work: Work) -> str:
    try:
        with open(work.at(path), encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20).strip()
    except OSError:
        return ""
