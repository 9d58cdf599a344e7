"""The JSON Schema of an inventory, for editors and for the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hakit.inventory.core import Core
from hakit.inventory.types import duration_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"

_LOGIN: Final = {
    "ansible_host": {"type": "string", "description": "Where SSH goes to; by default the host's name."},
    "ansible_user": {"type": "string", "description": "The user who logs in; by default as ssh_config says."},
    "ansible_port": {"type": ["integer", "string"], "description": "The SSH port."},
    "ansible_ssh_private_key_file": {"type": "string", "description": "The private key to log in with."},
    "ansible_become": {
        "type": ["boolean", "string"],
        "description": "Whether to use sudo; by default yes, unless root.",
    },
    "ansible_group_priority": {"type": "integer", "description": "Orders groups of equal depth; a higher one wins."},
}


def settings_schema(schemas: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """The schema of what stands below `hakit`: hakit's own keys and the components, with `$defs`.

    Nothing is required in it: groups and hosts each may say a part, the parts are merged.
    """
    from pydantic.json_schema import models_json_schema  # noqa: PLC0415 - only who asks for the schema pays

    models: dict[str, type[BaseModel]] = {"": Core, **schemas}
    found, top = models_json_schema([(model, "validation") for model in models.values()])
    definitions: dict[str, Any] = {name: _written(one) for name, one in top.get("$defs", {}).items()}
    core_name = found[Core, "validation"]["$ref"].rpartition("/")[2]
    core = definitions.pop(core_name)
    properties = dict(core["properties"])
    for name, model in schemas.items():
        reference = found[model, "validation"]
        properties[name] = {**reference, "description": summary(model)}
    return {
        "type": "object",
        "description": "Everything that is hakit's: its own keys, and the components that run on these hosts.",
        "properties": properties,
        "additionalProperties": False,
        "$defs": definitions,
    }


def summary(model: type[BaseModel]) -> str:
    """The first paragraph of a model's docstring, on one line."""
    return " ".join((model.__doc__ or "").strip().split("\n\n")[0].split())


def inventory_schema(schemas: Mapping[str, type[BaseModel]], *, only_variables: bool = False) -> dict[str, Any]:
    """The schema of an inventory file, or of a file in group_vars or host_vars."""
    hakit = settings_schema(schemas)
    definitions = {name: _partial(definition) for name, definition in hakit.pop("$defs").items()}
    variables = {
        "type": ["object", "null"],
        "description": "Variables. All that is hakit's stands under the one variable hakit; the others are yours.",
        "properties": {"hakit": {"$ref": "#/$defs/hakit"}, **_LOGIN},
        "additionalProperties": True,
    }
    group = {
        "type": ["object", "null"],
        "description": "A group: its hosts, its child groups, its variables.",
        "properties": {
            "hosts": {
                "type": ["object", "string", "null"],
                "description": "Hosts by name, or ranges of hosts such as web[01:20], each with its variables.",
                "additionalProperties": {"$ref": "#/$defs/variables"},
            },
            "children": {
                "type": ["object", "string", "null"],
                "description": "Groups whose hosts belong to this group too.",
                "additionalProperties": {"$ref": "#/$defs/group"},
            },
            "vars": {"$ref": "#/$defs/variables"},
        },
        "additionalProperties": False,
    }
    own = {"group": group, "variables": variables, "hakit": _partial(hakit)}
    head = {"$schema": DRAFT, "title": "hakit variables" if only_variables else "hakit inventory"}
    if only_variables:
        return {**head, "$ref": "#/$defs/variables", "$defs": {**own, **definitions}}
    return {
        **head,
        "description": "An Ansible YAML inventory; below the variable hakit everything is checked.",
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/group"},
        "$defs": {**own, **definitions},
    }


def _written(schema: Any) -> Any:
    """The schema with the defaults of durations and file modes as an inventory writes them."""
    if isinstance(schema, list):
        return [_written(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _written(value) for key, value in schema.items()}
    default = schema.get("default")
    kinds = {schema.get("x-kind"), *(branch.get("x-kind") for branch in schema.get("anyOf", ()))}
    if isinstance(default, (int, float)) and "duration" in kinds:
        result["default"] = duration_text(default)
    elif isinstance(default, int) and "mode" in kinds:
        result["default"] = f"{default:04o}"
    return result


def _partial(schema: Any) -> Any:
    """The schema without `required` (but for secrets, which are written whole)."""
    if isinstance(schema, list):
        return [_partial(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    whole = schema.get("required") == ["secret"]
    return {key: _partial(value) for key, value in schema.items() if whole or not _is_required_list(key, value)}


def _is_required_list(key: str, value: Any) -> bool:
    return key == "required" and isinstance(value, list)
