"""What doctor makes of answers: hosts by themselves, then what lies between them. No host is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent.answers import Hello, Holder
from hakit.engine import segments
from hakit.engine.diagnosis import MIB, Exam, Trouble, judge, span
from hakit.engine.doctor import grouped
from hakit.engine.errands import Seen, errands
from hakit.engine.examination import (
    Advert,
    Clock,
    Disk,
    Holding,
    Machine,
    Nic,
    Packages,
    Source,
    Trial,
    Units,
    Wires,
)
from hakit.errors import ConnectError
from tests.unit.components.sites import COMPONENTS, site
from tests.unit.engine.sites import host

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Site

HELLO = Hello(12, "debian", "bookworm", "", "Debian 12", {}, None, "lb1", "6.1", "3.11.2", systemd=True, boot="b1")
WELL = Packages(
    missing=("haproxy",),
    locks=(),
    audit="",
    interrupted=False,
    held=(),
    trial=Trial(errors=(), depends="", removes=()),
    unreachable=(),
)
DISK = Disk(mount="/", readonly=False, size=10_000 * MIB, free=5_000 * MIB, inodes=1_000_000, inodes_free=900_000)
UNITS = Units(failed=(), masked=(), beneath=())
MASKED = Units(failed=(), masked=("haproxy.service",), beneath=())
TMP = "/tmp"  # noqa: S108 - a name, nothing is put there
DEAD = Source(uri="http://a.test/InRelease", reason="timed out")


def nic(name: str = "eth0", mac: str = "02:00:00:00:00:01", **more: Any) -> Nic:
    return Nic(
        name=name,
        mac=mac,
        up=more.get("up", True),
        addresses=more.get("addresses", ()),
        clashing=more.get("clashing", ()),
    )


def machine(place: int, **more: Any) -> Machine:
    """The machine of the host at 10.1.0.<place>."""
    own = nic(
        mac=f"02:00:00:00:00:{place:02x}",
        addresses=(f"10.1.0.{place}/24", *more.pop("addresses", ())),
        **more.pop("nic", {}),
    )
    values: dict[str, Any] = {
        "id": f"id{place}",
        "keys": (f"key{place}",),
        "uptime": 1e6,
        "container": "",
        "reboot": False,
        "nics": (own,),
    }
    return Machine(**(values | more))


def exam(**more: Any) -> Exam:
    values: dict[str, Any] = {
        "hello": HELLO,
        "clock": Clock(0.01, 0.01, synchronized=True),
        "machine": machine(1),
        "disks": (DISK,),
        "units": UNITS,
        "packages": WELL,
        "managed": ("haproxy.service",),
        "installs": ("haproxy",),
    }
    return Exam(host("lb1"), **(values | more))


def kinds(found: Any) -> list[str]:
    return [f"{one.kind} {one.severity}" for one in found]


def disk(**more: Any) -> dict[str, Any]:
    return {"disks": (DISK.model_copy(update=more),)}


def packages(**more: Any) -> dict[str, Any]:
    return {"packages": WELL.model_copy(update=more)}


def trial(*errors: str, removes: tuple[str, ...] = ()) -> Trial:
    return Trial(errors=errors, depends="", removes=removes)


def test_a_host_that_is_well_has_no_trouble() -> None:
    assert kinds(judge(exam())) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"hello": replace(HELLO, python="3.8.10")}, "python error"),
        ({"hello": replace(HELLO, systemd=False)}, "systemd error"),
        ({"hello": replace(HELLO, hostname="other")}, "hostname warning"),
        ({"hello": replace(HELLO, hostname="lb1.example.com")}, ""),
        ({"hello": replace(HELLO, lock=Holder("ann", "now", "r1", 7))}, "locked warning"),
        ({"clock": Clock(0.9, 0.0, synchronized=True)}, ""),
        ({"clock": Clock(-1.5, 0.6, synchronized=True)}, ""),
        ({"clock": Clock(-1.5, 0.1, synchronized=True)}, "clock warning"),
        ({"clock": Clock(61.0, 0.1, synchronized=True)}, "clock error"),
        ({"clock": Clock(-365 * 86400.0, 0.1, synchronized=True)}, "clock error"),
        ({"clock": Clock(0.0, 0.1, synchronized=False)}, "ntp warning"),
        ({"clock": Clock(0.0, 0.1, synchronized=False), "machine": machine(1, container="lxc")}, ""),
        ({"clock": Clock(0.0, 0.1, synchronized=None)}, ""),
        ({"clock": "no clock"}, "unanswered error"),
        ({"machine": machine(1, reboot=True)}, "reboot warning"),
        ({"machine": machine(1, nic={"clashing": ("fd00::1",)})}, "duplicate error"),
        (disk(free=600 * MIB), ""),
        (disk(free=500 * MIB), "space warning"),
        (disk(free=20 * MIB), "space error"),
        (disk(mount="/var", free=0), "space error"),
        (disk(mount=TMP, free=0), "space error"),
        (disk(mount="/boot", free=0), "space warning"),
        (disk(mount="/run/odd", free=0), "space error"),
        (disk(mount=TMP, size=8 * MIB, free=5 * MIB), ""),
        (disk(readonly=True), "readonly error"),
        (disk(mount=TMP, readonly=True), "readonly warning"),
        (disk(inodes_free=4000), "inodes warning"),
        (disk(inodes_free=10), "inodes error"),
        (disk(inodes=0, inodes_free=0), ""),
        (packages(audit="haproxy is only half configured"), "dpkg error"),
        (packages(interrupted=True), "dpkg warning"),
        (packages(locks=(Holding(path="/var/lib/dpkg/lock", pid=7, command="apt"),)), "apt-lock warning"),
        (packages(unreachable=(DEAD,)), "source error"),
        (packages(unreachable=(DEAD,), missing=()), "source warning"),
        (packages(trial=trial("Unable to locate package haproxy")), "unknown-package warning"),
        (packages(trial=trial("Unmet dependencies.")), "apt error"),
        (packages(trial=trial(removes=("nginx",))), "removes error"),
        (packages(held=("haproxy", "vim")), "held warning"),
        (packages(held=("vim",)), ""),
        ({"units": MASKED}, "masked error"),
        ({"units": Units(failed=(), masked=("a.service",), beneath=("a.service",))}, "masked warning"),
        ({"units": MASKED, "stands_on": {"haproxy.service": ("haproxy",)}}, "masked warning"),
        ({"units": MASKED, "stands_on": {"haproxy.service": ("other",)}}, "masked error"),
        ({"units": UNITS.model_copy(update={"failed": ("haproxy.service",)})}, "failed-unit error"),
        ({"units": UNITS.model_copy(update={"failed": ("other.service",)})}, "failed-unit warning"),
    ],
)
def test_each_trouble_of_a_host(change: dict[str, Any], expected: str) -> None:
    found = list(judge(exam(**change)))
    assert kinds(found) == ([expected] if expected else [])
    for one in found:
        assert one.what
        assert one.do or one.kind == "unanswered"


def test_packages_installed_by_halves_are_named() -> None:
    audit = "The following packages are only half configured:\n broken  a short description\n other   another\n"
    (found,) = judge(exam(**packages(audit=audit)))
    assert found.what == "broken, other: installed by halves"


def test_an_unknown_package_is_an_error_where_no_source_could_have_it() -> None:
    change = packages(unreachable=(DEAD,), trial=trial("Unable to locate package haproxy"))
    assert kinds(judge(exam(**change))) == ["source error", "unknown-package error"]


def test_a_host_that_can_not_be_reached_says_why_and_what_to_do() -> None:
    error = ConnectError("lb1: no route", why="the switch is off", hint="switch it on")
    (found,) = judge(Exam(host("lb1"), error))
    assert (found.what, found.why, found.do) == ("no route", "the switch is off", "switch it on")


@pytest.mark.parametrize(
    ("seconds", "words"), [(1.234, "1.23 s"), (90, "90 s"), (600, "10 min"), (7200, "2 h"), (31536000, "365 d")]
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_equal_troubles_of_several_hosts_are_told_once() -> None:
    one = Trouble("ntp", "warning", ("lb1",), "not synchronized")
    other = replace(one, hosts=("lb2",))
    assert grouped([one, other, replace(one, what="else")]) == (
        replace(one, hosts=("lb1", "lb2")),
        replace(one, what="else"),
    )


# Between hosts: lb1 (10.1.0.1) and lb2 (10.1.0.2) share 10.1.0.100, web (10.1.0.3) stands beside them.


def instances(**more: Any) -> dict[str, Any]:
    one = {"interface": "eth0", "virtual_router_id": 51, "addresses": ["10.1.0.100/24"], **more}
    return {"keepalived": {"instances": {"front": one}}}


@pytest.fixture
def pair(tmp_path: Path) -> Site:
    return site(tmp_path, {"lb1": instances(), "lb2": instances(), "web": {}})


def exams(site: Site, **machines: Machine | None) -> dict[str, Exam]:
    """Every host examined, but those that are None; the machine of the host's place where none is given."""
    found = {}
    for place, (name, one) in enumerate(site.hosts.items(), 1):
        has = machines.get(name, machine(place))
        found[name] = Exam(
            one, hello=replace(HELLO, hostname=name, boot=f"boot{place}"), machine=has, clock=Clock(0.0, 0.0, None)
        )
    return found


def seen(
    site: Site,
    known: dict[str, Exam],
    *answers: tuple[str, str],
    adverts: tuple[Advert, ...] = (),
    reached: str = "open",
) -> dict[str, Seen]:
    """What hosts bring back: who has which address as (address, MAC), seen by the host that was sent to ask."""
    back = {}
    for name, errand in errands(site, COMPONENTS, known).items():
        mine = tuple(("eth0", address, mac) for address, mac in answers if ("eth0", address) in errand.ask)
        heard = adverts if "eth0" in errand.listen else ()
        back[name] = Seen(errand, Wires(answers=mine, adverts=heard, failed={}), (reached,) * len(errand.peers))
    return back


def between(site: Site, known: dict[str, Exam], found: dict[str, Seen]) -> list[Trouble]:
    return list(segments.judge(site, COMPONENTS, known, found))


MAC = "02:00:00:00:00:{:02x}".format
WHERE = [("10.1.0.1", MAC(1)), ("10.1.0.2", MAC(2)), ("10.1.0.3", MAC(3))]
STRANGER = "02:aa:aa:aa:aa:aa"


def test_every_address_is_asked_for_once_by_somebody_else_on_its_network(pair: Site) -> None:
    found = errands(pair, COMPONENTS, exams(pair))
    asked = {address: name for name, errand in found.items() for _, address in errand.ask}
    assert set(asked) == {"10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.100"}
    assert sum(len(errand.ask) for errand in found.values()) == 4
    assert asked["10.1.0.100"] == "web"
    assert asked["10.1.0.1"] != "lb1"
    assert {name: errand.listen for name, errand in found.items() if errand.listen} == {
        "lb1": ["eth0"],
        "lb2": ["eth0"],
    }
    assert {(name, peer.name) for name, errand in found.items() for peer in errand.peers} == {
        ("lb1", "lb2"),
        ("lb2", "lb1"),
    }


def test_a_host_elsewhere_is_sent_to_nothing(pair: Site) -> None:
    far = machine(3).model_copy(update={"nics": (nic(addresses=("192.0.2.3/24", "10.1.0.100/32")),)})
    found = errands(pair, COMPONENTS, exams(pair, web=far))
    assert "web" not in found
    assert {address for one in found.values() for _, address in one.ask} >= {"10.1.0.100"}


def test_a_site_that_is_well_has_no_trouble_between_its_hosts(pair: Site) -> None:
    known = exams(pair, lb1=machine(1, addresses=("10.1.0.100/24",)))
    assert between(pair, known, seen(pair, known, *WHERE, ("10.1.0.100", MAC(1)))) == []


@pytest.mark.parametrize(
    ("answers", "expected", "hosts"),
    [
        ([("10.1.0.100", STRANGER)], "address-taken error", ("lb1", "lb2")),
        ([("10.1.0.100", MAC(1)), ("10.1.0.100", STRANGER)], "address-taken error", ("lb1", "lb2")),
        ([("10.1.0.100", "00:00:5e:00:01:33")], "", ()),
        ([("10.1.0.100", MAC(3))], "address-taken error", ("lb1", "lb2", "web")),
        ([("10.1.0.100", MAC(1)), ("10.1.0.100", MAC(2))], "two-holders error", ("lb1", "lb2")),
        ([("10.1.0.2", STRANGER)], "address-taken error", ("lb2",)),
        ([("10.1.0.2", MAC(1))], "address-taken error", ("lb2", "lb1")),
    ],
)
def test_who_answers_for_an_address(
    pair: Site, answers: list[tuple[str, str]], expected: str, hosts: tuple[str, ...]
) -> None:
    known = exams(pair)
    found = between(pair, known, seen(pair, known, *WHERE, *answers))
    assert kinds(found) == ([expected] if expected else [])
    assert not found or found[0].hosts == hosts
    if STRANGER in str(answers):
        assert STRANGER in found[0].what


def test_two_that_hold_an_address_are_found_also_when_nobody_could_ask(pair: Site) -> None:
    both = {"addresses": ("10.1.0.100/24",)}
    known = exams(pair, lb1=machine(1, **both), lb2=machine(2, **both))
    assert kinds(between(pair, known, {})) == ["two-holders error"]


def test_a_host_that_was_not_examined_is_no_stranger_at_its_addresses(pair: Site) -> None:
    known = exams(pair, lb1=None)
    answers = [("10.1.0.1", STRANGER), ("10.1.0.100", STRANGER), *WHERE[1:]]
    assert between(pair, known, seen(pair, known, *answers)) == []
    two = [*answers, ("10.1.0.1", "02:bb:bb:bb:bb:bb")]
    assert {one.kind for one in between(pair, known, seen(pair, known, *two))} == {"address-taken"}


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (machine(2, id="id1"), "same-id error"),
        (machine(2, keys=("key1",)), "same-key error"),
        (machine(2).model_copy(update={"nics": (nic(addresses=("10.1.0.2/24",)),)}), "same-mac error"),
    ],
)
def test_clones(pair: Site, other: Machine, expected: str) -> None:
    found = between(pair, exams(pair, lb2=other), {})
    assert kinds(found) == [expected]
    assert found[0].hosts == ("lb1", "lb2")


def test_one_machine_under_two_names_is_told_once(pair: Site) -> None:
    known = exams(pair, lb2=machine(1))
    known["lb2"].hello = known["lb1"].hello
    found = between(pair, known, {})
    assert "same-machine error" in kinds(found)
    assert not {"same-id", "same-key", "same-mac"} & {one.kind for one in found}


@pytest.mark.parametrize(
    ("unicast", "heard", "expected"),
    [
        (True, {"source": "10.1.0.50"}, "foreign-router warning"),
        (False, {"source": "10.1.0.50"}, "foreign-router error"),
        (True, {"source": "10.1.0.50", "addresses": ("10.1.0.100",)}, "foreign-router error"),
        (False, {"source": "10.1.0.50", "id": 52, "addresses": ("10.1.0.100",)}, "foreign-router error"),
        (False, {"source": "10.1.0.50", "id": 52}, ""),
        (False, {"source": "10.1.0.2"}, ""),
        (False, {"source": "10.1.0.77"}, ""),
        (False, {"source": "10.1.0.3"}, "foreign-router error"),
    ],
)
def test_strangers_on_the_wire(tmp_path: Path, unicast: Any, heard: dict[str, Any], expected: str) -> None:
    pair = site(tmp_path, {"lb1": instances(unicast=unicast), "lb2": instances(unicast=unicast), "web": {}})
    one: dict[str, Any] = {"nic": "eth0", "id": 51, "version": 3, "priority": 100, "addresses": (), **heard}
    known = exams(pair, lb2=machine(2, addresses=("10.1.0.77/24",)))
    found = between(pair, known, seen(pair, known, adverts=(Advert(**one),)))
    assert kinds(found) == ([expected] if expected else [])
    if found:
        assert found[0].hosts == ("lb1", "lb2")
        assert heard["source"] in found[0].what


def test_two_instances_of_the_site_are_no_strangers_to_each_other(tmp_path: Path) -> None:
    other = instances(virtual_router_id=52, addresses=["10.1.0.101/24"])["keepalived"]["instances"]["front"]
    back = {"keepalived": {"instances": {"back": other}}}
    four = site(tmp_path, {"lb1": instances(), "lb2": instances(), "db1": back, "db2": back})
    heard = Advert(nic="eth0", source="10.1.0.3", id=52, version=3, priority=150, addresses=("10.1.0.101",))
    known = exams(four)
    assert between(four, known, seen(four, known, adverts=(heard,))) == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [("open", ""), ("refused", ""), ("silent", "warning"), ("No route to host", "error")],
)
def test_peers_that_do_not_answer(pair: Site, word: str, expected: str) -> None:
    known = exams(pair)
    found = between(pair, known, seen(pair, known, reached=word))
    assert kinds(found) == ([f"unreachable-peer {expected}"] * 2 if expected else [])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"nics": (nic("ens3", addresses=("10.1.0.1/24",)),)}, "no-nic error"),
        ({"nics": (nic(up=False, addresses=("10.1.0.1/24",)),)}, "nic-down error"),
        ({"nics": (nic(addresses=("192.0.2.1/24",)),)}, "no-address warning"),
    ],
)
def test_nics_and_addresses_that_the_inventory_names(pair: Site, change: dict[str, Any], expected: str) -> None:
    found = between(pair, exams(pair, lb1=machine(1).model_copy(update=change)), {})
    assert kinds(found) == [expected]


def test_clocks_that_are_right_enough_alone_may_be_too_far_apart(pair: Site) -> None:
    known = exams(pair)
    known["lb1"].clock, known["lb2"].clock = Clock(0.9, 0.1, None), Clock(-0.9, 0.1, None)
    (found,) = between(pair, known, {})
    assert (found.kind, found.hosts) == ("clock", ("lb2", "lb1"))
    known["lb2"].clock = Clock(-5.0, 0.1, None)  # told of by itself
    assert between(pair, known, {}) == []
