"""The typed, immutable picture of a site that everything else works on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path as FilePath

    from pydantic import BaseModel

    from hakit.inventory.core import Hardware, Lab, Service
    from hakit.inventory.groups import Layer
    from hakit.inventory.origin import Mark, Path, Problem
    from hakit.inventory.secrets import Secret, Secrets
    from hakit.inventory.settings import SecretUse


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in on a host, from ansible_* variables and `hakit.ssh`; None: as ssh_config or the default says.

    `jump` are the hosts on the way, the one that is reached directly first; empty: none, whatever ssh_config says.
    `known_as` is the address under which the host's key is known while it moves from there to `host`.
    """

    host: str
    user: str | None = None
    port: int | None = None
    key_file: str | None = None
    become: bool = True
    jump: tuple[Hop, ...] | None = None
    proxy_command: str | None = None
    password: Secret | None = None
    sudo_password: Secret | None = None
    known_as: str | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """A jump host: its name, and how to log in there; a host of the inventory brings its own login."""

    name: str
    login: Login


@dataclass(frozen=True, slots=True)
class Group:
    """A group of the inventory: its own and its descendants' hosts, in inventory order.

    `own` are the hosts that it lists itself; `all` and `ungrouped` are groups too.
    """

    name: str
    hosts: tuple[str, ...]
    children: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    own: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Host:
    """A host with everything the inventory says of it.

    `groups` are all its groups but `all`, ancestors included, in Ansible's merge order. `settings` holds the validated
    settings per component, every string and number in them remembers its origin (`origin_of`). `marks` is the side
    table: the place of each key and value by its path below `hakit`. `nics` are the NICs beside the main one (name →
    address/prefix), `hardware` is what its virtual machine in a lab has. `vars` are all other variables, as in Ansible;
    `layers` is what gave them, weakest first.
    """

    name: str
    groups: tuple[str, ...]
    login: Login
    address: str
    zone: str | None
    release: int | None
    settings: Mapping[str, BaseModel] = field(repr=False)
    vars: Mapping[str, Any] = field(repr=False)
    marks: Mapping[Path, Mark] = field(repr=False)
    ignore: Mapping[str, str] = field(default_factory=dict, repr=False)
    nics: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    hardware: Hardware | None = field(default=None, repr=False)
    layers: tuple[Layer, ...] = field(default=(), repr=False)

    def mark(self, *path: str | int) -> Mark | None:
        """The place of the nearest known ancestor of `path` (path below `hakit`)."""
        while path:
            if path in self.marks:
                return self.marks[path]
            path = path[:-1]
        return self.marks.get(())


@dataclass(frozen=True, slots=True)
class Site:
    """All hosts, groups and promises of one inventory.

    `source` is what the user named, `root` the folder that holds it (user templates, `.hakit`, secrets live beside it).
    `uses` are the settings that name a secret, `warnings` what the loader passed over.
    """

    source: FilePath
    root: FilePath
    hosts: Mapping[str, Host]
    groups: Mapping[str, Group]
    services: Mapping[str, Service]
    lab: Lab | None
    secrets: Secrets
    uses: tuple[SecretUse, ...] = field(default=(), repr=False)
    warnings: tuple[Problem, ...] = field(default=(), repr=False)

    def members(self, group: str) -> tuple[Host, ...]:
        """The hosts of a group (or the host of that name), in inventory order; empty when there is none."""
        if group == "all":
            return tuple(self.hosts.values())
        if group in self.groups:
            return tuple(self.hosts[name] for name in self.groups[group].hosts)
        return (self.hosts[group],) if group in self.hosts else ()

    def without(self, name: str) -> Site:
        """The site as if this host were not in its inventory."""
        groups = {
            key: replace(
                group,
                hosts=tuple(host for host in group.hosts if host != name),
                own=tuple(host for host in group.own if host != name),
            )
            for key, group in self.groups.items()
        }
        return replace(self, hosts={key: host for key, host in self.hosts.items() if key != name}, groups=groups)

    def running(self, component: str) -> Iterator[Host]:
        """The hosts that run a component."""
        return (host for host in self.hosts.values() if component in host.settings)
