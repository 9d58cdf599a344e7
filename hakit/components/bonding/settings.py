"""Settings of bonding: the whole network of a host, its bonds above all."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hakit.components.bonding.values import LinkName, Mac, Metric, Mtu, PciPath, Speed, VlanId
from hakit.inventory.types import Cidr, Duration, HostName, Ip, Line, Name, Network, Settings, expected

Manager = Literal["systemd-networkd", "ifupdown", "netplan"]
Mode = Literal["active-backup", "802.3ad", "balance-xor", "balance-tlb", "balance-alb", "balance-rr"]
"""https://docs.kernel.org/networking/bonding.html, mode; `broadcast` sends everything twice and has no use here."""
KERNEL_INT = 2147483647
"""The kernel keeps times of a bond as an int of milliseconds."""
MAX_TARGETS = 16
"""The kernel's BOND_MAX_ARP_TARGETS."""
MAX_SERVERS = 3
"""resolv.conf(5), MAXNS: further ones are never asked."""


def _whole_milliseconds(value: float) -> float:
    if abs(value * 1000 - round(value * 1000)) > 1e-6 or value * 1000 > KERNEL_INT:  # noqa: PLR2004 - float's rounding
        raise expected("whole milliseconds", f"{value:g}s")
    return value


def _confirm_time(value: float) -> float:
    if not 5 <= value <= 3600 or value != int(value):  # noqa: PLR2004 - the message says both
        raise expected("whole seconds from 5s to 1h", f"{value:g}s")
    return value


def _forward_delay(value: float) -> float:
    if not 0 <= value <= 30 or value != int(value):  # noqa: PLR2004 - IEEE 802.1D, and the message says it
        raise expected("whole seconds from 0 to 30s", f"{value:g}s")
    return value


def _lag(value: bool | str) -> bool | str:
    if isinstance(value, str) and not value.strip():
        raise expected("true, or where the LAG is: its switches and its number there", value)
    return value


Time = Annotated[Duration, AfterValidator(_whole_milliseconds)]
ConfirmTime = Annotated[Duration, AfterValidator(_confirm_time)]
ForwardDelay = Annotated[Duration, AfterValidator(_forward_delay)]
Lag = Annotated[bool | Line, AfterValidator(_lag)]
Members = tuple[LinkName, ...]


def _at_most(count: int, what: str) -> AfterValidator:
    def check(value: tuple[str, ...]) -> tuple[str, ...]:
        if not 1 <= len(value) <= count:
            raise expected(f"one to {count} {what}", list(value))
        return value

    return AfterValidator(check)


class Route(Settings):
    """A route by way of a link."""

    to: Literal["default"] | Network = Field(description="A network, or `default`.")
    via: Ip | None = Field(default=None, description="The router; left out: the network is on the link itself.")
    metric: Metric | None = Field(default=None, description="Its priority, the lowest first.")


class LinkSettings(Settings):
    """What every link may have."""

    addresses: tuple[Cidr, ...] = Field(default=(), description="Static addresses with their prefix lengths.")
    dhcp4: bool = Field(default=False, description="Ask for an IPv4 address by DHCP.")
    dhcp6: bool = Field(default=False, description="Ask for an IPv6 address by DHCPv6.")
    accept_ra: bool | None = Field(
        default=None,
        description="Take IPv6 addresses and routes from router advertisements; left out: only with dhcp6.",
    )
    gateway: Ip | None = Field(default=None, description="The IPv4 router for everything else.")
    gateway6: Ip | None = Field(default=None, description="The IPv6 router for everything else.")
    routes: tuple[Route, ...] = Field(default=(), description="Further routes.")
    mtu: Mtu | None = Field(
        default=None, description="Octets of a packet; left out: the kernel's (1500), for a VLAN its parent's."
    )


class Nic(LinkSettings):
    """A NIC. Neither `mac` nor `path`: its name is the kernel's."""

    mac: Mac | None = Field(default=None, description="The card by its permanent MAC address, whatever its name.")
    path: PciPath | None = Field(default=None, description="The card by its slot (udev's ID_PATH), whatever its name.")
    speed: Speed | None = Field(default=None, description="The speed it is meant to have; lint counts with it.")


class Arp(Settings):
    """Watching members by ARP instead of by their carrier."""

    interval: Time = Field(description="Time between two requests.")
    targets: Annotated[tuple[Ip, ...], _at_most(MAX_TARGETS, "targets")] = Field(
        description="IPv4 addresses that answer while a member works: routers, not peers that may be off."
    )
    validate_: Literal["none", "active", "backup", "all"] = Field(
        default="none", alias="validate", description="Which members' answers must be answers to our requests."
    )
    all_targets: bool = Field(default=False, description="All targets must answer, not any.")


class Bond(LinkSettings):
    """Several NICs as one. Left out options have the defaults that suit the mode."""

    mode: Mode | None = Field(default=None, description="How members share the work. There is no default.")
    members: Members = Field(default=(), description="NICs: names of `nics`, or the kernel's.")
    mac: Mac | None = Field(default=None, description="A MAC address of its own; left out: its first member's.")
    primary: LinkName | None = Field(default=None, description="The member that is used while it works.")
    primary_reselect: Literal["always", "better", "failure"] | None = Field(
        default=None, description="When the primary is used again after a failure; left out: failure (only in need)."
    )
    miimon: Time | None = Field(
        default=None, description="Time between two looks at the members' carrier; left out: 100ms, without `arp`."
    )
    updelay: Time = Field(default=0.0, description="How long a carrier must last before its member is used.")
    downdelay: Time = Field(default=0.0, description="How long a carrier must be gone before its member is given up.")
    arp: Arp | None = Field(default=None, description="Watch by ARP instead of by carrier.")
    lacp_rate: Literal["fast", "slow"] | None = Field(
        default=None, description="802.3ad: how often the partner is asked to speak; left out: fast (each second)."
    )
    min_links: Annotated[int, Field(ge=0, le=16)] | None = Field(
        default=None, description="802.3ad: with fewer members the bond is down; 0 and 1 mean the same."
    )
    ad_select: Literal["stable", "bandwidth", "count"] | None = Field(
        default=None, description="802.3ad: which of several aggregates is used."
    )
    xmit_hash_policy: Literal["layer2", "layer2+3", "layer3+4", "encap2+3", "encap3+4"] | None = Field(
        default=None, description="By what connections are spread over members; left out: layer2+3."
    )
    fail_over_mac: Literal["none", "active", "follow"] | None = Field(
        default=None, description="active-backup: whose MAC address the bond has; left out: one for all members."
    )
    num_grat_arp: Annotated[int, Field(ge=0, le=255)] | None = Field(
        default=None, description="active-backup: announcements after a failover; left out: the kernel's, 1."
    )
    resend_igmp: Annotated[int, Field(ge=0, le=255)] | None = Field(
        default=None, description="IGMP reports after a failover; left out: the kernel's, 1."
    )
    lag: Lag = Field(
        default=False,
        description="The switch side is one LAG: true, or where (`sw1+sw2 port-channel 12`). 802.3ad with LACP, "
        "balance-rr and balance-xor without.",
    )
    bandwidth: Speed | None = Field(default=None, description="What the bond is relied on to carry; see rule BD006.")
    forward_delay: Time = Field(
        default=0.0, description="How long a port of the switch blocks after its link came up (spanning tree)."
    )


class Vlan(LinkSettings):
    """A VLAN on another link. A name such as bond0.20 says `parent` and `id` by itself."""

    parent: LinkName | None = Field(default=None, description="The link that carries it: a NIC, a bond or a bridge.")
    id: VlanId | None = Field(default=None, description="Its tag.")
    mac: Mac | None = Field(default=None, description="A MAC address of its own; left out: its parent's.")


class Bridge(LinkSettings):
    """A bridge, for virtual machines and containers."""

    members: Members = Field(default=(), description="NICs, bonds or VLANs.")
    mac: Mac | None = Field(default=None, description="A MAC address of its own.")
    stp: bool = Field(default=False, description="Speak the spanning tree protocol.")
    forward_delay: ForwardDelay | None = Field(
        default=None,
        description="How long a port listens before it forwards, in whole seconds; left out: 0s, with stp 15s.",
    )


class Dns(Settings):
    """The host's resolver."""

    servers: Annotated[tuple[Ip, ...], _at_most(MAX_SERVERS, "name servers, further ones are never asked")] = Field(
        description="Name servers, the first asked first."
    )
    search: tuple[HostName, ...] = Field(default=(), description="Domains that short names are looked for in.")


class Confirm(Settings):
    """What must work over the new network before a change is kept; otherwise the host puts the old one back."""

    timeout: ConfirmTime = Field(default=60.0, description="Time until the old network is put back.")
    peers: tuple[Ip | Name, ...] = Field(default=(), description="Hosts or addresses that must answer.")
    gateway: bool = Field(default=True, description="The gateways must answer.")


class BondingSettings(Settings):
    """The whole network of a host: NICs, bonds, VLANs, bridges, addresses, routes, DNS.

    It is changed as one, and only kept when hakit reaches the host over it; otherwise the host puts the old one back.
    """

    manager: Manager | None = Field(
        default=None,
        description="What brings the network up; left out: what the host uses now. Another one than that moves to it.",
    )
    nics: dict[LinkName, Nic] = Field(default_factory=dict, description="NICs by name.")
    bonds: dict[LinkName, Bond] = Field(default_factory=dict, description="Bonds by name.")
    vlans: dict[LinkName, Vlan] = Field(default_factory=dict, description="VLANs by name.")
    bridges: dict[LinkName, Bridge] = Field(default_factory=dict, description="Bridges by name.")
    dns: Dns | None = Field(default=None, description="Name servers; left out: they stay as they are.")
    confirm: Confirm = Field(default_factory=Confirm, description="What must work before a change is kept.")
