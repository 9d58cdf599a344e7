from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.lab import state
from hakit.lab.namespace import IFNAMSIZ, cable
from hakit.lab.plan import HostPlan, LabPlan, Nic
from hakit.lab.state import Place, Record, boot_id, is_up, locked, read_record

if TYPE_CHECKING:
    from pathlib import Path

HOST = HostPlan("lb1", "10.77.0.11", "root", 22, (Nic("eth0", "10.77.0.11/24"),), 12)
PLAN = LabPlan("/site/hosts.yml", "10.77.0.0/24", "10.77.0.1/24", "nspawn", (), (HOST,))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(state, "LABS", tmp_path / "labs")
    monkeypatch.setattr(state, "NAMESPACES", tmp_path / "netns")
    made = Place(PLAN.id)
    made.folder.mkdir(parents=True)
    made.namespace_file.parent.mkdir()
    made.namespace_file.touch()
    return made


@pytest.fixture
def record() -> Record:
    return Record(PLAN, boot_id(), (0, 0), complete=True)


def test_a_record_is_read_as_it_was_written(place: Place, record: Record) -> None:
    assert read_record(place) is None
    record.write(place)
    assert read_record(place) == record
    assert is_up(place)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"plan": {}}', b"\xff", b'{"plan": 1, "owner": [1]}'])
def test_a_damaged_record_is_no_record(place: Place, damage: bytes) -> None:
    place.record.write_bytes(damage)
    assert read_record(place) is None
    assert not is_up(place)


def test_a_lab_is_down_after_a_restart_of_the_machine(place: Place, record: Record) -> None:
    replace(record, boot="another").write(place)
    assert not is_up(place)


def test_a_lab_is_down_until_up_has_ended(place: Place, record: Record) -> None:
    replace(record, complete=False).write(place)
    assert not is_up(place)


def test_a_lab_without_its_network_is_down(place: Place, record: Record) -> None:
    record.write(place)
    place.namespace_file.unlink()
    assert not is_up(place)


def test_who_comes_second_waits_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "lab"
    said: list[str] = []
    order: list[str] = []
    waits = threading.Event()

    def second() -> None:
        def progress(text: str) -> None:
            said.append(text)
            waits.set()

        with locked(folder, "another command", progress):
            order.append("second")

    with locked(folder, "nobody", said.append):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(5)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]
    assert said == ["waiting: another command"]


def test_a_lock_on_a_folder_that_was_removed_meanwhile_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    waits = threading.Event()
    held: list[bool] = []

    def second() -> None:
        with locked(folder, "another command", lambda _: waits.set()):
            held.append(folder.is_dir())

    with locked(folder, "nobody", lambda _: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(5)
        folder.rmdir()
    thread.join(5)
    assert held == [True]


names = st.text("abcdefghijklmnopqrstuvwxyz0123456789-.", min_size=1, max_size=63)


@given(names, names)
def test_a_cables_name_is_one_that_linux_takes(host: str, nic: str) -> None:
    name = cable(host, nic)
    assert 0 < len(name.encode()) < IFNAMSIZ
    assert not {"/", ":", " "} & set(name)


def test_cables_of_long_names_differ() -> None:
    assert cable("lb1", "eth0") == "lb1-eth0"
    long = "balancer-in-the-second-rack"
    assert len({cable(long, "eth0"), cable(long, "eth1"), cable(long + "s", "eth0")}) == 3
