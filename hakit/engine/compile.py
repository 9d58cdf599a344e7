"""From components to the ordered resources of one host: duplicates joined, edges derived, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from hakit.agent.resources.account import Group, User
from hakit.agent.resources.command import Command
from hakit.agent.resources.files import Files
from hakit.agent.resources.network import Network
from hakit.agent.resources.package import Package
from hakit.agent.resources.paths import Directory, Symlink
from hakit.agent.resources.raid import Mount
from hakit.agent.resources.sysctl import Sysctl
from hakit.agent.resources.unit import Unit
from hakit.components.base import HostContext
from hakit.errors import InventoryError
from hakit.inventory.origin import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hakit.agent.declare import Content
    from hakit.agent.resources.base import Resource
    from hakit.agent.resources.files import File
    from hakit.components.base import Component, Facts
    from hakit.components.templates import Templates
    from hakit.inventory.model import Host, Site

UNIT_FOLDER = "/etc/systemd/system/"


@dataclass(frozen=True, slots=True)
class HostResources:
    """What one host shall be: its resources by key, each after everything it needs."""

    host: Host
    resources: Mapping[str, Resource]

    def contents(self) -> Mapping[str, Content]:
        """The content of every declared file by its path."""
        return {file.path: file.content for one in self.resources.values() for file in _files(one)}

    def standing_on(self, keys: Iterable[str]) -> frozenset[str]:
        """The keys of these resources and of all that needs them in place, directly or by others."""
        found = set(keys)
        for key, resource in self.resources.items():
            if not found.isdisjoint(resource.after):
                found.add(key)
        return frozenset(found)


def declare(
    site: Site,
    components: Mapping[str, Component],
    host: Host,
    facts: Facts,
    templates: Templates,
    *,
    decided: Mapping[str, object] | None = None,
    wipe: frozenset[str] = frozenset(),
) -> HostResources:
    """All resources of a host in an order that works. Raises InventoryError, TemplateError, SecretError.

    `decided` is, by component, the value that was decided for this host; offline there is none. `wipe` are the serial
    numbers of disks that the command line confirms to be wiped.
    """
    decided = decided or {}
    found: dict[str, Resource] = {}
    for name, component in components.items():
        if name not in host.settings:
            continue
        ctx = HostContext(site, host, facts, name, templates, components, decided.get(name), wipe)
        for resource in component.resources(ctx):
            _add(found, resource if resource.component else resource.replace(component=name), host)
    _one_owner_per_path(found.values(), host)
    return HostResources(host, _ordered(_with_drop_ins(found), host))


def _add(found: dict[str, Resource], resource: Resource, host: Host) -> None:
    other = found.get(resource.key)
    if other is None:
        found[resource.key] = resource
    elif other == resource.replace(component=other.component, after=other.after):
        found[resource.key] = other.replace(after=tuple(dict.fromkeys((*other.after, *resource.after))))
    else:
        raise InventoryError([_twice(resource.key, other, resource, host)])


def _twice(what: str, first: Resource, second: Resource, host: Host) -> Problem:
    by = first.component if first.component == second.component else f"{first.component} and {second.component}"
    return Problem(
        f"{what} is declared twice on {host.name}, differently, by {by}; keep one of the two",
        host.mark(second.component),
        second.component,
    )


def _one_owner_per_path(resources: Iterable[Resource], host: Host) -> None:
    owners: dict[str, Resource] = {}
    for resource in resources:
        for path in _paths(resource):
            if path in owners:
                raise InventoryError([_twice(path, owners[path], resource, host)])
            owners[path] = resource


def _files(resource: Resource) -> tuple[File, ...]:
    if isinstance(resource, Mount):
        return (resource.file,)
    return resource.files if isinstance(resource, Files | Network) else ()


def _paths(resource: Resource) -> tuple[str, ...]:
    if isinstance(resource, Files | Network | Mount):
        return tuple(file.path for file in _files(resource))
    return (resource.path,) if isinstance(resource, Directory | Symlink) else ()


def names(resource: Resource) -> tuple[str, ...]:
    """What a resource declares, by every name that another one could have for it: key, paths, kernel parameters."""
    parameters = tuple(name for name, _ in resource.values) if isinstance(resource, Sysctl) else ()
    return (resource.key, *_paths(resource), *parameters)


def _with_drop_ins(found: dict[str, Resource]) -> dict[str, Resource]:
    """A unit restarts when its unit file or a drop-in changes, whichever component brought that.

    Except where another unit claims the file for itself: keepalived's hooks around HAProxy's start and stop are read
    when they run, and cutting HAProxy's connections for them would be an outage for nothing.
    """
    paths = [path for resource in found.values() for path in _paths(resource) if path.startswith(UNIT_FOLDER)]
    units = [unit for unit in found.values() if isinstance(unit, Unit)]
    claims = {path for unit in units for path in (*unit.reload_on, *unit.restart_on)}
    result = dict(found)
    for key, unit in found.items():
        if isinstance(unit, Unit):
            base = UNIT_FOLDER + unit.unit
            own = [path for path in paths if path == base or path.startswith(base + ".d/")]
            unclaimed = (path for path in own if path not in claims)
            result[key] = unit.replace(restart_on=tuple(dict.fromkeys((*unit.restart_on, *unclaimed))))
    return result


@dataclass(frozen=True, slots=True)
class _Index:
    """A host's resources, looked up in the ways that derived edges need.

    `mates` are by component and type, `mounts` by mount point; `below` is what mounts themselves stand on.
    """

    found: Mapping[str, Resource]
    holders: Mapping[str, str]
    mates: Mapping[tuple[str, type[Resource]], tuple[str, ...]]
    mounts: Mapping[str, str]
    below: frozenset[str]

    @classmethod
    def of(cls, found: Mapping[str, Resource]) -> _Index:
        """Built once per host."""
        holders = {path: key for key, resource in found.items() for path in _paths(resource)}
        mates: dict[tuple[str, type[Resource]], list[str]] = {}
        for key, resource in found.items():
            mates.setdefault((resource.component, type(resource)), []).append(key)
        mounts = {one.path: key for key, one in found.items() if isinstance(one, Mount)}
        by_type = {place: tuple(keys) for place, keys in mates.items()}
        return cls(found, holders, by_type, mounts, frozenset(_closure(mounts.values(), found)))

    def of_types(self, component: str, *types: type[Resource]) -> set[str]:
        """The keys of a component's resources of these types."""
        return {key for one in types for key in self.mates.get((component, one), ())}

    def networks(self, component: str) -> set[str]:
        """The host's network, for another component: what judges a configuration, or listens, looks for its links."""
        return {
            key for (owner, kind), keys in self.mates.items() if kind is Network for key in keys if owner != component
        }

    def carrying(self, paths: Iterable[str]) -> set[str]:
        """The mounts that any of the paths is on."""
        above = {folder for path in paths for folder in (path, *_folders(path))} if self.mounts else ()
        return {self.mounts[path] for path in above if path in self.mounts}

    def present(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that are declared here."""
        return {key for key in keys if key in self.found}


def _ordered(found: Mapping[str, Resource], host: Host) -> dict[str, Resource]:
    index = _Index.of(found)
    needs = {key: _needs(resource, index) - {key} for key, resource in found.items()}
    try:
        order = tuple(TopologicalSorter(needs).static_order())
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise InventoryError([Problem(f"resources on {host.name} wait for each other: {circle}")]) from error
    return {key: found[key].replace(after=tuple(sorted(needs[key]))) for key in order}


def _needs(resource: Resource, index: _Index) -> set[str]:
    """Keys of this host's resources that must be in place before this one."""
    needs = index.present(resource.after) | index.carrying((*_paths(resource), *_stands_on(resource)))
    own = resource.component
    if isinstance(resource, Files | Directory | Symlink):
        folders = (folder for path in _paths(resource) for folder in _folders(path))
        needs |= {index.holders[folder] for folder in folders if folder in index.holders}
        packages = index.of_types(own, Package) | index.present(_owners(resource))
        # What a package is to find when it comes is there before it.
        needs |= {key for key in packages if resource.key not in index.found[key].after}
        if isinstance(resource, Files) and resource.validate:
            needs |= index.networks(own)
    elif isinstance(resource, Package):
        # What a package puts on its place would be hidden by what is mounted there later.
        needs |= set(index.mounts.values()) if resource.key not in index.below else set()
    elif isinstance(resource, User):
        groups = (f"group:{name}" for name in (resource.group, *resource.groups) if name)
        needs |= index.of_types(own, Package) | index.present(groups)
    elif isinstance(resource, Command):
        needs |= index.of_types(own, Package, User, Group, Directory)
    elif isinstance(resource, Unit):
        needs |= index.of_types(own, Files, Directory, Symlink, Package, User, Group, Sysctl)
        triggers = (*resource.reload_on, *resource.restart_on)
        needs |= index.present(index.holders.get(trigger, trigger) for trigger in triggers) | index.networks(own)
    return needs


def _closure(keys: Iterable[str], found: Mapping[str, Resource]) -> set[str]:
    """These and all that they name as what must be in place before, directly or by others."""
    seen: set[str] = set()
    waiting = list(keys)
    while waiting:
        key = waiting.pop()
        if key in found and key not in seen:
            seen.add(key)
            waiting += found[key].after
    return seen


def _stands_on(resource: Resource) -> tuple[str, ...]:
    """What must be mounted before it: a mount above a mount, a cluster's, a user's home."""
    if isinstance(resource, Mount):
        return tuple(_folders(resource.path))
    known = (getattr(resource, name, "") for name in ("mount", "home"))
    return tuple(str(path) for path in known if path)


def _folders(path: str) -> Iterable[str]:
    while (path := path.rpartition("/")[0]) != "":
        yield path


def _owners(resource: Files | Directory | Symlink) -> set[str]:
    if isinstance(resource, Symlink):
        return set()
    owned = resource.files if isinstance(resource, Files) else (resource,)
    return {f"user:{one.owner}" for one in owned} | {f"group:{one.group}" for one in owned}
