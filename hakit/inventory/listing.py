"""An inventory in the shapes of `ansible-inventory --list` and `--graph`: for programs, and to compare with Ansible."""

from __future__ import annotations

import base64
import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from hakit.inventory.document import Mapping, Unsafe, Vault, plain
from hakit.inventory.merge import merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.inventory.model import Host, Site

INTERNAL: Final = frozenset(
    {
        "ansible_async_path",
        "ansible_collection_name",
        "ansible_config_file",
        "ansible_dependent_role_names",
        "ansible_diff_mode",
        "ansible_facts",
        "ansible_forks",
        "ansible_inventory_sources",
        "ansible_limit",
        "ansible_play_batch",
        "ansible_play_hosts",
        "ansible_play_hosts_all",
        "ansible_play_role_names",
        "ansible_playbook_python",
        "ansible_role_name",
        "ansible_role_names",
        "ansible_run_tags",
        "ansible_skip_tags",
        "ansible_verbosity",
        "ansible_version",
        "inventory_dir",
        "inventory_file",
        "inventory_hostname",
        "inventory_hostname_short",
        "groups",
        "group_names",
        "hostvars",
        "playbook_dir",
        "play_hosts",
        "role_name",
        "role_names",
        "role_path",
        "role_uuid",
    }
)
"""Variables that are Ansible's own and that it never lists (ansible-core 2.19, "magic variables")."""


def variables(host: Host) -> dict[str, Any]:
    """A host's variables as JSON data, the merged `hakit` among them."""
    values = {str(key): as_json(value) for key, value in host.vars.items() if key not in INTERNAL}
    hakit = [node for layer in host.layers if isinstance(node := layer.vars.get("hakit"), Mapping)]
    if hakit:
        values["hakit"] = as_json(plain(merged(hakit)))
    return values


def as_json(value: Any) -> Any:
    """A value as Ansible's JSON shows it: dates as text, `!vault` and `!unsafe` as objects with one key."""
    if isinstance(value, dict):
        return {_key(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if isinstance(value, Unsafe):
        return {"__ansible_unsafe": str(value)}
    if isinstance(value, Vault):
        return {"__ansible_vault": value.ciphertext}
    if isinstance(value, dt.date):
        return value.isoformat()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def _key(key: Any) -> Any:
    return key if key is None or isinstance(key, (str, int, float)) else str(_scalar(key))


def inventory_list(site: Site) -> dict[str, Any]:
    """The whole inventory as `ansible-inventory --list` prints it."""
    result: dict[str, Any] = {}
    todo = ["all"]
    while todo:
        name = todo.pop()
        group = site.groups[name]
        found: dict[str, Any] = {}
        if group.own and name != "all":
            found["hosts"] = list(group.own)
        if group.children:
            found["children"] = list(group.children)
        if found:
            result[name] = found
        todo += [child for child in reversed(group.children) if child not in result]
    hostvars = {name: values for name, host in site.hosts.items() if (values := variables(host))}
    result["_meta"] = {"hostvars": hostvars}
    return result


def graph(site: Site, top: str = "all") -> Iterator[str]:
    """The tree of groups and hosts below `top`, a line each, as `ansible-inventory --graph` draws it."""
    todo = [(top, 0, True)]
    while todo:
        name, depth, is_group = todo.pop()
        lead = "  |" * depth + "--" if depth else ""
        yield f"{lead}@{name}:" if is_group else f"{lead}{name}"
        if is_group:
            group = site.groups[name]
            hosts = () if name == "all" else group.own
            todo += [(host, depth + 1, False) for host in reversed(hosts)]
            todo += [(child, depth + 1, True) for child in reversed(group.children)]
