"""Secrets: a type that masks itself, and the store they come from."""

from __future__ import annotations

from typing import Any


class Secret:
    """A secret value by name: `str()`, `repr()`, formatting and JSON show `<secret:NAME>`; only `reveal()` gives it.

    In settings a field of this type is written `{secret: NAME}`.
    """

    __slots__ = ("_store", "name")

    def __init__(self, name: str, store: Secrets) -> None:
        self.name = name
        self._store = store

    def reveal(self) -> str:
        """The value. Raises SecretError when the store has no such secret or can't be opened."""
        return self._store.get(self.name)

    def __str__(self) -> str:
        return f"<secret:{self.name}>"

    def __repr__(self) -> str:
        return str(self)

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.name == self.name

    def __hash__(self) -> int:
        return hash(("secret", self.name))

    def __reduce__(self) -> Any:
        msg = "a secret is never pickled"
        raise TypeError(msg)


class Secrets:
    """The secrets of one inventory: from the environment, from a command, or from the age-encrypted store beside it."""

    def get(self, name: str) -> str:
        """The value of a secret. Raises SecretError."""
        raise NotImplementedError
