"""How hosts are logged in on: jump hosts, passwords, and what Ansible's own variables say of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.errors import InventoryError
from hakit.inventory import load
from hakit.inventory.model import Hop, Login
from tests.unit.inventory.conftest import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hakit.inventory.model import Site

    Write = Callable[[dict[str, str]], Path]

PLAIN = "tr0ub4dor&3"


def site(write: Write, text: str) -> Site:
    return load(write({"hosts.yml": text}), SCHEMAS, need_secrets=False)


def way(login: Login) -> list[str] | None:
    return None if login.jump is None else [hop.name for hop in login.jump]


EVERYWHERE = """
all:
  vars: {hakit: {ssh: {jump: [gate1, gate2]}}}
  hosts:
    gate1: {ansible_host: 10.0.0.1, ansible_user: g, ansible_port: 2222}
    gate2: {ansible_host: 10.0.0.2, ansible_ssh_private_key_file: /key}
    web1: {ansible_host: 10.0.0.3}
    near: {ansible_host: 10.0.0.4, hakit: {ssh: {jump: []}}}
    far: {ansible_host: 10.0.0.5, hakit: {ssh: {jump: ["you@web1:23", "me@else.where:24", "[fd00::1]"]}}}
"""


def test_a_jump_host_of_the_inventory_brings_its_own_login(write: Write) -> None:
    hosts = site(write, EVERYWHERE).hosts
    gate1 = Login("10.0.0.1", "g", 2222, jump=())
    assert hosts["web1"].login.jump == (
        Hop("gate1", gate1),
        Hop("gate2", Login("10.0.0.2", key_file="/key", jump=())),
    )
    assert (hosts["gate1"].login.jump, hosts["near"].login.jump) == ((), ())
    assert hosts["gate2"].login.jump == (Hop("gate1", gate1),)


def test_a_jump_host_may_be_named_with_user_and_port(write: Write) -> None:
    web1, other, v6 = site(write, EVERYWHERE).hosts["far"].login.jump or ()
    assert (web1.login.host, web1.login.user, web1.login.port, way(web1.login)) == (
        "10.0.0.3",
        "you",
        23,
        ["gate1", "gate2"],
    )
    assert other == Hop("else.where", Login("else.where", "me", 24))
    assert v6 == Hop("fd00::1", Login("fd00::1"))


def test_without_a_word_ssh_config_decides(write: Write) -> None:
    login = site(write, "all: {hosts: {a: {ansible_host: 10.0.0.1, hakit: {zone: z}}}}").hosts["a"].login
    assert (login.jump, login.proxy_command) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "jump", "command"),
    [
        ("-J gate", ["gate"], None),
        ("-Jone,two", ["one", "two"], None),
        ("-o ProxyJump=gate", ["gate"], None),
        ("-oproxyjump=me@gate:22", ["gate"], None),
        ("-o 'ProxyJump gate'", ["gate"], None),
        ("-o ProxyJump=none", [], None),
        ("-o ProxyJump=one -J two", ["one"], None),
        ('-o ProxyCommand="ssh -W %h:%p -q gate"', None, "ssh -W %h:%p -q gate"),
        ("-o 'ProxyCommand nc --x=y %h %p'", None, "nc --x=y %h %p"),
        ("-o ProxyCommand=none -J gate", [], None),
        ("-o ProxyCommand=nc -J gate", None, "nc"),
        ("-C -o ControlMaster=auto", None, None),
    ],
)
def test_arguments_of_ssh_name_the_way(
    write: Write, arguments: str, jump: list[str] | None, command: str | None
) -> None:
    text = (
        f"all: {{hosts: {{a: {{ansible_host: 10.0.0.1, ansible_ssh_common_args: {arguments!r}, hakit: {{zone: z}}}}}}}}"
    )
    if "'" in arguments:
        text = text.replace(repr(arguments), '"' + arguments.replace('"', '\\"') + '"')
    login = site(write, text).hosts["a"].login
    assert (way(login), login.proxy_command) == (jump, command)


def test_what_ansible_puts_first_and_what_hakit_says_counts(write: Write) -> None:
    found = site(
        write,
        "all:\n"
        "  vars: {ansible_ssh_args: -J one, ansible_ssh_common_args: -J two, ansible_ssh_extra_args: -J three}\n"
        "  hosts:\n"
        "    a: {ansible_host: 10.0.0.1, hakit: {zone: z}}\n"
        "    b: {ansible_host: 10.0.0.2, hakit: {zone: z, ssh: {jump: [four]}}}\n",
    )
    assert [way(host.login) for host in found.hosts.values()] == [["one"], ["four"]]


def test_other_arguments_are_said_once_to_be_ignored(write: Write) -> None:
    found = site(
        write,
        "all:\n"
        "  vars: {ansible_ssh_common_args: -C -o StrictHostKeyChecking=no -i /k -J gate}\n"
        "  hosts: {a: {ansible_host: 10.0.0.1, hakit: {zone: z}}, b: {ansible_host: 10.0.0.2, hakit: {zone: z}}}\n",
    )
    (warning,) = found.warnings
    assert warning.severity == "warning"
    assert warning.message.endswith("ignored: -C -o StrictHostKeyChecking=no -i /k")
    assert warning.mark
    assert warning.mark.line == 2


def test_passwords_are_masked_wherever_they_stand(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_LOGIN", PLAIN)
    found = site(
        write,
        "all:\n"
        f"  vars: {{ansible_password: '{PLAIN}', ansible_become_pass: 1234}}\n"
        "  hosts:\n"
        "    a: {ansible_host: 10.0.0.1, hakit: {zone: z}}\n"
        "    b: {ansible_host: 10.0.0.2, hakit: {zone: z, ssh: {password: {secret: login}}}}\n"
        "    c: {ansible_host: 10.0.0.3, hakit: {zone: z}}\n",
    )
    a, b, c = (host.login for host in found.hosts.values())
    assert a.password
    assert b.password
    assert a.sudo_password
    assert (a.password.reveal(), b.password.reveal(), a.sudo_password.reveal()) == (PLAIN, PLAIN, "1234")
    assert b.password.name == "login"
    assert c.password is a.password, "what stands in one place is one password"
    assert PLAIN not in f"{a} {b} {found}"


def test_a_secret_that_is_not_set_is_told_at_its_place(write: Write) -> None:
    text = "all: {hosts: {a: {ansible_host: 10.0.0.1, hakit: {ssh: {password: {secret: nobody_set_this}}}}}}"
    with pytest.raises(InventoryError, match=r"hakit\.ssh\.password: the secret nobody_set_this is not set"):
        load(write({"hosts.yml": text}), SCHEMAS)
    assert load(write({"hosts.yml": text}), SCHEMAS, need_secrets=False).hosts["a"].login.password


def test_a_setting_of_hakit_makes_up_for_what_only_ansible_can_read(write: Write) -> None:
    text = (
        "all: {hosts: {a: {ansible_host: 10.0.0.1, ansible_password: '{{ vaulted }}', "
        "hakit: {ssh: {password: {secret: login}}}}}}"
    )
    assert site(write, text).hosts["a"].login.password
