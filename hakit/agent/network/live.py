"""The network of this host as its kernel has it now.

`ip` tells of links, addresses and routes, sysfs of the options of bonds and bridges, /proc/net/bonding of LACP.
"""

from __future__ import annotations

import os

from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, ClassVar

    from hakit.agent.work import Work

PATIENCE = 10.0  # seconds for each command; a busy host with thousands of routes needs one
NET = "/sys/class/net"
BONDS = "/proc/net/bonding"
NO_MAC = "00:00:00:00:00:00"
BOND_OPTIONS = (
    "mode",
    "miimon",
    "updelay",
    "downdelay",
    "arp_interval",
    "arp_ip_target",
    "arp_validate",
    "arp_all_targets",
    "lacp_rate",
    "ad_select",
    "min_links",
    "xmit_hash_policy",
    "fail_over_mac",
    "num_grat_arp",
    "resend_igmp",
    "primary",
    "primary_reselect",
)
BRIDGE_OPTIONS = ("stp_state", "forward_delay")
IN_USE = 0x30
"""The bits of a port's state in LACP that say Collecting and Distributing (IEEE 802.1AX, 6.4.2.3)."""
LISTS = ("arp_ip_target",)  # options of several words; of the others the first is the value, the second its number


class LiveLink(Declaration):
    """A link of the kernel's.

    `kind` is `physical`, `bond`, `vlan`, `bridge`, or the kernel's word for another kind. `nics` are the names that a
    card may be declared by (`mac:…`, `path:…`). `given` are the addresses that others gave: DHCP, router
    advertisements. `up` is what was asked of it, `carrier` whether something answers at the other end, `bundled` of a
    member of an 802.3ad bond whether it and the switch's port both use the link for the aggregate.
    """

    name: str
    kind: str = "physical"
    nics: tuple[str, ...] = ()
    master: str = ""
    on: str = ""
    id: int = 0
    options: tuple[tuple[str, str], ...] = ()
    addresses: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    mac: str = ""
    mtu: int = 0
    up: bool = True
    carrier: bool = True
    bundled: bool = True


class LiveRoute(Declaration):
    """A route of the main table; `to` as in a declared one, `protocol` is who set it (`static`, `boot`, `dhcp` …)."""

    to: str
    via: str = ""
    link: str = ""
    metric: int = 0
    protocol: str = ""


class Live(Declaration):
    """All links and routes; `partners` are the bonds that have an LACP partner, with its MAC address."""

    nested: ClassVar[dict[str, type[Declaration]]] = {"links": LiveLink, "routes": LiveRoute}
    links: tuple[LiveLink, ...]
    routes: tuple[LiveRoute, ...] = ()
    partners: tuple[tuple[str, str], ...] = ()

    def link(self, name: str) -> LiveLink | None:
        """A link by its name."""
        return next((link for link in self.links if link.name == name), None)


def read(work: Work) -> Live:
    """The network as it is now. Raises Failure when `ip` can't tell."""
    from hakit.agent.network.found import nics

    cards = {nic["name"]: _cards(nic) for nic in nics(work)}
    links = [_link(one, cards, work) for one in _ip(["-details", "address", "show"], work) if one.get("ifname") != "lo"]
    routes = [
        route
        for version in ("4", "6")
        for one in _ip([f"-{version}", "route", "show", "table", "main"], work)
        for route in _routes(one, version)
    ]
    return Live(links=tuple(links), routes=tuple(routes), partners=tuple(_partners(work)))


def _ip(words: list[str], work: Work) -> list[dict[str, Any]]:
    from hakit.agent import jsonlite

    argv = ["ip", "-json", *words]
    done = work.run(argv, PATIENCE)
    if done.code:
        raise Failure(f"{' '.join(argv)} fails", output=done.tail())
    text = done.out.strip()
    try:
        found = jsonlite.loads(text) if text else []
    except ValueError as error:
        raise Failure(f"{' '.join(argv)} tells nonsense: {error}", output=text[:200]) from error
    return [one for one in found if isinstance(one, dict) and one]


def _cards(nic: dict[str, Any]) -> tuple[str, ...]:
    return tuple(f"{kind}:{nic[key]}" for kind, key in (("mac", "mac"), ("path", "path")) if nic[key])


def _link(one: dict[str, Any], cards: dict[str, tuple[str, ...]], work: Work) -> LiveLink:
    name = str(one["ifname"])
    info = one.get("linkinfo") or {}
    kind = str(info.get("info_kind") or "physical")
    flags = one.get("flags") or ()
    fixed, given = _addresses(one)
    return LiveLink(
        name=name,
        kind=kind,
        nics=cards.get(name, ()),
        master=str(one.get("master") or ""),
        on=str(one.get("link") or "") if kind == "vlan" else "",
        id=int((info.get("info_data") or {}).get("id") or 0) if kind == "vlan" else 0,
        options=tuple(_options(name, kind, work)),
        addresses=fixed,
        given=given,
        mac=str(one.get("address") or ""),
        mtu=int(one.get("mtu") or 0),
        up="UP" in flags,
        carrier="LOWER_UP" in flags,
        bundled=all(_in_use(name, end, work) for end in ("actor", "partner")),
    )


def _addresses(one: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The addresses that stay, and those that others gave; link-local ones are nobody's."""
    fixed: list[str] = []
    given: list[str] = []
    for found in one.get("addr_info") or ():
        if found.get("scope") == "link" or "local" not in found:
            continue
        text = f"{found['local']}/{found['prefixlen']}"
        (given if found.get("dynamic") or found.get("temporary") else fixed).append(text)
    return tuple(fixed), tuple(given)


def _options(name: str, kind: str, work: Work) -> Iterator[tuple[str, str]]:
    folder, names = {"bond": ("bonding", BOND_OPTIONS), "bridge": ("bridge", BRIDGE_OPTIONS)}.get(kind, ("", ()))
    for option in names:
        words = _text(f"{NET}/{name}/{folder}/{option}", work).split()
        yield option, " ".join(words) if option in LISTS else "".join(words[:1])


def _in_use(name: str, end: str, work: Work) -> bool:
    """Whether an end of a member's link uses it for the aggregate; true where LACP has no say."""
    state = _text(f"{NET}/{name}/bonding_slave/ad_{end}_oper_port_state", work)
    return not state.isdigit() or int(state) & IN_USE == IN_USE


def _routes(one: dict[str, Any], version: str) -> Iterator[LiveRoute]:
    """A route, or one for each way of a route with several."""
    if one.get("type", "unicast") != "unicast":
        return
    to = str(one.get("dst", ""))
    if to == "default":
        to = "default" if version == "4" else "default6"
    elif "/" not in to:
        to += "/32" if version == "4" else "/128"
    metric, protocol = int(one.get("metric") or 0), str(one.get("protocol") or "boot")
    for hop in one.get("nexthops") or (one,):
        via = hop.get("gateway") or (hop.get("via") or {}).get("host") or ""
        yield LiveRoute(to=to, via=str(via), link=str(hop.get("dev") or ""), metric=metric, protocol=protocol)


def _partners(work: Work) -> Iterator[tuple[str, str]]:
    """Bonds whose partner has told its MAC address."""
    folder = work.at(BONDS)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        for line in _text(f"{BONDS}/{name}", work).split("\n"):
            key, _, value = line.strip().partition(": ")
            # The first is the aggregate's that is used; those of the members follow.
            if key == "Partner Mac Address":
                if value.strip() != NO_MAC:
                    yield name, value.strip()
                break


def _text(path: str, work: Work) -> str:
    try:
        with open(work.at(path), encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20).strip()
    except OSError:
        return ""
