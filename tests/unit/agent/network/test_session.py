"""What an agent makes of an armed change: whom it lets in, what a plan says, and what is missing before it is kept."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hakit.agent import process
from hakit.agent.client import Client
from hakit.agent.errors import Failure
from hakit.agent.handlers import handler
from hakit.agent.network import beginning, bringing, looking, tasks
from hakit.agent.network.answering import _checksum, _is_reply, answering, silent
from hakit.agent.network.live import Live, LiveLink
from hakit.agent.network.record import Record
from hakit.agent.resources.network import Network
from hakit.agent.tasks import Task
from tests.unit.agent.network.simulated import PROGRAMS, bonded_network, plain_network
from tests.unit.agent.network.test_transaction import begin, change, give_up, host_with

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.agent.answers import Holder
    from tests.unit.agent.agent_support import Agents
    from tests.unit.agent.network.simulated import Simulated

NETWORKD = "systemd-networkd"


@pytest.fixture
def host(memory: Path, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    monkeypatch.setattr(bringing, "SETTLED", 0.0)
    monkeypatch.setattr(process, "PATH", f"{memory}/root/bin:{process.PATH}")
    return host_with(memory / "root", plain_network(NETWORKD))


def lock_for(agents: Agents, run: str) -> Holder | None:
    client = Client.start(agents.channel, sudo=False)
    try:
        return client.hello(run=run, who="tests", lock=True, packages=[]).lock
    finally:
        client.close()


def test_only_the_run_of_an_armed_change_gets_the_lock(host: Simulated, agents: Agents) -> None:
    begin(host, bonded_network(NETWORKD))
    assert lock_for(agents, "r1") is None
    other = lock_for(agents, "r2")
    assert other is not None
    assert (other.who, other.run) == ("admin@desk", "r1")
    assert other.until.endswith("Z")
    assert f"settled by {other.until}" in other.text()
    assert lock_for(agents, "r1") is None  # the refused one has let it go
    give_up(host)
    assert lock_for(agents, "r2") is None


def test_who_only_looks_sees_whose_change_is_armed(host: Simulated, agents: Agents) -> None:
    begin(host, bonded_network(NETWORKD))
    client = Client.start(agents.channel, sudo=False)
    try:
        told = client.hello(run="", who="status", lock=False, packages=[]).lock
    finally:
        client.close()
    assert told is not None
    assert told.text() == f"admin@desk (run r1), whose change of the network is settled by {told.until}"


def test_a_network_that_left_the_inventory_stays(host: Simulated, agents: Agents) -> None:
    network = bonded_network(NETWORKD)
    found = begin(host, network)
    change(host)
    tasks.carry_out("confirm", network, {"id": found}, host)
    with agents.client() as client:
        (left,) = client.plan((), None)
        assert (left.status, left.summary) == ("remove", ("forget; the network stays as it is",))
        assert client.apply((), [left.key], lambda _: None).changed == 1
        assert client.plan((), None) == ()


def test_a_plan_tells_what_no_change_mends_and_how_the_last_one_ended(host: Simulated) -> None:
    told: list[str] = []
    host.say = told.append
    new = bonded_network(NETWORKD).replace(lacp=("bond0",))
    networks = handler("network")
    give_up_of(host, new)
    networks.diff(new, networks.read([new], host)[new.key], host)
    assert len(told) == 1
    assert told[0].startswith("the last change of the network was put back at ")
    assert told[0].endswith(": its time was over")
    told.clear()
    host.run(["ip", "link", "add", "name", "bond0", "type", "bond", "mode", "802.3ad"])
    networks.diff(new, networks.read([new], host)[new.key], host)
    assert told[0] == "bond0: no LACP partner answers"


def test_a_plan_tells_of_a_former_manager_that_the_boot_still_starts(host: Simulated) -> None:
    told: list[str] = []
    host.say = told.append
    network = plain_network(NETWORKD)

    def plan() -> list[str]:
        told.clear()
        handler("network").diff(network, handler("network").read([network], host)[network.key], host)
        return told

    assert plan() == []
    host.write("/etc/systemd/system/multi-user.target.wants/networking.service", "")
    assert plan() == [
        "networking.service starts at each boot and finds no /etc/network/interfaces: systemctl disable networking"
    ]
    host.write("/etc/network/interfaces", "auto lo\niface lo inet loopback\n")
    assert all("networking.service" not in line for line in plan())


def give_up_of(host: Simulated, network: Network) -> None:
    begin(host, network)
    change(host)
    give_up(host)


def test_a_beginning_lets_the_lock_go_for_who_comes_back(host: Simulated, agents: Agents) -> None:
    listed = json.dumps([{"ifname": name, "flags": ["UP"]} for name in ("eth0", "eth1")])
    for name in PROGRAMS:
        (host.folder / "bin" / name).write_text("#!/bin/sh\nexit 0\n")
    (host.folder / "bin/systemctl").write_text("#!/bin/sh\ncase $1 in show) echo 1000000 ;; esac\n")
    (host.folder / "bin/ip").write_text(f"#!/bin/sh\ncase $3 in address) echo '{listed}' ;; esac\n")
    with agents.client() as client:
        arguments = (("run", "r1"), ("who", "w"), ("library", json.dumps({"__main__.py": ""})))
        network = bonded_network(NETWORKD)
        found = client.task(Task(kind="network", do="begin", about=network, arguments=arguments))
        assert found["timeout"] == 60
        assert lock_for(agents, "r1") is None
        assert lock_for(agents, "r2") is not None
    armed = host.record.pending()
    assert armed is not None
    assert armed.id == found["id"]


def test_a_change_whose_return_is_long_overdue_lets_others_in(host: Simulated, agents: Agents) -> None:
    begin(host, bonded_network(NETWORKD))
    armed = host.record.pending()
    assert armed is not None
    host.record.arm(armed.replace(deadline=armed.deadline - 60 - 119))
    assert lock_for(agents, "r2") is not None
    host.record.arm(armed.replace(deadline=armed.deadline - 60 - 121))
    assert lock_for(agents, "r2") is None


def test_a_damaged_record_is_told_of(host: Simulated, agents: Agents) -> None:
    begin(host, bonded_network(NETWORKD))
    host.write("/var/lib/hakit/network/armed.json", "{")
    (host.folder / "var/lib/hakit/network/armed.json").chmod(0o600)
    with agents.client() as client:
        assert client.hello(run="r2", who="tests", lock=True, packages=[]).lock is None
    with pytest.raises(Failure, match=r"armed\.json is damaged"):
        handler("network").diff(plain_network(NETWORKD), Live(links=()), host)


def test_a_task_of_the_network_needs_the_lock_and_known_words(host: Simulated, agents: Agents) -> None:
    del host
    network = plain_network(NETWORKD)
    with agents.client() as client:
        for do, arguments, why in (
            ("fly", (), "no verb 'fly'"),
            ("begin", (), "needs run, needs who, needs library"),
            ("confirm", (("id", "x"), ("more", "y")), "knows no more"),
            ("giveup", (("id", "x"),), "no change x"),
            ("begin", (("run", "r"), ("who", "w"), ("library", "{}")), "did not arrive"),
            ("begin", (("run", "r"), ("who", "w"), ("library", "{"), ("timeout", "1")), "from 5 to 3600"),
            ("begin", (("run", "r"), ("who", "w"), ("library", "{"), ("timeout", "soon")), "no number"),
        ):
            with pytest.raises(Failure, match=why):
                client.task(Task(kind="network", do=do, about=network, arguments=arguments))


@pytest.mark.parametrize(
    ("change_of", "why"),
    [
        ({"manager": "NetworkManager"}, "NetworkManager has in its hands"),
        ({"before": "connman"}, "connman has in its hands"),
        ({"links": (*plain_network(NETWORKD).links, *bonded_network("ifupdown").links[:0])}, ""),
    ],
)
def test_a_network_that_can_not_be_is_refused_before_anything(
    host: Simulated, change_of: dict[str, object], why: str
) -> None:
    network = plain_network(NETWORKD).replace(**change_of)
    if not why:
        begin(host, network)
        return
    with pytest.raises(Failure, match=why):
        begin(host, network)
    assert host.get("asked") == []


def test_a_nic_that_is_not_there_is_refused(host: Simulated) -> None:
    network = plain_network(NETWORKD)
    links = (*network.links, network.links[0].replace(name="eth9", nic="mac:52:54:00:00:00:99", addresses=()))
    with pytest.raises(Failure, match=r"no such NIC: eth9 \(mac:52:54:00:00:00:99\)"):
        begin(host, network.replace(links=links))
    assert host.record.armed() is None


def test_a_plan_tells_of_the_kernel_and_of_files(host: Simulated) -> None:
    host.write("/etc/systemd/network/99-mine.network", "[Match]\n")
    new = bonded_network(NETWORKD)
    networks = handler("network")
    state = networks.read([new], host)[new.key]
    found = networks.diff(new, state, host)
    assert found.summary == (
        "eth0: becomes a member of bond0",
        "eth1: becomes a member of bond0",
        "bond0: new bond, active-backup",
        "eth0: address 10.0.0.5/24 goes to bond0",
        "default route: via 10.0.0.1 (eth0) → via 10.0.0.1 (bond0)",
        "write /etc/systemd/network/10-hakit.network",
        "put /etc/systemd/network/99-mine.network aside",
    )
    assert found.impact == "disruptive"
    assert [one.path for one in found.files] == [
        "/etc/systemd/network/10-hakit.network",
        "/etc/systemd/network/99-mine.network",
    ]
    with pytest.raises(Failure, match="its own transaction"):
        networks.apply(new, found, host)
    (host.folder / "etc/systemd/network/99-mine.network").unlink()
    same = plain_network(NETWORKD)
    assert networks.diff(same, state, host).summary == ()
    assert networks.leftover("network:network", {}, host).summary == ("forget; the network stays as it is",)
    begin(host, new)
    with pytest.raises(Failure, match=r"admin@desk \(run r1, .* waits for its confirmation"):
        networks.diff(new, state, host)


def test_who_answered_before_must_answer_afterwards(host: Simulated, monkeypatch: pytest.MonkeyPatch) -> None:
    new = bonded_network(NETWORKD).replace(peers=("10.0.0.7",), mates=("10.0.0.7", "10.0.0.8", "10.0.0.9"))
    monkeypatch.setattr(beginning, "answering", lambda asked, _: tuple(one for one in asked if one != "10.0.0.8"))
    found = begin(host, new)
    change(host)
    told = looking.check(new, {"id": found}, host, 60.0, lambda network, _: network.peers)
    assert told["missing"] == ["10.0.0.7", "10.0.0.9"]


def test_what_is_missing_is_told_before_a_change_is_kept(host: Simulated) -> None:
    new = bonded_network(NETWORKD)
    found = begin(host, new)
    asked = {"id": found}
    assert looking.check(new, asked, host, 60.0)["missing"] == ["the change is still under way"]
    change(host)
    busy = Record(host.record.folder, host.root)
    busy.hold(0.0)
    assert looking.check(new, asked, host, 60.0)["missing"] == ["the change is still under way"]
    busy.let_go()
    told = looking.check(new, asked, host, 60.0, lambda *_: ("the gateway 10.0.0.1 does not answer",))
    assert told["missing"] == ["the gateway 10.0.0.1 does not answer"]
    assert 0 < told["left"] <= 60
    host.run(["ip", "link", "set", "dev", "eth1", "nomaster"])
    assert looking.check(new, asked, host, 60.0, lambda *_: ())["missing"] == ["eth1: becomes a member of bond0"]
    assert looking.check(new, {"id": "other"}, host, 60.0)["missing"] == [
        "the old network is back: no such change is armed"
    ]
    json.dumps(told)


LIVE = Live(
    links=(
        LiveLink(name="bond0", addresses=("10.0.0.5/24", "10.0.0.100/32", "fd00::5/64")),
        LiveLink(name="bond0.20", given=("10.20.0.7/16",)),
    )
)


@pytest.mark.parametrize(
    ("gateways", "peers", "neighbours", "far"),
    [
        pytest.param(("10.0.0.1",), (), [("bond0", "10.0.0.1")], [], id="on the link"),
        pytest.param(("fe80::1%bond0.20",), (), [("bond0.20", "fe80::1")], [], id="by a link-local address"),
        pytest.param((), ("10.20.9.9", "fd00::9"), [("bond0.20", "10.20.9.9"), ("bond0", "fd00::9")], [], id="peers"),
        pytest.param((), ("192.0.2.1",), [], ["192.0.2.1"], id="behind a router"),
        pytest.param((), ("10.0.0.100",), [], [], id="an address of this host answers"),
    ],
)
def test_neighbours_are_asked_on_their_link_and_others_by_icmp(
    gateways: tuple[str, ...], peers: tuple[str, ...], neighbours: list[tuple[str, str]], far: list[str]
) -> None:
    network = Network(manager="ifupdown", files=(), links=(), gateways=gateways, peers=peers)
    asked: list[tuple[str, str]] = []
    away: list[str] = []

    def near(one: list[tuple[str, str]]) -> set[str]:
        asked.extend(one)
        return set()

    def behind(one: list[str]) -> set[str]:
        away.extend(one)
        return set()

    told = silent(network, LIVE, near, behind)
    assert answering((*gateways, *peers), LIVE, lambda _: set(), lambda _: set()) == (
        () if told else (*gateways, *peers)
    )
    assert (asked, away) == (neighbours, far)
    assert len(told) == len(neighbours) + len(far)
    assert all(line.endswith("does not answer") for line in told)
    assert silent(network, LIVE, lambda one: {address for _, address in one}, set) == ()


def test_an_echo_has_its_checksum_and_knows_its_reply() -> None:
    packet = bytes.fromhex("0800000012340001") + b"abcdefgh"
    total = _checksum(packet)
    assert _checksum(packet[:2] + total.to_bytes(2, "big") + packet[4:]) == 0
    head = bytes([0x45]) + bytes(19)
    assert _is_reply(head + bytes(8) + b"abcdefgh", b"abcdefgh", six=False)
    assert not _is_reply(head + packet, b"abcdefgh", six=False)
    assert not _is_reply(head + bytes(8) + b"another!", b"abcdefgh", six=False)
    assert _is_reply(bytes([129]) + bytes(7) + b"abcdefgh", b"abcdefgh", six=True)
