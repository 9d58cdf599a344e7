from __future__ import annotations

from pathlib import Path

import pytest

from hakit.lab.qemu import freeze
from hakit.lab.qemu.command import AGENT, CPU, FIRST_SLOT, MONITOR, command
from hakit.lab.state import Place

FOLDER = Path("/var/lib/hakit-lab/0123abcd/hosts/db1")


def words(memory: int = 384, accelerator: str = "tcg", *, restore: bool = False) -> list[str]:
    return command(FOLDER, "db1", memory, accelerator, restore=restore)


def test_a_machine_has_one_processor_its_memory_and_starts_paused() -> None:
    made = words(512)
    assert made[made.index("-smp") + 1] == "1"
    assert made[made.index("-m") + 1] == "512"
    assert "-S" in made
    assert "-incoming" not in made
    assert words(restore=True)[-2:] == ["-incoming", "defer"]


def test_a_restored_machine_has_the_same_devices_as_the_frozen_one() -> None:
    assert words(restore=True)[:-2] == words(restore=False)


@pytest.mark.parametrize("accelerator", CPU)
def test_the_processor_suits_the_accelerator(accelerator: str) -> None:
    made = words(accelerator=accelerator)
    assert made[made.index("-accel") + 1].startswith(accelerator)
    assert made[made.index("-cpu") + 1] == CPU[accelerator]


def test_slots_of_nics_are_free() -> None:
    taken = [int(word.rsplit("addr=", 1)[1].partition(",")[0]) for word in words() if "addr=" in word]
    assert len(taken) == len(set(taken))
    assert max(taken) < FIRST_SLOT


def test_flushes_reach_the_disk() -> None:
    assert not [word for word in words() if "no-flush" in word or "cache=unsafe" in word]


def test_a_comma_in_a_path_ends_no_option() -> None:
    made = command(Path("/a,b"), "db1", 384, "tcg", restore=False)
    assert "unix:/a,,b/qmp,server=on,wait=off" in made


@pytest.mark.parametrize("socket", [MONITOR, AGENT])
def test_the_longest_host_name_leaves_room_for_a_socket(socket: str) -> None:
    # sun_path of unix(7) has 108 bytes with its final NUL.
    assert len(str(Place("0123abcd").host("h" * 63) / socket)) < 108


def test_what_is_frozen_under_other_conditions_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freeze, "version", lambda: "QEMU emulator version 7.2")
    keys = {freeze.key(memory, accelerator) for memory in (256, 384) for accelerator in ("kvm", "tcg")}
    monkeypatch.setattr(freeze, "version", lambda: "QEMU emulator version 10.0")
    assert len({*keys, freeze.key(384, "tcg")}) == 5
