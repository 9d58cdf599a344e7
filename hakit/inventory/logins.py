"""How hosts are logged in on: Ansible's own variables, and what stands under `hakit.ssh`.

What can't be used is left out of a `Login`; it is a problem of hosts that hakit manages only.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from hakit import jump
from hakit.inventory.document import Vault
from hakit.inventory.model import Hop, Login
from hakit.inventory.origin import Mark, Problem
from hakit.inventory.secrets import Secret, Secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hakit.inventory.core import Ssh
    from hakit.inventory.groups import HostNode, Layer
    from hakit.inventory.model import Host

CONNECTIONS: Final = ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh")
_USER_KEYS: Final = ("ansible_user", "ansible_ssh_user")
_KEY_FILE_KEYS: Final = ("ansible_ssh_private_key_file", "ansible_private_key_file")
_PASSWORD_KEYS: Final = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
_SUDO_KEYS: Final = ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")
_ARGUMENT_KEYS: Final = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
"""In the order in which Ansible puts them on ssh's command line, where the first word on a matter counts."""
_WITH_VALUE: Final = frozenset("BbcDEeFIiJLlmOopPQRSWw")
"""Options of ssh(1) that take a value."""
_HIGHEST_PORT: Final = 65535
_TRUE: Final = ("yes", "true", "on", "1", "y", "t")
_FALSE: Final = ("no", "false", "off", "0", "n", "f")


@dataclass(slots=True)
class _Arguments:
    """What arguments of ssh say about the way to a host (None: nothing), and those that hakit has no use for."""

    jump: tuple[Hop, ...] | None = None
    command: str | None = None
    ignored: list[str] = field(default_factory=list)


def login(node: HostNode, values: Mapping[str, Any], ssh: Ssh | None, layers: Sequence[Layer]) -> Login:
    """How to log in on a host; jump hosts are not looked up among the hosts yet."""
    host = _text(values, "ansible_host", "ansible_ssh_host")
    arguments = _Arguments()
    for name in _ARGUMENT_KEYS:
        value = values.get(name)
        if isinstance(value, str) and _arguments_problem(name, value) is None:
            _read(value, arguments)
    stated = ssh.jump if ssh else None
    return Login(
        host=host or node.name,
        user=_text(values, *_USER_KEYS),
        port=_port(values.get("ansible_port", values.get("ansible_ssh_port"))),
        key_file=_text(values, *_KEY_FILE_KEYS),
        become=_boolean(values.get("ansible_become")) is not False,
        jump=arguments.jump if stated is None else tuple(map(_hop, stated)),
        proxy_command=arguments.command if stated is None and arguments.jump is None else None,
        password=(ssh and ssh.password) or _plain(values, layers, _PASSWORD_KEYS),
        sudo_password=(ssh and ssh.sudo_password) or _plain(values, layers, _SUDO_KEYS),
    )


def resolve(hosts: dict[str, Host]) -> tuple[dict[str, Host], list[Problem]]:
    """The hosts with their jump hosts' own logins wherever these are hosts of the inventory; circles are problems."""
    if all(host.login.jump is None for host in hosts.values()):
        return hosts, []
    finder = _Jumps(hosts)
    found = {name: replace(host, login=finder.of(name, ())) for name, host in hosts.items()}
    return found, finder.problems


class _Jumps:
    def __init__(self, hosts: Mapping[str, Host]) -> None:
        self._hosts = hosts
        self._done: dict[str, Login] = {}
        self.problems: list[Problem] = []

    def of(self, name: str, path: tuple[str, ...]) -> Login:
        """The login of a host; `path` are the hosts for whose sake it is asked for."""
        if name not in self._done:
            host = self._hosts[name]
            jumps = host.login.jump
            if jumps and name in path:
                way = " → ".join((*path[path.index(name) :], name))
                message = f"the jump hosts go round in a circle: {way}; one of them must be reached directly (jump: [])"
                self.problems.append(Problem(message, _jump_place(host), "hakit.ssh.jump"))
                return replace(host.login, jump=())
            # `all` names the jump host too: it is reached by those before itself.
            names = [hop.name for hop in jumps or ()]
            kept = (jumps or ())[: names.index(name)] if name in names else jumps
            hops = kept and tuple(self._hop(hop, (*path, name), first=hop is kept[0]) for hop in kept)
            self._done[name] = replace(host.login, jump=hops)
        return self._done[name]

    def _hop(self, hop: Hop, path: tuple[str, ...], *, first: bool) -> Hop:
        if hop.name not in self._hosts:
            return hop
        own = self.of(hop.name, path) if first else replace(self._hosts[hop.name].login, jump=())
        return Hop(hop.name, replace(own, user=hop.login.user or own.user, port=hop.login.port or own.port))


def problems(host: Host) -> Iterator[Problem]:
    """What Ansible's variables say that hakit can't follow."""
    names = ("ansible_host", "ansible_port", "ansible_connection", "ansible_become", *_USER_KEYS, *_KEY_FILE_KEYS)
    for name in names:
        yield from _told(host, name, _login_problem(name, host.vars.get(name)))
    for name in _ARGUMENT_KEYS:
        yield from _told(host, name, _arguments_problem(name, host.vars.get(name)))
    for keys, setting, found in (
        (_PASSWORD_KEYS, "password", host.login.password),
        (_SUDO_KEYS, "sudo_password", host.login.sudo_password),
    ):
        for name in keys if found is None else ():
            if host.vars.get(name) is not None:
                message = (
                    "hakit needs this value to log in and evaluates neither Jinja nor Vault; keep it as a secret: "
                    f"hakit: {{ssh: {{{setting}: {{secret: NAME}}}}}}, set with  hakit secret set NAME"
                )
                yield from _told(host, name, message)


def ignored(host: Host) -> Iterator[Problem]:
    """Warnings for arguments of ssh that have no effect here."""
    for name in _ARGUMENT_KEYS:
        value = host.vars.get(name)
        if not isinstance(value, str) or _arguments_problem(name, value):
            continue
        found = _Arguments()
        _read(value, found)
        if found.ignored:
            message = f"hakit does not run ssh: only jump hosts count here; ignored: {' '.join(found.ignored)}"
            yield Problem(message, place(host.layers, name), name, "warning")


def place(layers: Sequence[Layer], variable: str) -> Mark | None:
    """Where the variable that holds for a host is written; `layers` are weakest first."""
    for layer in reversed(layers):
        entry = layer.vars.items.get(variable)
        if entry:
            return entry.value.mark
    return None


def _told(host: Host, name: str, message: str | None) -> Iterator[Problem]:
    if message:
        yield Problem(message, place(host.layers, name), name)


def _jump_place(host: Host) -> Mark | None:
    mark = host.marks.get(("ssh", "jump"))
    return mark or next((found for name in _ARGUMENT_KEYS if (found := place(host.layers, name))), None)


def _text(values: Mapping[str, Any], *names: str) -> str | None:
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


class _Given(Secrets):
    """The store of one value that stands in the inventory itself."""

    def __init__(self, value: str) -> None:
        super().__init__()
        self._value = value

    def get(self, name: str) -> str:
        """The value, whatever it is called."""
        del name
        return self._value


def _plain(values: Mapping[str, Any], layers: Sequence[Layer], names: Iterable[str]) -> Secret | None:
    """A password that stands in the inventory, masked; hosts that take it from one place have the same one."""
    for name in names:
        value = _text(values, name)
        if value:
            return _given(f"{name} at {place(layers, name)}", value)
    return None


@cache
def _given(name: str, value: str) -> Secret:
    """The same for every host that takes it from the same place, so that it is known to be the same password."""
    return Secret(name, _Given(value))


def _hop(text: str) -> Hop:
    user, host, port = jump.parse(text)
    return Hop(host, Login(host, user, port))


def _read(text: str, found: _Arguments) -> None:
    """Take in arguments of ssh; what was found before counts. Raises ValueError for an open quote or a bad jump."""
    words = shlex.split(text)
    while words:
        word = words.pop(0)
        letter = word[1:2] if word.startswith("-") else ""
        if letter not in _WITH_VALUE:
            found.ignored.append(word)
            continue
        value = word[2:] or (words.pop(0) if words else "")
        keyword, _, option = value.replace(" ", "=", 1).partition("=") if letter == "o" else ("", "", "")
        undecided = found.jump is None and found.command is None
        if letter == "J" or keyword.lower() == "proxyjump":
            hops = _hops(option if letter == "o" else value)
            found.jump = hops if undecided else found.jump
        elif keyword.lower() == "proxycommand":
            command = value.partition("=")[2] if "=" in value.split(" ", 1)[0] else value.partition(" ")[2]
            found.jump = () if undecided and command.lower() == "none" else found.jump
            found.command = command if undecided and found.jump is None else found.command
        else:
            found.ignored.append(word if word[2:] else f"{word} {value}")


def _hops(value: str) -> tuple[Hop, ...]:
    return () if value.lower() == "none" else tuple(_hop(one) for one in value.split(","))


def _arguments_problem(name: str, value: Any) -> str | None:
    if value is None or name not in _ARGUMENT_KEYS:
        return None
    text = value if isinstance(value, str) else ""
    if isinstance(value, Vault) or ("{{" in text and re.search(r"proxy|-J", text, re.IGNORECASE)):
        return (
            "hakit needs this value to find the way to the host and evaluates neither Jinja nor Vault; write the "
            "value itself, or  hakit: {ssh: {jump: [BASTION]}}"
        )
    if not isinstance(value, str):
        return f"expects arguments of ssh as text, got {value!r}"
    try:
        _read(text, _Arguments())
    except ValueError as error:
        return f"expects arguments of ssh with jump hosts as [user@]host[:port], got {text!r} ({error})"
    return None


def _login_problem(name: str, value: Any) -> str | None:
    message = None
    if value is None:
        return None
    if isinstance(value, Vault) or (isinstance(value, str) and "{{" in value):
        message = "hakit needs this value to log in and evaluates neither Jinja nor Vault; write the value itself"
    elif name == "ansible_port" and _port(value) is None:
        message = f"expects a port from 1 to {_HIGHEST_PORT}, got {value!r}"
    elif name == "ansible_connection" and value not in CONNECTIONS:
        message = f"hakit reaches hosts by ssh only, got {value!r}"
    elif name == "ansible_become" and _boolean(value) is None:
        message = f"expects true or false, got {value!r}"
    elif name == "ansible_host" and not (isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.:-]{1,253}", value)):
        message = f"expects an address or a host name, got {value!r}"
    elif name in (*_USER_KEYS, *_KEY_FILE_KEYS) and not (isinstance(value, (str, int)) and str(value).isprintable()):
        message = f"expects text on one line, got {value!r}"
    return message
