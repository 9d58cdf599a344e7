"""What a connection needs to know: whom to reach, and with which files, keys and limits."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from hakit.ssh.password import Password

Dialer = Callable[[str, int, float], "socket.socket"]
"""Opens a connected TCP socket to (address, port) within a timeout in seconds; raises OSError when it can't."""


@dataclass(frozen=True, slots=True)
class Target:
    """A host to log in on.

    `name` is what messages call it, `host` the address or name to dial (or an alias of ssh_config). What is None is
    taken from ssh_config, else from OpenSSH's defaults; what is set here wins over ssh_config. `become` says whether a
    user other than root becomes root by sudo. `password` is used where sshd wants one, `sudo_password` is called when
    sudo asks for one; calling them raises SecretError where a secret can't be had.

    `jump` are the hosts on the way, the first is reached directly (or as its own `jump` says); empty: no jump even
    where ssh_config has one. `proxy_command` is used in its place, as ssh_config's ProxyCommand. `known_as` is another
    address of the same host, whose key it must show where none is known for `host`: it is moving from there.
    """

    name: str
    host: str
    user: str | None = None
    port: int | None = None
    key_file: str | None = None
    become: bool = True
    sudo_password: Callable[[], str] | None = None
    password: Password | None = None
    jump: tuple[Target, ...] | None = None
    proxy_command: str | None = None
    known_as: str | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What all connections of a run share.

    `user` logs in where neither the target nor ssh_config names one (None: the local user). `pinned` is hakit's own
    known_hosts file, read before `known_hosts`: the first file that knows a host's key of a type decides. `config` and
    `system_config` are ssh_config files (None: not read). `identity_files` are offered before those of ssh_config,
    `agent` is the socket of an SSH agent. `dial` opens the sockets (None: this machine's own network). `password` and
    `sudo_password` serve targets that bring none. `passphrase` asks for the one of an encrypted key file, given the
    file and whether an answer before was wrong; None when nobody can be asked.

    `connect_timeout` (seconds) bounds everything from the name lookup to the login, at each hop of a way through jump
    hosts anew. After `keepalive` quiet seconds the host is asked for a sign of life, and again after as many more;
    `keepalive` seconds after question `keepalive_count` the connection counts as lost: see `patience`.
    """

    user: str | None = None
    known_hosts: tuple[Path, ...] = ()
    pinned: Path | None = None
    config: Path | None = None
    system_config: Path | None = None
    identity_files: tuple[Path, ...] = ()
    agent: str | None = None
    dial: Dialer | None = None
    password: Password | None = None
    sudo_password: Callable[[], str] | None = None
    passphrase: Callable[[Path, bool], str | None] | None = None
    connect_timeout: float = 10.0
    keepalive: float = 4.0
    keepalive_count: int = 3

    @property
    def patience(self) -> float:
        """Seconds without a sign of life after which a connection counts as lost."""
        return self.keepalive * (self.keepalive_count + 1)

    @classmethod
    def default(cls, pinned: Path | None = None) -> Options:
        """As `ssh` does on this machine, with the keys in `pinned` (hakit's own known_hosts) before all others."""
        home = Path.home()
        users = (home / ".ssh/known_hosts", home / ".ssh/known_hosts2", Path("/etc/ssh/ssh_known_hosts"))
        return cls(
            known_hosts=users,
            pinned=pinned,
            config=home / ".ssh/config",
            system_config=Path("/etc/ssh/ssh_config"),
            agent=os.environ.get("SSH_AUTH_SOCK") or None,
        )


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that ended: its exit status (-1 when a signal ended it) and output, each cut at the limit asked for."""

    exit: int
    stdout: bytes
    stderr: bytes
    truncated: bool = False
