"""What the commands about secrets share: the store, names, where a new value comes from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.store import Store


def root_of(inventory: Path) -> Path:
    """The folder that holds the inventory. Raises UsageError."""
    from hakit.errors import UsageError

    if not inventory.exists():
        raise UsageError(f"{inventory}: there is no such inventory", hint="make one with  hakit init DIR")
    return inventory if inventory.is_dir() else inventory.parent


def opened(inventory: Path) -> Store:
    """The store beside an inventory. Raises SecretError when there is none."""
    from hakit.errors import SecretError
    from hakit.inventory.store import Store

    store = Store(root_of(inventory))
    if not store.exists():
        raise SecretError(
            f"{store.path}: there is no store yet", hint=f"make it with  hakit secret init -i {inventory}"
        )
    return store


def checked_name(name: str) -> str:
    """A name that a secret can have. Raises UsageError."""
    from hakit.errors import UsageError
    from hakit.inventory.secrets import is_name

    if not is_name(name):
        raise UsageError(f"{name!r} can't name a secret", hint="letters, digits, '_', '.' and '-', at most 64")
    return name


def asked_value(name: str) -> str:
    """A value asked for without echo, or read from standard input. Raises UsageError."""
    from hakit.errors import UsageError

    if sys.stdin.isatty():
        value = str(click.prompt(f"Value of {name}", hide_input=True, confirmation_prompt=True, type=str))
    else:
        try:
            value = sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise UsageError("standard input is no UTF-8 text") from None
    if not value:
        raise UsageError(f"the value of {name} is empty; nothing changed")
    return value


def generated(length: int) -> str:
    """So many random letters and digits."""
    import secrets
    import string

    alphabet = string.ascii_letters + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(length))
