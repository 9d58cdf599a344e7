"""What must hold between hosts, and what Ansible's own variables must say so that hakit can log in.

Hosts that hakit does not manage are left as Ansible takes them.
"""

from __future__ import annotations

import ipaddress
import re
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hakit.inventory.document import Vault
from hakit.inventory.model import Login
from hakit.inventory.origin import Mark, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.inventory.groups import Graph, HostNode
    from hakit.inventory.model import Host, Site

_MANAGED_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,252}")
_CONNECTIONS: Final = ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh")
_USER_KEYS: Final = ("ansible_user", "ansible_ssh_user")
_KEY_FILE_KEYS: Final = ("ansible_ssh_private_key_file", "ansible_private_key_file")
_HIGHEST_PORT: Final = 65535
_TRUE: Final = ("yes", "true", "on", "1", "y", "t")
_FALSE: Final = ("no", "false", "off", "0", "n", "f")


def login(node: HostNode, values: dict[str, Any]) -> Login:
    """How to log in on a host; what can't be used is left out here and is a problem of a managed host."""
    host = _text(values, "ansible_host", "ansible_ssh_host")
    return Login(
        host=host or node.name,
        user=_text(values, *_USER_KEYS),
        port=_port(values.get("ansible_port", values.get("ansible_ssh_port"))),
        key_file=_text(values, *_KEY_FILE_KEYS),
        become=_boolean(values.get("ansible_become")) is not False,
    )


def _text(values: dict[str, Any], *names: str) -> str | None:
    for name in names:
        value = values.get(name)
        if isinstance(value, (str, int)) and not isinstance(value, bool) and "{{" not in str(value) and str(value):
            return str(value)
    return None


def _port(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal() and value.isascii():
        value = int(value[:6])
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _HIGHEST_PORT else None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, str) and value.lower() in _TRUE + _FALSE:
        return value.lower() in _TRUE
    return bool(value) if isinstance(value, (bool, int)) else None


def all_problems(site: Site, graph: Graph, managed: set[str], *, whole: bool) -> Iterator[Problem]:
    """Everything that is wrong between hosts and groups; `whole`: also of hosts without hakit's settings."""
    for name in managed:
        host, node = site.hosts[name], graph.hosts[name]
        if not _MANAGED_NAME.fullmatch(name):
            message = "a host that hakit manages is named with letters, digits, '.', '_' and '-' only"
            yield Problem(message, node.mark, name)
        yield from _login_problems(host)
    yield from _same_address(site, graph, {*filter(partial(_by_ssh, site), graph.hosts)} if whole else managed)
    if managed or whole:
        yield from _undefined_groups(graph)


def _place(host: Host, variable: str) -> Mark | None:
    """Where the variable that holds for a host is written."""
    for layer in reversed(host.layers):
        entry = layer.vars.items.get(variable)
        if entry:
            return entry.value.mark
    return None


def _login_problems(host: Host) -> Iterator[Problem]:
    for name in ("ansible_host", "ansible_port", "ansible_connection", "ansible_become", *_USER_KEYS, *_KEY_FILE_KEYS):
        value = host.vars.get(name)
        if value is None:
            continue
        if message := _login_problem(name, value):
            yield Problem(message, _place(host, name), name)


def _login_problem(name: str, value: Any) -> str | None:
    message = None
    if isinstance(value, Vault) or (isinstance(value, str) and "{{" in value):
        message = "hakit needs this value to log in and evaluates neither Jinja nor Vault; write the value itself"
    elif name == "ansible_port" and _port(value) is None:
        message = f"expects a port from 1 to {_HIGHEST_PORT}, got {value!r}"
    elif name == "ansible_connection" and value not in _CONNECTIONS:
        message = f"hakit reaches hosts by ssh only, got {value!r}"
    elif name == "ansible_become" and _boolean(value) is None:
        message = f"expects true or false, got {value!r}"
    elif name == "ansible_host" and not (isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.:-]{1,253}", value)):
        message = f"expects an address or a host name, got {value!r}"
    elif name in (*_USER_KEYS, *_KEY_FILE_KEYS) and not (isinstance(value, (str, int)) and str(value).isprintable()):
        message = f"expects text on one line, got {value!r}"
    return message


def _by_ssh(site: Site, name: str) -> bool:
    """Whether a host is reached over the network at all; many names of the machine itself are no mistake."""
    return site.hosts[name].vars.get("ansible_connection", "ssh") in _CONNECTIONS


def _same_address(site: Site, graph: Graph, managed: set[str]) -> Iterator[Problem]:
    first: dict[str, Host] = {}
    for name in (name for name in graph.hosts if name in managed):
        host = site.hosts[name]
        other = first.setdefault(_canonical(host.address), host)
        if other is not host:
            mark = host.marks.get(("address",)) or _place(host, "ansible_host") or graph.hosts[name].mark
            key = "hakit.address" if ("address",) in host.marks else "ansible_host"
            yield Problem(f"{name} has the address {host.address} of {other.name}; every host needs its own", mark, key)


def _canonical(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address.lower()


def _undefined_groups(graph: Graph) -> Iterator[Problem]:
    """Groups that are only ever named: Ansible makes them silently, empty; here it is a typing error until said so."""
    defined = [name for name, group in graph.groups.items() if not group.empty]
    for name, group in graph.groups.items():
        if group.empty and name not in ("all", "ungrouped") and not group.files:
            near = get_close_matches(name, defined, n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else f"write  {name}: {{hosts: {{}}}}  if it is empty on purpose"
            yield Problem(f"{name} is named here but defined nowhere ({hint})", group.mark, f"children.{name}")
