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
from hakit.agent.resources.sysctl import Sysctl
from hakit.agent.resources.unit import Unit
from hakit.components.base import HostContext
from hakit.errors import InventoryError
from hakit.inventory.origin import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hakit.agent.declare import Content
    from hakit.agent.resources.base import Resource
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
        sets = (resource for resource in self.resources.values() if isinstance(resource, Files | Network))
        return {file.path: file.content for one in sets for file in one.files}

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
) -> HostResources:
    """All resources of a host in an order that works. Raises InventoryError, TemplateError, SecretError.

    `decided` is, by component, the value that was decided for this host; offline there is none.
    """
    decided = decided or {}
    found: dict[str, Resource] = {}
    for name, component in components.items():
        if name not in host.settings:
            continue
        ctx = HostContext(site, host, facts, name, templates, components, decided.get(name))
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


def _paths(resource: Resource) -> tuple[str, ...]:
    if isinstance(resource, Files | Network):
        return tuple(file.path for file in resource.files)
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
    """A host's resources, looked up in the ways that derived edges need; `mates` by component and type."""

    found: Mapping[str, Resource]
    holders: Mapping[str, str]
    mates: Mapping[tuple[str, type[Resource]], tuple[str, ...]]

    @classmethod
    def of(cls, found: Mapping[str, Resource]) -> _Index:
        """Built once per host."""
        holders = {path: key for key, resource in found.items() for path in _paths(resource)}
        mates: dict[tuple[str, type[Resource]], list[str]] = {}
        for key, resource in found.items():
            mates.setdefault((resource.component, type(resource)), []).append(key)
        return cls(found, holders, {place: tuple(keys) for place, keys in mates.items()})

    def of_types(self, component: str, *types: type[Resource]) -> set[str]:
        """The keys of a component's resources of these types."""
        return {key for one in types for key in self.mates.get((component, one), ())}

    def networks(self, component: str) -> set[str]:
        """The host's network, for another component: what judges a configuration, or listens, looks for its links."""
        return {
            key for (owner, kind), keys in self.mates.items() if kind is Network for key in keys if owner != component
        }

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
    needs = index.present(resource.after)
    own = resource.component
    if isinstance(resource, Files | Directory | Symlink):
        folders = (folder for path in _paths(resource) for folder in _folders(path))
        needs |= {index.holders[folder] for folder in folders if folder in index.holders}
        packages = index.of_types(own, Package) | index.present(_owners(resource))
        # What a package is to find when it comes is there before it.
        needs |= {key for key in packages if resource.key not in index.found[key].after}
        if isinstance(resource, Files) and resource.validate:
            needs |= index.networks(own)
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


def _folders(path: str) -> Iterable[str]:
    while (path := path.rpartition("/")[0]) != "":
        yield path


def _owners(resource: Files | Directory | Symlink) -> set[str]:
    if isinstance(resource, Symlink):
        return set()
    owned = resource.files if isinstance(resource, Files) else (resource,)
    return {f"user:{one.owner}" for one in owned} | {f"group:{one.group}" for one in owned}
