"""Secrets: a type that masks itself, and the store they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema


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
            "description": "the name of a secret: {secret: NAME}",
        }


SECRET_NAME = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"  # noqa: S105 - what names of secrets look like


def _from_settings(value: Any, info: Any) -> Secret:
    """A `Secret` from `{secret: NAME}`. Raises PydanticCustomError, which never shows the value."""
    import re  # noqa: PLC0415 - see the imports of the class above

    from pydantic_core import PydanticCustomError  # noqa: PLC0415 - as above

    if isinstance(value, Secret):
        return value
    name = value.get("secret") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(name, str):
        text = "expects a secret by its name: {secret: NAME} (set its value with  hakit secret set NAME)"
        raise PydanticCustomError("hakit", "{text}", {"text": text})
    if not re.match(SECRET_NAME, name):
        text = f"expects the name of a secret (letters, digits, '_', '.', '-'), got {name!r}"
        raise PydanticCustomError("hakit", "{text}", {"text": text})
    store = (info.context or {}).get("secrets")
    return Secret(name, store if store is not None else Secrets())


class Secrets:
    """The secrets of one inventory: from the environment, from a command, or from the age-encrypted store beside it."""

    def __init__(self, root: Path | None = None, command: Sequence[str] | None = None, timeout: float = 30.0) -> None:
        self.root = root
        self.command = tuple(command) if command else None
        self.timeout = timeout

    def get(self, name: str) -> str:
        """The value of a secret. Raises SecretError."""
        raise NotImplementedError
