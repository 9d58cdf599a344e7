"""What the inventory says of the operating system itself: what no component covers yet can be declared here."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from hakit.inventory.types import (
    AbsPath,
    Block,
    Duration,
    HostName,
    Ip,
    Line,
    Mode,
    Name,
    PackageName,
    RelPath,
    Secret,
    Settings,
    UnitName,
    UserName,
    expected,
)

_SYSCTL = re.compile(r"[a-z0-9_]+(?:[./][A-Za-z0-9_*-]+)+")


def _sysctl_name(value: str) -> str:
    if not _SYSCTL.fullmatch(value):
        raise expected("a kernel parameter such as net.ipv4.ip_forward", value)
    return value


def _comment(value: str) -> str:
    if ":" in value:
        raise expected("a comment without ':', which divides the fields of /etc/passwd", value)
    return value


Comment = Annotated[Line, AfterValidator(_comment)]
"""What passwd(5) calls GECOS."""
SysctlName = Annotated[
    str,
    AfterValidator(_sysctl_name),
    WithJsonSchema({"type": "string", "pattern": "^[a-z0-9_]+([./][A-Za-z0-9_*-]+)+$"}),
]
"""A kernel parameter: `net.ipv4.ip_forward`, or with slashes where a name holds dots."""
Id = Annotated[int, Field(ge=0, le=4_294_967_294)]
"""A numeric user or group id."""
Argv = Annotated[tuple[Line, ...], Field(min_length=1)]
"""A command and its arguments; no shell sees it."""


class GroupSettings(Settings):
    """A group of the operating system."""

    gid: Id | None = Field(default=None, description="Its number; left out: the next free one.")
    system: bool = Field(default=False, description="Whether its number comes from the range of system groups.")


class UserSettings(Settings):
    """A user. What is left out stays as it is on the host."""

    uid: Id | None = Field(default=None, description="Its number; left out: the next free one.")
    group: UserName | None = Field(default=None, description="Primary group; left out: one of the user's own name.")
    groups: tuple[UserName, ...] = Field(default=(), description="More groups; others the user is in stay.")
    home: AbsPath | None = Field(default=None, description="Home folder.")
    shell: AbsPath | None = Field(default=None, description="Login shell.")
    comment: Comment | None = Field(default=None, description="The full name, say.")
    system: bool = Field(default=False, description="A user of a service: number from the system's range, no home.")
    password_hash: Secret | None = Field(default=None, description="A crypt(3) hash, from `mkpasswd`; a secret.")
    authorized_keys: tuple[Line, ...] | None = Field(
        default=None, description="SSH keys that may log in: the whole file; an empty list empties it."
    )


class FileSettings(Settings):
    """A file: either content or template says what is in it."""

    content: Block | Secret | None = Field(default=None, description="The text itself, or a secret.")
    template: RelPath | None = Field(
        default=None, description="A Jinja template by its path below templates/ beside the inventory."
    )
    owner: UserName = Field(default="root", description="Owner.")
    group: UserName = Field(default="root", description="Group.")
    mode: Mode | None = Field(
        default=None, description="Mode in quotes; left out: 0644, or 0600 where a secret is in it."
    )
    validate_with: Argv | None = Field(
        default=None,
        description="A command that must succeed before the file is put in place; {} stands for the new file.",
    )
    reload: tuple[UnitName, ...] = Field(default=(), description="Units that reload when it changes.")
    restart: tuple[UnitName, ...] = Field(default=(), description="Units that restart when it changes.")


class DirectorySettings(Settings):
    """A directory."""

    owner: UserName = Field(default="root", description="Owner.")
    group: UserName = Field(default="root", description="Group.")
    mode: Mode = Field(default=0o755, description="Mode in quotes.")


class UnitSettings(Settings):
    """A systemd unit."""

    enabled: bool | None = Field(default=True, description="Whether it starts at boot; null: leave it.")
    running: bool | None = Field(default=True, description="Whether it runs; null: leave it.")
    reload_on: tuple[AbsPath, ...] = Field(default=(), description="Files that it must have loaded: a change reloads.")
    restart_on: tuple[AbsPath, ...] = Field(default=(), description="Files whose change restarts it.")


class CommandSettings(Settings):
    """A command that runs only while its guard says so: exactly one of unless and creates."""

    run: Argv = Field(description="The command as a list of arguments; no shell.")
    unless: Argv | None = Field(default=None, description="A command that only reads; exit 0: nothing to do.")
    creates: AbsPath | None = Field(default=None, description="A path that is there when nothing is to do.")
    timeout: Duration = Field(default=60.0, description="How long it may take.")


class SystemSettings(Settings):
    """The operating system: packages, kernel parameters, users, files, units."""

    packages: tuple[PackageName, ...] = Field(default=(), description="Debian packages that are installed.")
    sysctl: dict[SysctlName, int | Line] = Field(
        default_factory=dict, description="Kernel parameters, live and after a reboot."
    )
    groups: dict[UserName, GroupSettings] = Field(default_factory=dict, description="Groups by name.")
    users: dict[UserName, UserSettings] = Field(default_factory=dict, description="Users by name.")
    hosts_file: bool = Field(
        default=False, description="Whether /etc/hosts is made from the inventory: every host under its name."
    )
    hosts: dict[Ip, tuple[HostName, ...]] = Field(
        default_factory=dict, description="More lines of /etc/hosts: address → names (needs hosts_file)."
    )
    directories: dict[AbsPath, DirectorySettings] = Field(default_factory=dict, description="Directories by path.")
    files: dict[AbsPath, FileSettings] = Field(default_factory=dict, description="Files by path.")
    symlinks: dict[AbsPath, AbsPath] = Field(default_factory=dict, description="Symbolic links: path → target.")
    commands: dict[Name, CommandSettings] = Field(
        default_factory=dict, description="Guarded commands by name; they run after files, before units."
    )
    units: dict[UnitName, UnitSettings] = Field(default_factory=dict, description="systemd units by name.")
