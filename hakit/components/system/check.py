"""What is wrong with the settings of `system` so that nothing can be made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hakit.components.system.resources import HOSTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.components.system.settings import SystemSettings
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path


def problems(site: Site) -> Iterator[tuple[Host, Path, str]]:
    """Host, path below `hakit`, message; settings that hosts share are looked at once."""
    seen: set[int] = set()
    for host in site.running("system"):
        settings = cast("SystemSettings", host.settings["system"])
        if id(settings) not in seen:
            seen.add(id(settings))
            for path, message in _problems(settings):
                yield host, ("system", *path), message


def _problems(settings: SystemSettings) -> Iterator[tuple[Path, str]]:
    for path, file in settings.files.items():
        if (file.content is None) == (file.template is None):
            has = "neither" if file.content is None else "both"
            yield ("files", path), f"a file needs either content or template; it has {has}"
        if file.validate_with and not any("{}" in word for word in file.validate_with):
            yield ("files", path, "validate_with"), "the command must name the new file: write {} in its place"
        for other in ("directories", "symlinks"):
            if path in getattr(settings, other):
                yield ("files", path), f"the same path stands under {other}: it can be only one of them"
    for name, command in settings.commands.items():
        if (command.unless is None) == (command.creates is None):
            yield ("commands", name), "a command needs exactly one guard: unless or creates"
    if settings.hosts and not settings.hosts_file:
        yield ("hosts",), "lines for /etc/hosts need hosts_file: true, which makes the file from the inventory"
    if settings.hosts_file and HOSTS in settings.files:
        yield ("files", HOSTS), "hosts_file makes this file already; add lines under hosts, or leave hosts_file out"
