"""The inventory reference in Markdown, written from the schema."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hakit.inventory.core import Core
from hakit.inventory.explain import words
from hakit.inventory.schema import settings_schema, summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import BaseModel


def markdown(schemas: Mapping[str, type[BaseModel]]) -> str:
    """Every key below `hakit` with what it expects, its default and its meaning."""
    schema = settings_schema(schemas)
    lines = [
        "# Inventory reference",
        "",
        "Written by `hakit schema --markdown` from the same schema that checks inventories; do not edit it by hand.",
        "What an inventory is and how its files are merged is told in [inventory.md](inventory.md).",
        "",
        "All keys stand below the variable `hakit` of a group or a host. `<name>` is a name of your choice, `[]` an",
        "item of a list. A **required** key must be there once the variables of all groups and of the host are merged.",
        "",
        "## hakit's own keys",
        "",
    ]
    core = {name: schema["properties"][name] for name in Core.model_fields}
    lines += _table(core, (), schema["$defs"], "")
    for name, model in schemas.items():
        lines += ["", f"## {name}", "", summary(model), ""]
        definition = _resolved(schema["properties"][name], schema["$defs"])
        lines += _table(definition.get("properties", {}), definition.get("required", ()), schema["$defs"], f"{name}.")
    return "\n".join(lines) + "\n"


def _table(properties: dict[str, Any], required: Any, defs: dict[str, Any], prefix: str) -> list[str]:
    rows = list(_rows(properties, required, defs, prefix, ()))
    if not rows:
        return ["No settings."]
    head = ["| Key | Expects | Default | Meaning |", "| --- | --- | --- | --- |"]
    return head + [f"| `{key}` | {expects} | {default} | {meaning} |" for key, expects, default, meaning in rows]


def _rows(
    properties: dict[str, Any], required: Any, defs: dict[str, Any], prefix: str, inside: tuple[str, ...]
) -> Iterator[tuple[str, str, str, str]]:
    for name, schema in properties.items():
        key = f"{prefix}{name}"
        branches = list(_branches(schema, defs))
        # The description of a field says more than that of its type; what the type allows is in the second column.
        meaning = schema.get("description") or ""
        yield key, _expects(branches, defs), _default(schema, required=name in required), _cell(meaning)
        for branch in branches:
            yield from _nested(branch, defs, key, inside)


def _nested(
    schema: dict[str, Any], defs: dict[str, Any], key: str, inside: tuple[str, ...]
) -> Iterator[tuple[str, str, str, str]]:
    title = schema.get("title", "")
    if schema.get("properties") and schema.get("required") != ["secret"]:
        if title in inside:
            return
        yield from _rows(schema["properties"], schema.get("required", ()), defs, f"{key}.", (*inside, title))
    for inner, step in ((_values(schema), ".<name>"), (schema.get("items"), "[]")):
        if isinstance(inner, dict):
            for branch in _branches(inner, defs):
                yield from _nested(branch, defs, f"{key}{step}", inside)


def _branches(schema: dict[str, Any], defs: dict[str, Any]) -> Iterator[dict[str, Any]]:
    schema = _resolved(schema, defs)
    inner = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if not inner:
        yield schema
    for branch in inner:
        yield from _branches(branch, defs)


def _resolved(schema: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    return schema


def _expects(branches: list[dict[str, Any]], defs: dict[str, Any]) -> str:
    said = dict.fromkeys(word for branch in branches if (word := _in_words(branch, defs)))
    return _cell(" or ".join(said)) or "anything"


def _in_words(schema: dict[str, Any], defs: dict[str, Any]) -> str:
    if schema.get("required") == ["secret"]:
        return "a secret: `{secret: NAME}`"
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        inner = _expects(list(_branches(schema["items"], defs)), defs)
        return f"a list of: {inner}"
    if values := _values(schema):
        inner = _expects(list(_branches(values, defs)), defs)
        return f"a mapping of names to: {inner}"
    return "a mapping" if schema.get("type") == "object" else words(schema)


def _values(schema: dict[str, Any]) -> dict[str, Any] | None:
    """What the values of a mapping with free keys expect; None where the keys are fixed."""
    patterns = list(schema.get("patternProperties", {}).values())
    found = patterns[0] if patterns else schema.get("additionalProperties")
    return found if isinstance(found, dict) else None


def _default(schema: dict[str, Any], *, required: bool) -> str:
    if required:
        return "**required**"
    default = schema.get("default")
    return "" if default is None or default in ({}, []) else f"`{_cell(json.dumps(default, ensure_ascii=False))}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
