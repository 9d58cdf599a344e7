from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.errors import LabError
from hakit.lab.plan import HostPlan, Nic
from hakit.lab.vagrant import shape
from tests.unit.lab.vagrant.plans import ONE, PLAN, TWO


def test_each_host_is_a_machine_with_its_nics_and_disks() -> None:
    value = json.loads(json.dumps(shape.shape(PLAN, "tcg", {"one": "true"})))
    assert (value["address"], value["netmask"], value["accelerator"], value["lab"]) == (
        "10.79.0.1",
        "255.255.255.0",
        "tcg",
        None,
    )
    one, two = value["hosts"]
    assert (one["name"], one["address"], one["memory"], one["release"]) == ("one", "10.79.0.11", 512, 12)
    assert [nic["name"] for nic in one["nics"]] == ["eth0", "eth1", "eth2"]
    assert one["nics"][2]["mac"] == "52:54:00:00:00:02"
    assert one["disks"] == [
        {"name": "data", "size": 2048, "serial": "data"},
        {"name": "spare", "size": 64, "serial": "WD-0002"},
    ]
    assert (one["setup"], two["setup"]) == ("true", "")
    assert {one["box"], one["console"], one["agent"], one["nics"][0]["cable"]} == {None}


def test_a_machine_of_hakit_lab_has_its_folder_and_its_cables() -> None:
    local = {"one": shape.Local("hakit/x", Path("/l/one")), "two": shape.Local("hakit/y", Path("/l/two"))}
    value = shape.shape(PLAN, "kvm", {}, local)
    assert value["lab"] == {"management": "192.168.121.0/24"}
    one = value["hosts"][0]
    assert (one["box"], one["console"], one["agent"]) == ("hakit/x", "/l/one/console.log", "/l/one/qga")
    assert [nic["cable"] for nic in one["nics"]] == ["one-eth0", "one-eth1", "one-eth2"]


def test_a_network_of_ipv6_has_a_prefix_and_no_netmask() -> None:
    plan = replace(PLAN, network="2001:db8::/64", bridge="2001:db8::1/64", hosts=(TWO,))
    value = shape.shape(plan, "tcg", {})
    assert (value["address"], value["netmask"], value["prefix"]) == ("2001:db8::1", None, 64)


@given(st.lists(st.sampled_from([*shape.MANAGEMENT, "10.0.0.0/8", "192.168.0.0/17"]), max_size=5))
def test_vagrants_own_network_is_none_of_the_labs(taken: list[str]) -> None:
    addresses = [f"{ipaddress.ip_network(one)[9]}/{one.split('/')[1]}" for one in taken]
    nics = tuple(Nic(f"n{number}", address) for number, address in enumerate(addresses))
    plan = replace(PLAN, hosts=(replace(TWO, nics=nics),))
    free = [
        one
        for one in shape.MANAGEMENT
        if not any(ipaddress.ip_network(one).overlaps(ipaddress.ip_network(other)) for other in taken)
    ]
    if free:
        assert shape.management(plan) == free[0]
    else:
        with pytest.raises(LabError, match="none is left"):
            shape.management(plan)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (replace(ONE, nics=(Nic("eth0", None, lag="trunk"),)), "one: .*LACP"),
        (replace(ONE, nics=tuple(Nic(f"eth{number}", None) for number in range(8))), "one has 8 NICs"),
    ],
)
def test_what_machines_of_vagrant_do_not_have_is_refused(host: HostPlan, said: str) -> None:
    shape.check(PLAN)
    with pytest.raises(LabError, match=said):
        shape.check(replace(PLAN, hosts=(host, TWO)))


def test_libvirt_knows_a_machine_by_a_name_that_no_other_lab_has() -> None:
    assert shape.domain("0123abcd", "db-1.a") == "hakit-0123abcd-db-1.a"
    assert shape.domain("0123abcd", "db:1") == "hakit-0123abcd-db1", "as vagrant-libvirt leaves it out"
    assert shape.domain(PLAN.id, "one").startswith(shape.prefix(PLAN))
