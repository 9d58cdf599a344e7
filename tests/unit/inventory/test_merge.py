"""What hosts get: merged settings that know their origin, variables, addresses, and who said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.errors import InventoryError, UsageError
from hakit.inventory import load
from hakit.inventory.blame import blame, flat
from hakit.inventory.origin import Number, Real, Text, origin_of
from tests.unit.inventory.conftest import SCHEMAS, Balancer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hakit.inventory.model import Host, Site

    Write = Callable[[dict[str, str]], Path]

LAYERS = {
    "hosts.yml": """\
all:
  vars: {hakit: {zone: all, balancer: {names: [all], ratio: 1.5, backends: {web: {port: 80, check: {fall: 2}}}}}}
  children:
    parent:
      vars: {hakit: {zone: parent, balancer: {names: [parent, x]}}}
      children:
        child:
          vars:
            hakit:
              balancer:
                backends: {web: {mode: tcp}, api: {port: 81}}
          hosts:
            h1: {hakit: {balancer: {backends: {web: {port: 8080}}}}}
            h2: {other: 1}
            h3: {hakit: {balancer: }}
""",
    "group_vars/child.yml": "hakit: {balancer: {enabled: false}}\n",
    "host_vars/h2.yml": "hakit:\n  zone: mine\n",
}


def settings(host: Host) -> Balancer:
    found = host.settings["balancer"]
    assert isinstance(found, Balancer)
    return found


@pytest.fixture
def site(write: Write) -> Site:
    return load(write(LAYERS), SCHEMAS)


def test_mappings_merge_deeply_and_lists_replace(site: Site) -> None:
    merged = settings(site.hosts["h1"])
    assert merged.names == ("parent", "x")
    assert merged.backends["web"].model_dump() == {
        "port": 8080,
        "group": None,
        "mode": "tcp",
        "check": {"http": "/", "fall": 2},
        "weights": {},
    }
    assert merged.backends["api"].port == 81
    assert merged.enabled is False


def test_the_host_wins_over_groups_and_children_over_parents(site: Site) -> None:
    assert [host.zone for host in site.hosts.values()] == ["parent", "mine", "parent"]


def test_null_takes_an_inherited_component_away(site: Site) -> None:
    assert "balancer" not in site.hosts["h3"].settings
    assert [host.name for host in site.running("balancer")] == ["h1", "h2"]


def test_values_remember_where_they_are_written(site: Site) -> None:
    merged = settings(site.hosts["h1"])
    port, mode, name = merged.backends["web"].port, merged.backends["web"].mode, merged.names[1]
    assert [type(value) for value in (port, mode, name, merged.ratio)] == [Number, Text, Text, Real]
    places = [str(origin_of(value)).rpartition("/")[2] for value in (port, mode, name, merged.ratio)]
    assert places == [
        "hosts.yml:13 balancer.backends.web.port",
        "hosts.yml:11 balancer.backends.web.mode",
        "hosts.yml:5 balancer.names[1]",
        "hosts.yml:2 balancer.ratio",
    ]
    key = next(iter(merged.backends))
    assert str(origin_of(key)).endswith("hosts.yml:13 balancer.backends.web")


def test_defaults_have_no_origin(site: Site) -> None:
    check = settings(site.hosts["h1"]).backends["web"].check
    assert not isinstance(check, bool)
    assert origin_of(check.fall) is not None
    assert origin_of(check.http) is None
    assert origin_of(settings(site.hosts["h1"]).backends["api"].mode) is None


def test_settings_are_frozen(site: Site) -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings(site.hosts["h1"]), "enabled", True)  # noqa: B010 - mypy refuses the plain assignment


def test_marks_lead_to_the_nearest_place(site: Site) -> None:
    host = site.hosts["h1"]
    exact = host.mark("balancer", "backends", "web", "port")
    assert exact is not None
    assert LAYERS["hosts.yml"].splitlines()[exact.line - 1][exact.column - 1 :].startswith("8080")
    assert host.mark("balancer", "backends", "web", "port", "deeper") == exact
    assert host.mark("nothing") == host.marks[()]


def test_hosts_share_what_is_the_same_for_them(write: Write) -> None:
    hosts = "".join(f"    h{i}: {{hakit: {{zone: z{i % 3}}}}}\n" for i in range(30))
    text = f"all:\n  vars: {{hakit: {{balancer: {{names: [a]}}}}}}\n  hosts:\n{hosts}"
    site = load(write({"hosts.yml": text}), SCHEMAS)
    assert len({id(host.settings["balancer"]) for host in site.hosts.values()}) == 1
    assert {host.zone for host in site.hosts.values()} == {"z0", "z1", "z2"}


def test_variables_are_the_users_own(site: Site) -> None:
    assert site.hosts["h2"].vars == {"other": 1}


def test_members_of_groups_and_hosts(site: Site) -> None:
    names = {name: [host.name for host in site.members(name)] for name in ("all", "parent", "child", "h2", "nobody")}
    everyone = ["h1", "h2", "h3"]
    assert names == {"all": everyone, "parent": everyone, "child": everyone, "h2": ["h2"], "nobody": []}
    assert site.hosts["h1"].groups == ("parent", "child")


def test_login_and_address(write: Write) -> None:
    text = """\
all:
  vars: {ansible_user: ops, ansible_become: "no", hakit: {zone: a}}
  hosts:
    plain:
    far: {ansible_host: 192.0.2.7, ansible_port: "2222", ansible_private_key_file: ~/k}
    two: {ansible_host: 192.0.2.8, hakit: {address: 10.0.0.8, nics: {eth1: 10.1.0.8/24, eth2: null}, release: 13}}
    ported:2200:
"""
    hosts = load(write({"hosts.yml": text}), SCHEMAS).hosts
    assert (hosts["plain"].login.host, hosts["plain"].login.user, hosts["plain"].login.port) == ("plain", "ops", None)
    assert not hosts["plain"].login.become
    assert (hosts["far"].login.host, hosts["far"].login.port, hosts["far"].login.key_file) == ("192.0.2.7", 2222, "~/k")
    assert (hosts["two"].address, hosts["two"].login.host, hosts["two"].release) == ("10.0.0.8", "192.0.2.8", 13)
    assert hosts["two"].nics == {"eth1": "10.1.0.8/24", "eth2": None}
    assert hosts["ported"].login.port == 2200


def test_promises_of_all_hosts_come_together(write: Write) -> None:
    text = """\
all:
  vars: {hakit: {lab: {network: 10.77.0.0/24}}}
  children:
    a: {hosts: {a1: }, vars: {hakit: {services: {web: {address: 10.77.0.9, rto: 1m30s}}}}}
    b: {hosts: {b1: }, vars: {hakit: {services: {db: {address: "fd00:0::9", rpo: 0}}}}}
"""
    site = load(write({"hosts.yml": text}), SCHEMAS)
    assert {name: (one.address, one.rto, one.rpo) for name, one in site.services.items()} == {
        "web": ("10.77.0.9", 90.0, None),
        "db": ("fd00::9", None, 0.0),
    }
    assert site.lab is not None
    assert str(site.lab.network) == "10.77.0.0/24"


def test_unsafe_text_may_hold_braces(write: Write) -> None:
    text = 'all: {hosts: {h: {hakit: {balancer: {backends: {w: {port: 1, check: {http: !unsafe "/{{x}}"}}}}}}}}\n'
    check = settings(load(write({"hosts.yml": text}), SCHEMAS).hosts["h"]).backends["w"].check
    assert not isinstance(check, bool)
    assert check.http == "/{{x}}"


def test_aliases_and_merge_keys_work_below_hakit(write: Write) -> None:
    text = """\
all:
  vars:
    hakit:
      balancer:
        backends:
          a: &base {port: 80, mode: tcp}
          b: {<<: *base, port: 81}
          c: *base
  hosts: {h: }
"""
    backends = settings(load(write({"hosts.yml": text}), SCHEMAS).hosts["h"]).backends
    assert {name: (one.port, one.mode) for name, one in backends.items()} == {
        "a": (80, "tcp"),
        "b": (81, "tcp"),
        "c": (80, "tcp"),
    }


def test_one_alias_may_fill_several_keys(write: Write) -> None:
    text = "all: {hosts: {h: {x: &x rack1, hakit: {zone: *x, address: *x}}}}\n"
    host = load(write({"hosts.yml": text}), SCHEMAS).hosts["h"]
    assert (host.zone, host.address) == ("rack1", "rack1")


def test_warnings_do_not_stop_a_foreign_inventory(write: Write) -> None:
    files = {
        "hosts.yml": "all: {hosts: {a: }, remote_user: me, children: {a: {hosts: {b: }}}}\n",
        "group_vars/nobody.yml": "x: 1\n",
        "group_vars/all/vault.yml": "$ANSIBLE_VAULT;1.1;AES256\n3136\n",
    }
    site = load(write(files), SCHEMAS)
    said = "\n".join(warning.message for warning in site.warnings)
    assert "there is no group nobody" in said
    assert "encrypted by Ansible Vault" in said
    assert "is the name of a host and of a group" in said
    assert "this is ignored" in said


def test_files_that_are_no_inventory_are_passed_over_in_a_folder(write: Write) -> None:
    files = {
        "hosts.yml": "all: {hosts: {a: }}\n",
        "playbook.yml": "- hosts: all\n",
        "later.yml": "# nothing yet\n",
        "vault_pass": "{ no yaml\n",
        "nodes": "b:\n  hosts: {c: }\n",
    }
    site = load(write(files), SCHEMAS)
    assert list(site.hosts) == ["a", "c"]
    assert [warning.mark.file.rpartition("/")[2] for warning in site.warnings if warning.mark] == [
        "later.yml",
        "playbook.yml",
        "vault_pass",
    ]


@pytest.mark.parametrize("text", ["[web]\na\n", "a ansible_host=10.0.0.1\n"])
def test_an_ini_file_is_never_passed_over(text: str, write: Write) -> None:
    with pytest.raises(InventoryError, match="INI format"):
        load(write({"hosts.yml": "all: {hosts: {a: }}\n", "more": text}), SCHEMAS)


def test_problems_that_many_hosts_inherit_are_told_once(write: Write) -> None:
    text = "all:\n  vars: {hakit: {balancer: {names: [a b]}}}\n  hosts: {'h[1:50]': {hakit: {zone: a}}}\n"
    with pytest.raises(InventoryError) as caught:
        load(write({"hosts.yml": text}), SCHEMAS)
    assert len(caught.value.problems) == 1


@pytest.mark.parametrize(
    ("host", "key", "expected"),
    [
        (
            "h1",
            "balancer.backends.web.port",
            [(13, "sets", "host h1", 8080), (2, "overridden", "group all", 80)],
        ),
        ("h1", "hakit.zone", [(5, "sets", "group parent", "parent"), (2, "overridden", "group all", "all")]),
        ("h1", "balancer.names[0]", [(5, "sets", "group parent", "parent"), (2, "overridden", "group all", "all")]),
        ("h2", "other", [(14, "sets", "host h2", 1)]),
        (
            "h1",
            "balancer.backends",
            [
                (13, "merged", "host h1", {"web": {"port": 8080}}),
                (11, "merged", "group child", {"web": {"mode": "tcp"}, "api": {"port": 81}}),
                (2, "merged", "group all", {"web": {"port": 80, "check": {"fall": 2}}}),
            ],
        ),
    ],
)
def test_blame(site: Site, host: str, key: str, expected: list[tuple[int, str, str, object]]) -> None:
    found = [(one.mark.line, one.effect, one.who, one.value) for one in blame(site.hosts[host], key)]
    assert found == expected


def test_blame_suggests(site: Site) -> None:
    with pytest.raises(UsageError, match=r"did you mean balancer\.backends\.web\.port"):
        blame(site.hosts["h1"], "balancer.backends.web.prot")


def test_every_leaf_has_its_place(site: Site) -> None:
    leaves = {key: (value, mark.line) for key, (value, mark) in flat(site.hosts["h1"]).items()}
    assert leaves["hakit.balancer.backends.web.port"] == (8080, 13)
    assert leaves["hakit.balancer.names"] == (["parent", "x"], 5)
    assert leaves["hakit.balancer.enabled"] == (False, 1)
