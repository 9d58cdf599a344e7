"""The options of a bond as its kernel has them: what the inventory says, and what suits the mode where it is silent.

Source of all rules here: https://docs.kernel.org/networking/bonding.html, and drivers/net/bonding/bond_options.c for
what the driver refuses in which mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.bonding.settings import Bond

LACP, ACTIVE_BACKUP, RANDOM = "802.3ad", "active-backup", "balance-rr"
WITH_PRIMARY = (ACTIVE_BACKUP, "balance-tlb", "balance-alb")
WITHOUT_ARP = (LACP, "balance-tlb", "balance-alb")
HASHING = (LACP, "balance-xor", "balance-tlb")
MIIMON = 0.1
"""Seconds between two looks at the carrier: the kernel's own document calls 100 ms a good start."""
HASH = "layer2+3"
"""Spreads by address, and keeps to 802.3ad: a conversation is never torn over two members."""
ONLY_IN: Mapping[str, tuple[str, ...]] = {
    "lacp_rate": (LACP,),
    "ad_select": (LACP,),
    "min_links": (LACP,),
    "fail_over_mac": (ACTIVE_BACKUP,),
    "num_grat_arp": (ACTIVE_BACKUP,),
    "xmit_hash_policy": HASHING,
    "primary_reselect": WITH_PRIMARY,
}
"""Options that mean something in these modes alone."""


UNSET = (
    ("miimon", "0"),
    ("updelay", "0"),
    ("downdelay", "0"),
    ("arp_validate", "none"),
    ("arp_all_targets", "any"),
)
"""What a bond has where nobody says anything: told to the kernel's comparison, left out of files."""


def milliseconds(seconds: float) -> int:
    """A duration as the kernel counts it."""
    return round(seconds * 1000)


def miimon(bond: Bond) -> int:
    """Milliseconds between two looks at the carrier; 0 where members are watched by ARP, or not at all."""
    if bond.miimon is not None:
        return milliseconds(bond.miimon)
    return 0 if bond.arp is not None else milliseconds(MIIMON)


def reselect(bond: Bond) -> str | None:
    """When the primary comes back; None where there is none.

    By default only in need: a port that has just come up may not forward yet, and each change costs packets.
    """
    if bond.primary_reselect is not None:
        return bond.primary_reselect
    return "failure" if bond.primary is not None else None


def hash_policy(bond: Bond) -> str | None:
    """By what connections are spread; None: the kernel's own."""
    if bond.xmit_hash_policy is not None:
        return bond.xmit_hash_policy
    return HASH if bond.mode in (LACP, "balance-xor") else None


def lacp_rate(bond: Bond) -> str | None:
    """How often the partner is asked to speak: each second, so that a silent one is noticed in 3 s and not in 90 s."""
    if bond.lacp_rate is not None:
        return bond.lacp_rate
    return "fast" if bond.mode == LACP else None


def options(bond: Bond, names: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Name in sysfs' `bonding` folder and value as the kernel shows it, in an order in which the kernel takes them.

    `names` maps names of the inventory to the kernel's. Words of the inventory keep their origin.
    """
    return tuple((name, value) for name, value in _options(bond, names) if value is not None)


def _options(bond: Bond, names: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    yield "mode", bond.mode or RANDOM
    beat = miimon(bond)
    yield "miimon", str(beat)
    if beat:
        yield "updelay", str(_rounded(bond.updelay, beat))
        yield "downdelay", str(_rounded(bond.downdelay, beat))
    elif bond.arp is not None:
        yield "arp_interval", str(milliseconds(bond.arp.interval))
        yield "arp_ip_target", " ".join(bond.arp.targets)
        yield "arp_validate", bond.arp.validate_
        yield "arp_all_targets", "all" if bond.arp.all_targets else "any"
    yield "lacp_rate", lacp_rate(bond)
    yield "ad_select", bond.ad_select
    yield "min_links", _number(bond.min_links)
    yield "xmit_hash_policy", hash_policy(bond)
    yield "fail_over_mac", bond.fail_over_mac
    yield "num_grat_arp", _number(bond.num_grat_arp)
    yield "resend_igmp", _number(bond.resend_igmp)
    yield "primary", names.get(bond.primary, bond.primary) if bond.primary is not None else None
    yield "primary_reselect", reselect(bond)


def _rounded(delay: float, beat: int) -> int:
    """The kernel counts delays in looks at the carrier, and rounds them down."""
    return milliseconds(delay) // beat * beat


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)
