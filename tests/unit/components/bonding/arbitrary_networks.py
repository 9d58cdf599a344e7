"""Arbitrary settings of a host's network: nearly always wrong somewhere, and whatever is not refused must work."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from hakit.components.bonding.settings import BondingSettings
from tests.unit.components.arbitrary import DURATIONS, IPS, IPV4, VOCABULARY, Arbitrary

NAMES = st.sampled_from(
    ["eno1", "eno2", "enp3s0f0", "bond0", "bond1", "bond0.20", "br0", "eno1.7", "v1", "a_b-c", "x" * 15, "UPPER", "e.1"]
)
NEAR = st.integers(1, 250).map(lambda last: f"10.78.0.{last}")
VOCABULARY |= {
    "a link's name (at most 15)": NAMES,
    "a MAC address": st.sampled_from(["52:54:00:00:00:01", "02:AA:00:00:00:02", "52:54:00:00:00:03"]),
    "a path such as pci-0000:03:00.0": st.sampled_from(["pci-0000:03:00.0", "pci-0000:03:00.1", "platform-a.b"]),
    "a speed such as 1G or 10G": st.sampled_from(["1G", "10G", "100M", "9999G"]),
    "a network": st.sampled_from(["10.8.0.0/16", "10.78.0.0/24", "0.0.0.0/0", "::/0", "fd00::/8", "10.9.9.9/32"]),
    "true or false": st.booleans(),
}
ADDRESSES = st.lists(
    st.one_of(
        NEAR.map("{}/24".format),
        st.integers(1, 9).map("10.79.{}.1/24".format),
        st.sampled_from(
            ["fd00:78::1/64", "fd00:78::2/128", "10.78.0.0/24", "fe80::5/64", "10.78.0.7/32", "10.78.0.2/31"]
        ),
        IPS.map(lambda ip: f"{ip}/{64 if ':' in ip else 24}"),
    ),
    max_size=2,
)
LINKS = ("Nic", "Bond", "Vlan", "Bridge")
FIELDS: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    **{(link, "addresses"): ADDRESSES for link in LINKS},
    **{(link, "gateway"): st.one_of(NEAR, IPS) for link in LINKS},
    **{(link, "gateway6"): st.sampled_from(["fe80::1", "fd00:78::9", "10.78.0.1"]) for link in LINKS},
    **{(link, "mtu"): st.sampled_from([68, 576, 1280, 1500, 9000, 65535]) for link in LINKS},
    ("Route", "to"): st.one_of(st.just("default"), VOCABULARY["a network"]),
    ("Route", "via"): st.one_of(NEAR, IPS),
    ("Arp", "targets"): st.lists(st.one_of(NEAR, IPV4), min_size=1, max_size=3),
    ("Dns", "servers"): st.lists(st.one_of(NEAR, IPS), min_size=1, max_size=3),
    ("Bond", "members"): st.lists(NAMES, max_size=3),
    ("Bond", "miimon"): st.one_of(st.sampled_from(["100ms", "50ms"]), DURATIONS),
    ("Bond", "lag"): st.sampled_from([True, False, "sw1 Po1", " ", "# x"]),
    ("BondingSettings", "manager"): st.just("ifupdown"),
    ("Confirm", "peers"): st.lists(st.one_of(NEAR, st.sampled_from(["a", "b"])), max_size=2),
}
STRATEGY = Arbitrary(FIELDS).settings(BondingSettings)


@st.composite
def inventories(draw: st.DrawFn) -> dict[str, Any]:
    """An inventory of a host that has a way in, whatever the rest of its network is."""
    bonding: dict[str, Any] = draw(STRATEGY)
    bonding.setdefault("nics", {})["mgmt0"] = {"addresses": ["10.77.0.11/24"]}
    for number, bond in enumerate(bonding.get("bonds", {}).values()):
        # Often enough a bond is whole: nothing else would ever be rendered.
        if draw(st.integers(0, 2)):
            bond["members"] = [f"eth{number}0", f"eth{number}1"]
            bond.setdefault("mode", "active-backup")
            if bond["mode"] == "802.3ad":
                bond["lag"] = True
    host = {"ansible_host": "10.77.0.11", "hakit": {"bonding": bonding}}
    return {"all": {"hosts": {"a": host}, "children": {}}}
