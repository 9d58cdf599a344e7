"""How an array is told, from what sysfs says in each of its states (as seen on Linux 6.1)."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent.probes import Probe
from hakit.agent.probing import evaluate
from hakit.agent.raid import intent as intents
from hakit.agent.raid.status import duration, status
from hakit.agent.raid.tasks import carry_out
from tests.unit.agent.raid.host import SIZE, Host, array
from tests.unit.agent.raid.images import UUID_TEXT, member, run
from tests.unit.agent.raid.test_array import apply

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def made(host: Host) -> Host:
    apply(host, array())
    (host.root / "etc/mdadm").mkdir(parents=True)
    (host.root / "etc/mdadm/mdadm.conf").write_text(f"ARRAY /dev/md/data UUID={UUID_TEXT}\n")
    return host


def gone(host: Host) -> None:
    shutil.rmtree(host.root / "sys/devices/md127/md/dev-sdb")
    host.says(degraded=1)


STATES: list[tuple[str, Callable[[Host], object], bool, str]] = [
    ("idle", lambda _host: None, True, "clean"),
    (
        "first resync",
        lambda host: host.says(sync_action="resync", sync_completed="1000 / 4000", sync_speed=20),
        True,
        "resync, 25 %, 1 min left",
    ),
    ("check", lambda host: host.says(sync_action="check", sync_completed="2 / 4", sync_speed=0), True, "check, 50 %"),
    ("pulled", gone, False, "degraded, 1 of 2 members in place"),
    (
        "failed member",
        lambda host: host.says(dev_sdb__state="faulty", degraded=1),
        False,
        "degraded, 1 of 2 members in place",
    ),
    (
        "rebuild",
        lambda host: host.says(
            sync_action="recover", degraded=1, dev_sdb__state="spare", sync_completed="43 / 100", sync_speed=1
        ),
        False,
        "rebuilding, 1 of 2 members in place, 43 %, 28 s left",
    ),
    (
        "rebuild that waits",
        lambda host: host.says(degraded=1, dev_sdb__state="spare"),
        False,
        "rebuilding, 1 of 2 members in place",
    ),
    (
        "reshape",
        lambda host: host.says(sync_action="reshape", sync_completed="1 / 2", sync_speed="none"),
        False,
        "reshaping, 2 of 2 members in place, 50 %",
    ),
    ("stopped", lambda host: host.says(array_state="inactive"), False, "failed, it does not run"),
    (
        "all gone",
        lambda host: host.says(dev_sda__state="faulty", dev_sdb__state="faulty", degraded=2),
        False,
        "failed, 0 of 2 members in place",
    ),
    ("differences", lambda host: host.says(mismatch_cnt=128), True, "clean, 128 sectors differed at the last check"),
]


@pytest.mark.parametrize(("change", "ok", "words"), [one[1:] for one in STATES], ids=[one[0] for one in STATES])
def test_a_state_is_said(host: Host, change: Callable[[Host], object], ok: object, words: str) -> None:
    change(host)
    answer = evaluate(Probe(kind="array", target="data"), host.work)
    assert (answer["ok"], answer["detail"]) == (ok, words)
    told = carry_out("status", array(), {}, host.work)
    assert told["text"] == words
    assert told["state"] == words.partition(",")[0]


@pytest.mark.parametrize("name", ["data", "other"])
def test_an_array_that_is_not_there_is_absent(host: Host, name: str) -> None:
    host.boot()
    answer = evaluate(Probe(kind="array", target=name), host.work)
    assert (answer["ok"], answer["detail"].partition(",")[0]) == (False, "absent")


def test_the_first_build_of_parity_is_no_rebuild(host: Host) -> None:
    intents.write(intents.Intent(array="data", uuid=UUID_TEXT, stage=intents.BUILT, building=True), host.work)
    host.says(sync_action="recover", degraded=1, dev_sdb__state="spare")
    assert evaluate(Probe(kind="array", target="data"), host.work)["detail"].startswith("resync")


def test_members_are_told_by_serial_and_slot(host: Host) -> None:
    told = status(array(), host.work)
    assert [(one["serial"], one["word"], one["slot"], one["state"], one["now"]) for one in told["members"]] == [
        ("A", "serial:A", 0, "in_sync", "sda"),
        ("B", "serial:B", 1, "in_sync", "sdb"),
    ]
    assert told["others"] == []
    assert (told["device"], told["uuid"], told["level"], told["devices"]) == ("/dev/md/data", UUID_TEXT, "1", 2)
    assert told["size"] == SIZE // 2


def test_a_slot_without_a_member_and_a_disk_that_waits_are_told(host: Host) -> None:
    gone(host)
    host.add("sdc", "C")
    run("mkfs.ext4", "-q", host.add("sdd", "D"))
    one = array(devices=("serial:A", "serial:C", "serial:D", "serial:E"))
    told = status(one, host.work)
    assert [(item["slot"], item["state"]) for item in told["members"]] == [(0, "in_sync"), (1, "missing")]
    others: dict[str, Any] = {item["word"]: (item["state"], item["why"]) for item in told["others"]}
    assert others == {
        "serial:C": ("empty", ""),
        "serial:D": ("refused", "ext2, ext3 or ext4 at the beginning"),
        "serial:E": ("absent", "there is no disk serial:E"),
    }


def test_a_member_that_was_kicked_out_is_told_with_what_it_bears(host: Host) -> None:
    gone(host)
    member(host.path("sdb"), slot=1, events=1)
    (other,) = status(array(), host.work)["others"]
    assert other["state"] == "refused"
    assert f"a member of the array alpha:data {UUID_TEXT}" in other["why"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 s"), (65, "1 min"), (600, "10 min"), (3700, "1 h 1 min"), (90000, "1 d 1 h")],
)
def test_durations_are_said_for_people(seconds: int, words: str) -> None:
    assert duration(seconds) == words
