"""What the members of an instance must say alike at the same time.

A member drops adverts that contradict its own configuration, takes the holder for dead and takes the addresses too. So
it was seen with keepalived 2.2.7: after a change on one member alone, both held the address after VRRPv2's
`advert_int`, the number of addresses in the adverts, or unicast and multicast had come to differ. VRRPv3's `advert_int`
may differ: each member goes by what the holder's adverts say (RFC 5798, 5.2.7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.agent.resources.files import Agreement
from hakit.components.keepalived.paths import CONFIG, UNIT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakit.components.keepalived.settings import Instance

NOT_ADVERTISED = "# not in the adverts"
"""Ends the lines of addresses that the members need not agree on."""
SECTION = r"^vrrp_instance\s+(?P<name>\S+)"
_DIRECTIVES = (
    "interface",
    "virtual_router_id",
    "version",
    "auth_type",
    "auth_pass",
    "unicast_src_ip",
)
# The advertised address, and the peers: a new one that the holder does not send to yet takes the addresses.
_IP = r"(?:\d+\.\d+\.\d+\.\d+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)"


def agreement(instances: Iterable[Instance]) -> Agreement:
    """What a host's keepalived.conf must change together with its peers'."""
    slow = any(one.version == 2 for one in instances)  # noqa: PLR2004 - VRRP version
    directives = "|".join([*_DIRECTIVES, *(["advert_int"] if slow else [])])
    return Agreement(
        path=CONFIG,
        section=SECTION,
        lines=rf"^\s*(?:(?:{directives})\b.*|{_IP}(?:/\d+ dev \S+)?)\s*$",
        unit=UNIT,
    )
