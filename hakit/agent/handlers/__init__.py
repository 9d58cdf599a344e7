"""How each type of resource is read, compared, applied and removed; one file per type, as its declaration has."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HANDLERS = {
    "files": ("files", "FileSets"),
    "directory": ("paths", "Directories"),
    "symlink": ("paths", "Symlinks"),
    "package": ("package", "Packages"),
    "unit": ("unit", "Units"),
    "user": ("account", "Users"),
    "group": ("account", "Groups"),
    "sysctl": ("sysctl", "Sysctls"),
    "cluster": ("cluster", "Clusters"),
    "role": ("role", "Roles"),
    "database": ("database", "Databases"),
    "extension": ("database", "Extensions"),
    "grant": ("grant", "Grants"),
    "command": ("command", "Commands"),
    "network": ("network", "Networks"),
    "array": ("array", "Arrays"),
    "initramfs": ("initramfs", "Initramfses"),
    "volumegroup": ("volume", "Volumegroups"),
    "volume": ("volume", "Volumes"),
    "filesystem": ("filesystem", "Filesystems"),
    "mount": ("mount", "Mounts"),
}
"""Module and class by type; a module is loaded when its type is met, for a host pays for each at every start."""


def handler(kind: str) -> Any:
    """The `Handler` of a type."""
    module, name = HANDLERS[kind]
    __import__(f"{__name__}.{module}")
    return getattr(sys.modules[f"{__name__}.{module}"], name)()
