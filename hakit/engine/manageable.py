"""What makes a host manageable: the inventory's user with a key and sudo, and a Python that the agent runs on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.errors import RefusedError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.engine.systems import System

_USER = re.compile(r"[a-z_][a-z0-9_-]*(\.[a-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Key:
    """A public key: `text` as authorized_keys(5) wants it, `source` the file that it was read from."""

    text: str
    source: Path

    @property
    def label(self) -> str:
        """Its type and comment."""
        kind, _, rest = self.text.partition(" ")
        return " ".join((kind, *rest.split()[1:]))


@dataclass(frozen=True, slots=True)
class Wish:
    """What a host is to be like: `user` manages it, `key` lets him in (None: he gets in already)."""

    user: str
    key: Key | None = None

    @property
    def sudoers(self) -> str:
        """The file that lets the user become root; sudo reads none with a dot in its name."""
        return f"/etc/sudoers.d/50-hakit-{self.user.replace('.', '_')}"


@dataclass(frozen=True, slots=True)
class State:
    """What a look at a host found. `python` is `ok VERSION` or what is wrong; `root`: the user becomes root already."""

    system: System
    python: str
    sudo: bool
    account: bool
    key: bool
    root: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a host lacks: its `name` in prepare.sh, `what` it is, and more `about` it."""

    name: str
    what: str
    about: str


def lacking(state: State, wish: Wish) -> tuple[Step, ...]:
    """What a host lacks, in the order in which it can be brought."""
    steps: list[Step] = []
    if not state.python.startswith("ok "):
        about = "" if state.python == "missing" else f"what is there is not enough: {state.python}"
        steps.append(Step("python", "package python3", about))
    if wish.user != "root" and not state.root and not state.sudo:
        steps.append(Step("sudo", "package sudo", ""))
    if not state.account:
        steps.append(Step("user", f"user {wish.user}", "no password; logs in with the key"))
    if wish.key is not None and not state.key:
        steps.append(Step("key", f"~{wish.user}/.ssh/authorized_keys", wish.key.label))
    if wish.user != "root" and not state.root:
        steps.append(Step("sudoers", wish.sudoers, f"{wish.user} becomes root without a password"))
    return tuple(steps)


def check_user(user: str) -> None:
    """Refuse names that mean something else in sudoers(5) or on a command line. Raises RefusedError."""
    if not _USER.fullmatch(user):
        raise RefusedError(
            f"{user!r} can't be made a user",
            why="hakit makes users with names of small letters, digits, _ - and . inside.",
            hint="Make it yourself, or name another with ansible_user.",
        )


def read_key(path: Path) -> Key:
    """The public key in a file. Raises UsageError when there is none."""
    try:
        text = path.expanduser().read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="Name your public key with  --key FILE") from error
    if "PRIVATE KEY" in text:
        raise UsageError(f"{path} is a private key", hint=f"Give its public half:  --key {path}.pub")
    if not re.fullmatch(r"(?:ssh|ecdsa|sk)-[\w.@-]+ AAAA[0-9A-Za-z+/]+={0,3}(?: [^\n\x00-\x1f]*)?", text):
        raise UsageError(
            f"{path} holds no public key of SSH", why="It has to be one line:  ssh-ed25519 AAAA… you@there"
        )
    return Key(text, path)
