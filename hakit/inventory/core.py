"""hakit's own settings: the keys below `hakit` that belong to no component."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from hakit.inventory.types import (
    Cidr,
    Duration,
    HostName,
    Interface,
    Ip,
    Line,
    Mac,
    Name,
    Network,
    PackageName,
    Secret,
    Settings,
    Size,
    expected,
)
from hakit.jump import parse as parse_jump

Release = Literal[12, 13]
"""Debian's number: 12 is bookworm, 13 is trixie."""


def _address(value: Any) -> Any:
    if not isinstance(value, str) or not value:
        raise expected("an IP address or a host name", value)
    return value


Address = Annotated[Ip | HostName, BeforeValidator(_address)]
"""Where peers reach a host: an IP address, or a name."""


class Service(Settings):
    """What the site promises for one of its services; lint holds the design to it."""

    address: Ip = Field(description="The address that clients use; a component must keep it alive.")
    survives: Literal["nothing", "any-host", "any-zone"] = Field(
        default="any-host", description="The failure after which the service still answers, without anybody's help."
    )
    rto: Duration | None = Field(default=None, description="The longest interruption promised after such a failure.")
    rpo: Duration | None = Field(default=None, description="How much of the latest data may be lost; 0s is nothing.")
    automatic: bool = Field(default=True, description="Whether the takeover needs no human; rto demands it.")


def _rule_id(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{2}[0-9]{3}", value):
        raise expected("the id of a rule such as KA008", value)
    return value


RuleId = Annotated[str, AfterValidator(_rule_id)]


class Lint(Settings):
    """Which rules of lint are waived here."""

    ignore: dict[RuleId, Annotated[Line, Field(min_length=3)]] = Field(
        default_factory=dict, description="Rule id → the reason why the rule does not apply here, in words."
    )


class Lab(Settings):
    """Declares that this inventory is a lab's: its hosts are made by `hakit lab up` and reached only there."""

    driver: Literal["nspawn", "qemu", "vagrant"] = Field(
        default="nspawn",
        description="What hosts are: containers of systemd-nspawn, or virtual machines with a kernel of their own: "
        "hakit's own (qemu), or those that Vagrant makes.",
    )
    network: Network = Field(description="The lab's own network; its first address is the bridge's.")
    interface: Interface = Field(default="eth0", description="The name of each host's main NIC.")
    release: Release = Field(default=12, description="Debian's release number on the lab's hosts.")
    packages: tuple[PackageName, ...] = Field(default=(), description="Packages in the base image, beyond its own.")


def _serial(value: str) -> str:
    # A SCSI disk tells udev at most 20 characters of its serial (QEMU's scsi-disk), and udev replaces other signs.
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,20}", value):
        raise expected("at most 20 letters, digits, '_' and '-'", value)
    return value


Serial = Annotated[
    str,
    AfterValidator(_serial),
    WithJsonSchema(
        {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,20}$", "x-expects": "at most 20 letters, digits, '_' and '-'"}
    ),
]
"""A disk's serial number."""


def _wwn(value: str) -> str:
    if not re.fullmatch(r"0x5[0-9a-f]{15}", value):
        raise expected("0x5 and 15 more small hexadecimal digits", value)
    return value


Wwn = Annotated[
    str,
    AfterValidator(_wwn),
    WithJsonSchema(
        {"type": "string", "pattern": "^0x5[0-9a-f]{15}$", "x-expects": "0x5 and 15 more small hexadecimal digits"}
    ),
]
"""A name that a disk's maker gives it: NAA 5, 64 bits (SCSI's SPC-5)."""


class Disk(Settings):
    """A disk of a virtual machine, empty when it is new."""

    size: Size = Field(description="How much it holds; it takes room only for what is written.")
    serial: Serial | None = Field(
        default=None, description="Its serial number, which /dev/disk/by-id tells; left out: its name."
    )
    wwn: Wwn | None = Field(default=None, description="Its WWN, which /dev/disk/by-id tells then; left out: none.")


class Hardware(Settings):
    """What the virtual machine that stands for a host in a lab has; a real host brings its own."""

    memory: Size | None = Field(default=None, description="Its memory; left out: 384MiB.")
    disks: dict[Serial, Disk] = Field(
        default_factory=dict, description="Disks beside the one with its system, in the order of their places."
    )
    macs: dict[Interface, Mac] = Field(
        default_factory=dict, description="The addresses of network cards, where they matter: name → MAC."
    )
    lags: dict[Name, tuple[Interface, ...]] = Field(
        default_factory=dict,
        description="Which NICs are plugged into ports of the switch that speak LACP with each other: a name → NICs.",
    )


def _jump(value: str) -> str:
    try:
        parse_jump(value)
    except ValueError:
        raise expected("a host of the inventory, or [user@]host[:port]", value) from None
    return value


Jump = Annotated[
    str,
    AfterValidator(_jump),
    WithJsonSchema({"type": "string", "x-expects": "a host of the inventory, or [user@]host[:port]"}),
]
"""A jump host, as `ssh -J` takes it."""


class Ssh(Settings):
    """How hosts are reached and logged in on, beyond Ansible's own variables and ssh_config."""

    jump: tuple[Jump, ...] | None = Field(
        default=None,
        description="The jump hosts on the way, the one that is reached directly first. A host of the inventory brings "
        "its own login; `[]` goes directly whatever ssh_config says.",
    )
    password: Secret | None = Field(
        default=None, description="The password to log in with, where sshd takes none of the keys."
    )
    sudo_password: Secret | None = Field(default=None, description="The password that sudo asks for.")


class SecretSources(Settings):
    """Where secrets come from, beside the environment and the encrypted store."""

    command: Annotated[tuple[Line, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="A command as a list of arguments that prints a secret; `{name}` in an argument is its name.",
    )
    timeout: Duration = Field(default=30.0, description="How long the command may take.")


class Core(Settings):
    """The keys below `hakit` that are hakit's own; all others are components."""

    address: Address | None = Field(
        default=None, description="Where peers and services reach this host; by default what `ansible_host` says."
    )
    zone: Name | None = Field(default=None, description="The failure domain (rack, room, site) this host stands in.")
    release: Release | None = Field(
        default=None, description="Debian's release number, where it must be known offline."
    )
    nics: dict[Interface, Cidr | None] = Field(
        default_factory=dict,
        description="NICs beside the main one: name → address/prefix, or null for one without an address.",
    )
    hardware: Hardware | None = Field(
        default=None,
        description="What the host's virtual machine in a lab has; only where `lab.driver` is qemu or vagrant.",
    )
    services: dict[Name, Service] = Field(default_factory=dict, description="What this site promises, by name.")
    lint: Lint = Field(default_factory=Lint, description="Rules of lint that are waived here, with a reason.")
    lab: Lab | None = Field(default=None, description="Declares this inventory a lab's.")
    secrets: SecretSources = Field(default_factory=SecretSources, description="Where secrets come from.")
    ssh: Ssh = Field(default_factory=Ssh, description="How hosts are reached and logged in on.")


SITE_KEYS = frozenset({"services", "lab", "secrets"})
"""Keys that speak of the whole site: they belong into the variables of `all`."""
