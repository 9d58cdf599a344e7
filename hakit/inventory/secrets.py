"""Secrets: a type that masks itself, and the sources they come from.

A secret is looked for in the environment (`HAKIT_SECRET_<NAME>`), then by the command that the inventory names; without
such a command in the encrypted store beside the inventory. Nothing is opened before a value is needed.
"""

from __future__ import annotations

import os
import re
import subprocess
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from hakit.errors import SecretError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

SECRET_NAME: Final = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"  # noqa: S105 - what names of secrets look like
MAX_VALUE: Final = 64 * 1024
"""Bytes of one secret; a private key has 3 KiB."""


def is_name(text: str) -> bool:
    """Whether a text can name a secret."""
    return "\n" not in text and re.match(SECRET_NAME, text) is not None


def variable(name: str) -> str:
    """The environment variable that holds a secret."""
    return "HAKIT_SECRET_" + re.sub(r"[.-]", "_", name).upper()


class Secret:
    """A secret value by name: `str()`, `repr()`, formatting and JSON show `<secret:NAME>`; only `reveal()` gives it.

    In settings a field of this type is written `{secret: NAME}`.
    """

    __slots__ = ("_store", "name")

    def __init__(self, name: str, store: Secrets) -> None:
        self.name = name
        self._store = store

    @property
    def store(self) -> Secrets:
        """Where its value comes from."""
        return self._store

    def reveal(self) -> str:
        """The value. Raises SecretError when no source has such a secret or can't be opened."""
        return self._store.get(self.name)

    def written(self, write: Callable[[str], str]) -> Secret:
        """The same secret as a file needs it: quoted, say.

        `write` is given the value and raises ValueError where it fits in no way, with words that don't show it.
        """
        return _Written(self, write)

    def unfit(self, write: Callable[[str], str]) -> str | None:
        """Why `write` refuses the value; None where it fits, or can't be read here and now."""
        try:
            write(self.reveal())
        except SecretError:
            return None
        except ValueError as error:
            return str(error)
        return None

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

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate `{secret: NAME}`; the store comes from the validation context's key `secrets`."""
        del source, handler
        from pydantic_core import core_schema  # noqa: PLC0415 - masking a secret needs no pydantic

        return core_schema.with_info_plain_validator_function(
            _from_settings, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """An object with the one key `secret`."""
        del schema, handler
        return {
            "type": "object",
            "properties": {"secret": {"type": "string", "pattern": SECRET_NAME}},
            "required": ["secret"],
            "additionalProperties": False,
            "x-expects": "a secret by its name: {secret: NAME}",
        }


class _Written(Secret):
    """A secret that is written into a file in a form of its own."""

    __slots__ = ("_write",)

    def __init__(self, secret: Secret, write: Callable[[str], str]) -> None:
        super().__init__(secret.name, secret.store)
        self._write = write

    def reveal(self) -> str:
        """The value as it is written. Raises SecretError, also where it fits in no way."""
        try:
            return self._write(super().reveal())
        except ValueError as error:
            raise SecretError(f"the secret {self.name} {error}", hint=f"hakit secret set {self.name}") from None


def _from_settings(value: Any, info: Any) -> Secret:
    """A `Secret` from `{secret: NAME}`. Raises PydanticCustomError, which never shows the value."""
    from pydantic_core import PydanticCustomError  # noqa: PLC0415 - masking a secret needs no pydantic

    if isinstance(value, Secret):
        return value
    name = value.get("secret") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(name, str):
        text = "expects a secret by its name: {secret: NAME} (set its value with  hakit secret set NAME)"
        raise PydanticCustomError("hakit", "{text}", {"text": text})
    if not is_name(name):
        text = f"expects the name of a secret (letters, digits, '_', '.', '-'), got {name!r}"
        raise PydanticCustomError("hakit", "{text}", {"text": text})
    store = (info.context or {}).get("secrets")
    return Secret(name, store if store is not None else Secrets())


class Secrets:
    """The secrets of one inventory, from all its sources; values are kept in memory only.

    `root` is the inventory's folder, `command` prints a secret (`{name}` in an argument is its name) within `timeout`
    seconds.
    """

    def __init__(self, root: Path | None = None, command: Sequence[str] | None = None, timeout: float = 30.0) -> None:
        self.root = root
        self.command = tuple(command) if command else None
        self.timeout = timeout
        self._lock = Lock()
        self._stored: dict[str, str] | None = None
        self._printed: dict[str, str] = {}

    def get(self, name: str) -> str:
        """The value of a secret. Raises SecretError."""
        with self._lock:
            value = self._find(name)
        if value is None:
            raise SecretError(
                f"the secret {name} is not set",
                why=f"looked for ${variable(name)}" + (f", {self.command[0]}" if self.command else "") + self._where(),
                hint=f"hakit secret set {name}",
            )
        return value

    def missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the names that no source has. Raises SecretError when a source can't be opened."""
        with self._lock:
            return tuple(name for name in dict.fromkeys(names) if self._find(name) is None)

    def surely_missing(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the names that are known to be missing without running a command or asking for anything.

        Where the store can't be opened by this user, nothing is sure.
        """
        unset = [name for name in dict.fromkeys(names) if variable(name) not in os.environ]
        if self.command or not unset:
            return ()
        try:
            with self._lock:
                stored = self._store()
        except SecretError:
            return ()
        return tuple(name for name in unset if name not in stored)

    def _find(self, name: str) -> str | None:
        if value := os.environ.get(variable(name)):
            return value
        if self.command:
            if name not in self._printed:
                self._printed[name] = self._run(name)
            return self._printed[name]
        return self._store().get(name)

    def _store(self) -> dict[str, str]:
        from hakit.inventory.store import Store  # noqa: PLC0415 - masking a secret needs no YAML

        if self._stored is None:
            store = Store(self.root) if self.root else None
            self._stored = store.load() if store and store.exists() else {}
        return self._stored

    def _where(self) -> str:
        from hakit.inventory.store import STORE  # noqa: PLC0415 - as above

        return f" and {self.root / STORE}" if self.root and not self.command else ""

    def _run(self, name: str) -> str:
        """What the inventory's command prints for a secret."""
        command = [argument.replace("{name}", name) for argument in self.command or ()]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=self.timeout, check=False, cwd=self.root
            )
        except FileNotFoundError:
            raise SecretError(f"the secret {name}: there is no command {command[0]}") from None
        except subprocess.TimeoutExpired:
            raise SecretError(f"the secret {name}: {command[0]} took more than {self.timeout:g} s") from None
        except OSError as error:
            raise SecretError(f"the secret {name}: can't run {command[0]}: {error.strerror}") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            reason = "".join(character for character in "".join(said) if character.isprintable())[:200]
            raise SecretError(
                f"the secret {name}: {command[0]} failed (exit {done.returncode})",
                why=reason or None,
                hint=f"The inventory asks for {{secret: {name}}} and has the command in hakit.secrets.command: "
                "see that it knows this name.",
            )
        try:
            value = done.stdout[: MAX_VALUE + 1].decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise SecretError(f"the secret {name}: {command[0]} printed no UTF-8 text") from None
        if not value or len(done.stdout) > MAX_VALUE:
            what = "nothing" if not value else f"more than {MAX_VALUE // 1024} KiB"
            raise SecretError(f"the secret {name}: {command[0]} printed {what}")
        return value
