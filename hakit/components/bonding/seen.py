"""What is known of a host's network beyond the inventory: its NICs, and what brings it up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.components.bonding.model import NOTHING, Known, match_of
from hakit.errors import RefusedError

if TYPE_CHECKING:
    from hakit.components.base import Facts, SeenNic
    from hakit.components.bonding.model import Link, Net
    from hakit.components.bonding.settings import BondingSettings

NETWORKD, IFUPDOWN, NETPLAN = "systemd-networkd", "ifupdown", "netplan"
NETWORK_MANAGER = "NetworkManager"
DEFAULT = IFUPDOWN
"""What Debian's installer sets up: shown where nothing is known of the host yet."""


def known(settings: BondingSettings, facts: Facts | None) -> Known:
    """What was seen of the cards: of those that the inventory tells by MAC address or slot, the kernel's names, too."""
    if facts is None or facts.network is None:
        return NOTHING
    names = {}
    macs = {nic.name: nic.mac for nic in facts.network.nics}
    for name, nic in settings.nics.items():
        seen = _matching(match_of(nic), facts)
        if seen is not None:
            names[name] = seen.name
            macs[name] = seen.mac
    return Known(names, macs)


def nic_of(link: Link, facts: Facts | None) -> SeenNic | None:
    """What was seen of a declared NIC."""
    if link.match:
        return _matching(link.match, facts)
    nics = facts.network.nics if facts is not None and facts.network is not None else ()
    return next((nic for nic in nics if nic.name == link.name), None)


def _matching(match: str, facts: Facts | None) -> SeenNic | None:
    kind, _, value = match.partition(":")
    if not kind or facts is None or facts.network is None:
        return None
    return next((nic for nic in facts.network.nics if (nic.mac if kind == "mac" else nic.path) == value), None)


def manager(settings: BondingSettings, facts: Facts, host: str) -> tuple[str, str]:
    """What shall bring the network up, and what did until now where that is another.

    Raises RefusedError where the host uses what hakit does not know, or several at once. Where the host was not asked,
    that of Debian's installer stands in.
    """
    found = facts.network.managers if facts.network is not None else ()
    if facts.live and NETWORK_MANAGER in found:
        raise RefusedError(
            f"{host}: NetworkManager has the network in its hands, which hakit does not know",
            why="hakit writes for systemd-networkd, ifupdown and netplan; two at once undo each other's work.",
            hint="hand the NICs over by hand and remove NetworkManager, or take bonding out for this host",
        )
    usable = [one for one in found if one in (NETWORKD, IFUPDOWN, NETPLAN)]
    if facts.live and len(usable) > 1 and settings.manager is None:
        raise RefusedError(
            f"{host}: {' and '.join(usable)} both have links of this host in their hands",
            hint=f"say which one gets them all:  bonding: {{manager: {usable[0]}}}",
        )
    wanted: str = settings.manager or (usable[0] if usable else DEFAULT)
    return wanted, next((one for one in usable if one != wanted), "")


def require_nics(net: Net, facts: Facts, host: str) -> None:
    """Refuse NICs that the host does not have, and one that is declared under two names.

    Raises RefusedError; silent where the host was not asked.
    """
    if facts.network is None or not facts.live:
        return
    taken: dict[str, str] = {}
    for link in net:
        other = taken.setdefault(link.name, link.declared)
        if other != link.declared:
            raise RefusedError(
                f"{host}: {other} and {link.declared} are one NIC, {link.name}",
                hint="declare it once, and use that name everywhere",
            )
    missing = [link for link in net if link.kind == "physical" and nic_of(link, facts) is None]
    if not missing:
        return
    there = ", ".join(f"{nic.name} ({nic.mac}, {nic.path or 'no slot'})" for nic in facts.network.nics)
    told = (f"{link.declared} ({link.match.replace(':', ' ', 1)})" if link.match else link.name for link in missing)
    raise RefusedError(
        f"{host} has no NIC {', '.join(told)}",
        why=f"It has {there or 'none at all'}.",
        hint="correct the NICs in the inventory",
    )
