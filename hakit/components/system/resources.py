"""The operating system's resources: packages, then users and folders, then files, then commands, then units."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.agent.resources import account, paths
from hakit.agent.resources.command import Command
from hakit.agent.resources.files import Validator
from hakit.agent.resources.package import Package
from hakit.agent.resources.sysctl import Sysctl
from hakit.agent.resources.unit import Unit
from hakit.components.system.settings import SystemSettings, UnitSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.resources.base import Resource
    from hakit.agent.resources.files import Files
    from hakit.components.base import HostContext
    from hakit.components.content import Content
    from hakit.components.system.settings import FileSettings, UserSettings
    from hakit.components.templates import Templates
    from hakit.inventory.model import Host

HOSTS = "/etc/hosts"


@dataclass(frozen=True, slots=True)
class HostLine:
    """A line of /etc/hosts."""

    address: str
    names: tuple[str, ...]


def resources(ctx: HostContext) -> Iterator[Resource]:
    """Everything that `system` declares on a host; the engine puts folders and owners before what is in them."""
    settings = ctx.settings(SystemSettings)
    for package in settings.packages:
        yield Package(package=package, component=ctx.component)
    if settings.sysctl:
        values = tuple((name, str(value)) for name, value in settings.sysctl.items())
        yield Sysctl(label=ctx.component, values=values, component=ctx.component)
    yield from _accounts(ctx, settings)
    for path, directory in settings.directories.items():
        yield paths.Directory(
            path=path, owner=directory.owner, group=directory.group, mode=directory.mode, component=ctx.component
        )
    for path, target in settings.symlinks.items():
        yield paths.Symlink(path=path, target=target, component=ctx.component)
    if settings.hosts_file:
        yield ctx.file(HOSTS, ctx.template("hosts", lines=host_lines(ctx, settings)))
    for path, file in settings.files.items():
        yield _file(ctx, path, file)
    yield from _commands(ctx, settings)
    yield from _units(ctx, settings)


def host_lines(ctx: HostContext, settings: SystemSettings) -> tuple[HostLine, ...]:
    """Every host of the site whose address is one, then what the settings add."""
    lines = [HostLine(host.address, _names(host.name)) for host in ctx.site.hosts.values() if _is_ip(host.address)]
    return (*lines, *(HostLine(address, names) for address, names in settings.hosts.items()))


def _names(name: str) -> tuple[str, ...]:
    """The name itself, and what comes before its first dot."""
    short = name.partition(".")[0]
    return (name,) if short == name else (name, short)


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _accounts(ctx: HostContext, settings: SystemSettings) -> Iterator[Resource]:
    for name, group in settings.groups.items():
        yield account.Group(group=name, gid=group.gid, system=group.system, component=ctx.component)
    for name, user in settings.users.items():
        yield _user(ctx, name, user)


def _user(ctx: HostContext, name: str, user: UserSettings) -> account.User:
    return account.User(
        user=name,
        uid=user.uid,
        group=user.group,
        groups=user.groups,
        home=user.home,
        shell=user.shell,
        comment=user.comment,
        system=user.system,
        password_hash=ctx.templates.literal(user.password_hash) if user.password_hash else None,
        authorized_keys=user.authorized_keys,
        component=ctx.component,
    )


def content(templates: Templates, host: Host, file: FileSettings) -> Content:
    """What is in a file. Raises TemplateError."""
    if file.template is not None:
        return templates.render_own(file.template, host)
    return templates.literal(file.content if file.content is not None else "")


def _file(ctx: HostContext, path: str, file: FileSettings) -> Files:
    text = content(ctx.templates, ctx.host, file)
    validators = []
    if file.validate_with:
        argv = tuple(word.replace("{}", f"{{{path}}}") for word in file.validate_with)
        place = rf"^(?P<message>.*{re.escape(path)}:(?P<line>\d+).*)$"
        validators.append(Validator(argv=argv, path=path, place=place))
    mode = file_mode(file, text)
    return ctx.file(path, text, owner=file.owner, group=file.group, mode=mode, validate=validators)


def file_mode(file: FileSettings, text: Content) -> int:
    """The mode it says, or one that hides a secret and nothing else."""
    if file.mode is not None:
        return file.mode
    return 0o600 if text.secret else 0o644


def _commands(ctx: HostContext, settings: SystemSettings) -> Iterator[Command]:
    files = tuple(f"files:{path}" for path in settings.files)
    for name, command in settings.commands.items():
        yield Command(
            label=name,
            argv=command.run,
            unless=command.unless or (),
            creates=command.creates or "",
            timeout=float(command.timeout),
            after=files,
            component=ctx.component,
        )


def _units(ctx: HostContext, settings: SystemSettings) -> Iterator[Unit]:
    """The units that are declared, and those that a file reloads or restarts."""
    reload_on: dict[str, list[str]] = defaultdict(list)
    restart_on: dict[str, list[str]] = defaultdict(list)
    for path, file in settings.files.items():
        for unit in file.reload:
            reload_on[unit].append(path)
        for unit in file.restart:
            restart_on[unit].append(path)
    after = tuple(f"command:{name}" for name in settings.commands)
    untouched = UnitSettings(enabled=None, running=None)
    for name in dict.fromkeys([*settings.units, *reload_on, *restart_on]):
        unit_settings = settings.units.get(name, untouched)
        yield Unit(
            unit=name,
            enabled=unit_settings.enabled,
            running=unit_settings.running,
            reload_on=tuple(dict.fromkeys((*unit_settings.reload_on, *reload_on[name]))),
            restart_on=tuple(dict.fromkeys((*unit_settings.restart_on, *restart_on[name]))),
            after=after,
            component=ctx.component,
        )
