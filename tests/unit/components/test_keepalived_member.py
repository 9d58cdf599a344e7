"""A member's part beyond its configuration: what must agree, how it stands aside, what its state means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent.handlers.agreeing import differs
from hakit.agent.resources.files import Files
from hakit.components.base import Answer, Facts
from hakit.components.keepalived import Keepalived
from hakit.components.keepalived.resources import check_interval
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from tests.unit.components.sites import COMPONENTS, found, site

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.agent.resources.files import Agreement
    from hakit.inventory.model import Site

KEEPALIVED = Keepalived()
CONFIG = "/etc/keepalived/keepalived.conf"
FRONT: dict[str, Any] = {
    "interface": "eth0",
    "virtual_router_id": 51,
    "addresses": ["10.1.0.100/24", "10.1.0.101/24"],
    "prefer": "lb1",
}


def members(folder: Path, *names: str, **settings: Any) -> Site:
    instance = {"keepalived": {"instances": {"front": {**FRONT, **settings}}}}
    return site(folder, dict.fromkeys(names, instance))


def configuration(made: Site, host: str = "lb1") -> tuple[str, Agreement]:
    declared = declare(made, COMPONENTS, made.hosts[host], Facts(), Templates(made))
    files = declared.resources[f"files:{CONFIG}"]
    assert isinstance(files, Files)
    return declared.contents()[CONFIG].reveal(), files.agree[0]


# What members must say alike


@pytest.mark.parametrize(
    ("before", "after", "together"),
    [
        ({}, {}, False),
        ({}, {"virtual_router_id": 52}, True),
        ({}, {"version": 2}, True),
        ({"version": 2}, {}, True),
        ({"version": 2}, {"version": 2, "advert_interval": "2s"}, True),
        # VRRPv3's adverts carry the interval, and members go by what the holder says.
        ({}, {"advert_interval": "300ms"}, False),
        ({}, {"unicast": False}, True),
        ({}, {"interface": "eth1"}, True),
        ({}, {"source": "10.1.0.9"}, True),
        ({}, {"addresses": ["10.1.0.102/24", "10.1.0.101/24"]}, True),
        # Only the first address stands in the adverts.
        ({}, {"addresses": ["10.1.0.100/24"]}, False),
        ({}, {"addresses": ["10.1.0.100/24", "10.1.0.101/24", "10.1.0.102/24"]}, False),
        ({}, {"prefer": "lb2"}, False),
        ({}, {"preempt": False}, False),
        ({}, {"priority": 99}, False),
        ({}, {"garp": {"repeat": 9}}, False),
        ({}, {"track_interfaces": ["eth9"]}, False),
    ],
    ids=str,
)
def test_what_adverts_carry_changes_on_all_members_at_once(
    tmp_path: Path, before: dict[str, Any], after: dict[str, Any], together: bool
) -> None:
    old, _ = configuration(members(tmp_path, "lb1", "lb2", **before))
    new, agreement = configuration(members(tmp_path, "lb1", "lb2", **after))
    assert differs(agreement, old, new) is together


def test_a_password_changes_on_all_members_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_VRRP", "one")
    old, agreement = configuration(members(tmp_path, "lb1", "lb2", version=2, auth={"secret": "vrrp"}))
    monkeypatch.setenv("HAKIT_SECRET_VRRP", "two")
    again = members(tmp_path, "lb1", "lb2", version=2, auth={"secret": "vrrp"})
    assert differs(agreement, old, configuration(again)[0])


def test_a_new_member_joins_only_when_the_others_know_it(tmp_path: Path) -> None:
    old, _ = configuration(members(tmp_path, "lb1", "lb2"))
    new, agreement = configuration(members(tmp_path, "lb1", "lb2", "lb3"))
    assert differs(agreement, old, new)


def test_a_new_instance_concerns_no_other(tmp_path: Path) -> None:
    old, _ = configuration(members(tmp_path, "lb1", "lb2"))
    two = {"front": FRONT, "back": {**FRONT, "virtual_router_id": 9, "addresses": ["10.1.0.9/24"]}}
    made = site(tmp_path, {name: {"keepalived": {"instances": two}} for name in ("lb1", "lb2")})
    new, agreement = configuration(made)
    assert not differs(agreement, old, new)


# Standing aside


def test_a_group_stops_its_daemon_and_asks_for_the_state(tmp_path: Path) -> None:
    (group,) = KEEPALIVED.groups(members(tmp_path, "lb1", "lb2"))
    assert (group.hosts, group.keep, group.unit) == (("lb2", "lb1"), 1, "keepalived.service")
    assert [(one.kind, one.target) for one in group.probes["lb1"]] == [
        ("unit", "keepalived.service"),
        ("says", "/run/hakit-keepalived/state/front"),
    ]
    assert group.holder is not None
    assert (group.holder.kind, group.holder.target) == ("address", "10.1.0.100")


@pytest.mark.parametrize("names", [("lb1", "lb2"), ("lb1", "lb2", "lb3")])
def test_a_host_gives_up_all_addresses_and_takes_them_back(tmp_path: Path, names: tuple[str, ...]) -> None:
    made = members(tmp_path, *names)
    (withdrawal,) = KEEPALIVED.withdraw(made, made.hosts["lb1"])
    note = "/var/lib/hakit-keepalived/maintenance"
    assert [(o.host, o.action.kind, o.action.target, o.action.text) for o in (*withdrawal.out, *withdrawal.back)] == [
        ("lb1", "write", note, "1\n"),
        ("lb1", "write", note, "0\n"),
    ]
    gone = [(probe.kind, probe.target, probe.seen_from) for probe in withdrawal.gone]
    own = [("absent", "10.1.0.100", "lb1"), ("absent", "10.1.0.101", "lb1")]
    taken = [("address", "10.1.0.100", "lb2"), ("address", "10.1.0.101", "lb2")]
    assert gone == (own + taken if len(names) == 2 else own)


@pytest.mark.parametrize(
    ("settings", "group", "line"),
    [
        ({}, None, "hakit_maintenance weight -253"),
        ({"preempt": False}, None, "hakit_maintenance"),
        ({}, {}, "hakit_maintenance"),
        ({}, {"tracking_weight": True}, "hakit_maintenance weight -253"),
    ],
    ids=["a peer preempts", "nobody preempts", "weights are ignored", "weights count"],
)
def test_a_host_steps_aside_before_it_gives_up_where_a_peer_would_take_over(
    tmp_path: Path, settings: dict[str, Any], group: dict[str, Any] | None, line: str
) -> None:
    second = {**FRONT, "virtual_router_id": 52, "addresses": ["10.1.0.102/24"], **settings}
    groups = {} if group is None else {"sync_groups": {"both": {"instances": ["front", "back"], **group}}}
    own = {"keepalived": {"instances": {"front": {**FRONT, **settings}, "back": second}, **groups}}
    text, _ = configuration(site(tmp_path, dict.fromkeys(("lb1", "lb2"), own)))
    assert [one.strip() for one in text.splitlines() if one.startswith("        hakit_maintenance")] == [line, line]


def test_a_host_without_instances_has_nothing_to_give_up(tmp_path: Path) -> None:
    made = site(tmp_path, {"lb1": {"keepalived": {"instances": {"front": FRONT}}}, "web1": {}})
    assert list(KEEPALIVED.withdraw(made, made.hosts["web1"])) == []
    assert list(KEEPALIVED.report(made, made.hosts["web1"], {"unit": Answer(ok=True, detail="")})) == []


# What its state means

YES, NO = Answer(ok=True, detail="yes"), Answer(ok=False, detail="no")
ALL, NONE = {"address 10.1.0.100": YES, "address 10.1.0.101": YES}, {"address 10.1.0.100": NO, "address 10.1.0.101": NO}


def says(state: str) -> dict[str, Answer]:
    return {"unit": YES, "maintenance": NO, "state front": Answer(ok=state != "FAULT", detail=f"{state}\n")}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (says("MASTER") | ALL, ("MASTER", "good", "holds 10.1.0.100, 10.1.0.101")),
        (says("MASTER") | ALL | {"address 10.1.0.101": NO}, ("MASTER", "bad", "10.1.0.101 is not on this host")),
        (says("MASTER"), ("MASTER", "good", "")),
        (says("BACKUP") | NONE, ("BACKUP", "good", "")),
        (says("BACKUP") | ALL, ("BACKUP", "bad", "10.1.0.100, 10.1.0.101 is on this host all the same")),
        (says("FAULT") | NONE, ("FAULT", "bad", "can't take over")),
        (says("FAULT") | NONE | {"maintenance": YES}, ("FAULT", "risk", "taken out of service")),
        (says("BACKUP") | NONE | {"maintenance": YES}, ("BACKUP", "risk", "taken out of service")),
        (
            says("MASTER") | ALL | {"maintenance": YES},
            ("MASTER", "risk", "taken out of service; holds 10.1.0.100, 10.1.0.101 until another can"),
        ),
        (says("STOP") | NONE, ("STOP", "bad", "can't take over")),
        (says("MASTER") | {"unit": NO}, ("stopped", "bad", "no")),
        ({"unit": YES, "state front": Answer(ok=False, detail="no such file")}, ("unknown", "bad", "no such file")),
        ({"unit": YES}, ("unknown", "bad", "")),
    ],
)
def test_a_report_says_what_the_state_means(
    tmp_path: Path, answers: dict[str, Answer], expected: tuple[str, str, str]
) -> None:
    made = members(tmp_path, "lb1", "lb2")
    (one,) = KEEPALIVED.report(made, made.hosts["lb1"], answers)
    assert (one.state, one.level, one.detail) == expected
    assert (one.subject, one.path) == ("VRRP front", ("keepalived", "instances", "front"))


def test_every_answer_that_a_report_needs_is_asked_for(tmp_path: Path) -> None:
    made = members(tmp_path, "lb1", "lb2")
    asked = KEEPALIVED.inspect(made, made.hosts["lb1"])
    assert set(asked) == {"unit", "maintenance", "state front", *ALL}
    assert list(KEEPALIVED.report(made, made.hosts["lb1"], {})) == []


# Settings that hakit keeps for itself


def test_a_notify_script_of_ones_own_needs_another_directive(tmp_path: Path) -> None:
    refused = found(members(tmp_path, "lb1", "lb2", extra=["notify /bin/true"]))
    assert "notify_master" in refused["keepalived.instances.front.extra[0]"]
    fine = found(members(tmp_path, "lb1", "lb2", extra=["notify_master /bin/true"]))
    assert not any("extra" in key for key in fine)


def test_the_maintenance_file_has_its_name_for_itself(tmp_path: Path) -> None:
    files = {"hakit_maintenance": {"path": "/etc/x"}}
    made = site(tmp_path, {"lb1": {"keepalived": {"instances": {"front": FRONT}, "files": files}}})
    assert "keepalived.files.hakit_maintenance" in found(made)


@pytest.mark.parametrize(
    ("facts", "interval"),
    [
        (Facts(), 1.0),
        (Facts(release=13), 0.5),
        (Facts(packages={"keepalived": "1:2.2.7-1+b2"}), 1.0),
        (Facts(packages={"keepalived": "1:2.3.3-1"}), 0.5),
        (Facts(release=13, packages={"keepalived": "1:2.2.7-1"}), 1.0),
    ],
    ids=str,
)
def test_checks_run_as_often_as_the_hosts_keepalived_can(facts: Facts, interval: float) -> None:
    assert check_interval(facts) == interval
