"""Random networks of a host that nothing is wrong with: whatever lint would refuse is not drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[[st.SearchStrategy[Any]], Any]

MODES = ("active-backup", "802.3ad", "balance-xor", "balance-tlb", "balance-alb", "balance-rr")
NAMES = ("eno1", "eno2", "enp3s0", "ens5f1np1", "lan-1", "x_y", "eth0", "e1")


@dataclass
class Drawn:
    """A network being drawn: its settings, the links without a master, the number of the next subnet."""

    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    free: list[str] = field(default_factory=list)
    mtus: dict[str, int] = field(default_factory=dict)
    subnet: int = 0

    def put(self, section: str, name: str, link: dict[str, Any]) -> None:
        """Declare a link."""
        self.settings.setdefault(section, {})[name] = link


@st.composite
def networks(draw: st.DrawFn) -> dict[str, Any]:
    """The settings of `bonding` for a host; the first address is 10.1.0.1, where the host is managed."""
    drawn = Drawn()
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, 6))]
    members = list(names)
    bonds = draw(st.integers(0, len(members) // 2))
    for number in range(bonds):
        size = 2 if len(members) < 4 or number < bonds - 1 else draw(st.integers(2, 3))
        _bond(draw, drawn, f"bond{number}", [members.pop() for _ in range(size)])
    for name in members:
        _nic(draw, drawn, name)
    for name in list(drawn.free):
        if len(name) <= 10:
            _vlans(draw, drawn, name)
    if draw(st.booleans()) and len(drawn.free) > 1:
        port = draw(st.sampled_from(drawn.free))
        drawn.free.remove(port)
        drawn.put("bridges", "br0", draw(st.sampled_from([{}, {"stp": True}, {"stp": True, "forward_delay": "4s"}])))
        drawn.settings["bridges"]["br0"]["members"] = [port]
        drawn.free.append("br0")
    _addresses(draw, drawn)
    settings: dict[str, Any] = dict(drawn.settings)
    if draw(st.booleans()):
        settings["dns"] = {"servers": ["10.1.0.53"], "search": draw(st.sampled_from([[], ["a.example", "b.example"]]))}
    return settings


def _nic(draw: Draw, drawn: Drawn, name: str) -> None:
    link: dict[str, Any] = {}
    if draw(st.integers(0, 2)) == 0:
        link["mac"] = f"52:54:00:00:00:{len(drawn.free):02x}"
    if draw(st.booleans()):
        link["mtu"] = drawn.mtus[name] = draw(st.sampled_from([1500, 9000, 1280]))
    drawn.put("nics", name, link)
    drawn.free.append(name)


def _bond(draw: Draw, drawn: Drawn, name: str, members: list[str]) -> None:
    mode = draw(st.sampled_from(MODES))
    link: dict[str, Any] = {"mode": mode, "members": members}
    if mode in ("802.3ad", "balance-xor", "balance-rr"):
        link["lag"] = draw(st.sampled_from([True, "sw1 Po1"]))
    for key, values in _optional(mode, members).items():
        if draw(st.booleans()):
            link[key] = draw(st.sampled_from(values))
    if "primary" in link and draw(st.booleans()):
        link["primary_reselect"] = draw(st.sampled_from(["better", "failure"]))
    if "mtu" in link:
        drawn.mtus[name] = link["mtu"]
    drawn.put("bonds", name, link)
    drawn.free.append(name)
    for member in members:
        if draw(st.booleans()):
            drawn.put("nics", member, {"mac": f"52:54:00:00:01:{NAMES.index(member):02x}"})


def _optional(mode: str, members: list[str]) -> dict[str, list[Any]]:
    """The options that a mode takes, with some of their values."""
    optional: dict[str, list[Any]] = {
        "updelay": ["0s", "200ms", "30s"],
        "downdelay": ["100ms", "1s"],
        "miimon": ["50ms", "100ms"],
        "resend_igmp": [0, 3],
        "mtu": [1500, 9000],
        "mac": ["02:00:00:00:00:09"],
    }
    if mode == "802.3ad":
        optional |= {"lacp_rate": ["fast", "slow"], "min_links": [0, 1, 2], "ad_select": ["stable", "count"]}
    if mode in ("802.3ad", "balance-xor"):
        optional["xmit_hash_policy"] = ["layer2", "layer2+3", "layer3+4", "encap3+4"]
    if mode in ("active-backup", "balance-tlb", "balance-alb"):
        optional["primary"] = [members[0], members[-1]]
    if mode == "active-backup":
        optional |= {"num_grat_arp": [0, 5], "fail_over_mac": ["none", "follow"]}
    return optional


def _vlans(draw: Draw, drawn: Drawn, parent: str) -> None:
    for tag in draw(st.lists(st.integers(1, 4094), max_size=2, unique=True)):
        link: dict[str, Any] = {}
        name = f"{parent}.{tag}"
        if draw(st.booleans()):
            name = f"v{len(drawn.settings.get('vlans', {}))}"
            link = {"parent": parent, "id": tag}
        if draw(st.booleans()):
            link["mtu"] = min(1400, drawn.mtus.get(parent, 1500))
        if draw(st.integers(0, 3)) == 0:
            link["mac"] = "02:00:00:00:00:07"
        drawn.put("vlans", name, link)
        drawn.free.append(name)


def _addresses(draw: Draw, drawn: Drawn) -> None:
    """Addresses for links that may have some; the first has the address that the host is known by, and the gateways."""
    order = draw(st.permutations(drawn.free))
    for place, name in enumerate(order):
        link = next(links[name] for links in drawn.settings.values() if name in links)
        families = draw(st.sampled_from(["4", "6", "46"])) if place == 0 or draw(st.booleans()) else ""
        if place == 0:
            families = "46" if "6" in families else "4"
        addresses = []
        for _ in range(draw(st.integers(1, 2)) if families else 0):
            subnet, drawn.subnet = drawn.subnet, drawn.subnet + 1
            addresses += [f"10.1.{subnet}.1/24"] * ("4" in families) + [f"fd00:{subnet:x}::1/64"] * ("6" in families)
        if addresses:
            link["addresses"] = addresses
        if place == 0 and draw(st.booleans()):
            link["gateway"] = "10.1.0.254"
        if place == 0 and "6" in families and draw(st.booleans()):
            link["gateway6"] = draw(st.sampled_from(["fe80::1", "fd00:0::fe"]))
        if place == 0 and draw(st.booleans()):
            link["routes"] = [{"to": "10.200.0.0/16", "via": "10.1.0.253", "metric": 77}]
        if not addresses and draw(st.booleans()):
            link[draw(st.sampled_from(["dhcp4", "dhcp6", "accept_ra"]))] = True
    _no_contradictions(drawn)


def _no_contradictions(drawn: Drawn) -> None:
    """Take out what brings a default route beside one's own."""
    everything = [link for links in drawn.settings.values() for link in links.values()]
    for link in everything:
        if any(one.get("gateway") for one in everything):
            link.pop("dhcp4", None)
        if any(one.get("gateway6") for one in everything):
            link.pop("dhcp6", None)
            link.pop("accept_ra", None)
