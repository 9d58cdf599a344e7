"""Arbitrary settings are refused with their place, or what comes of them is what mdadm and systemd read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from hakit.agent.resources.raid import Array, Filesystem, Mount
from hakit.components.base import Facts
from hakit.components.raid.settings import RaidSettings
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from tests.unit.components.arbitrary import DURATIONS, VOCABULARY, WORDS, Arbitrary
from tests.unit.components.random_sites import COMPONENTS, sound

if TYPE_CHECKING:
    from hakit.engine.compile import HostResources

SEED = int(os.environ.get("HAKIT_SEED", "20"))
BOUNDED = settings(
    deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck), max_examples=30
)
SERIALS = st.sampled_from(
    ["A1", "B2", "C3", "D4", "E5", "F6", "s" * 128, "a:b", "x/y", "$(id)", "ü", "", "/dev/sda", "#"]
)
VOCABULARY |= {
    "a disk: /dev/disk/by-id/NAME, serial:SERIAL or wwn:0xNUMBER": st.one_of(
        SERIALS.map("serial:{}".format),
        SERIALS.map("/dev/disk/by-id/ata-X_{}".format),
        st.sampled_from(["wwn:0x5000c500a1b2c3d1", "wwn:0x5000C500A1B2C3D1", "wwn:1", "/dev/sda", "sda", "missing"]),
        st.sampled_from(["/dev/disk/by-id/ata-X_1-part1", "/dev/disk/by-id/ata-X_1", "/dev/disk/by-id/md-uuid-1"]),
    ),
    "an array's name": st.sampled_from(
        ["data", "logs", "a", "x" * 31, "x" * 28, "md127", "data_0", "d-1", "A_b", "0", "raid", "md-x", "ü"]
    ),
    "a disk's serial number": SERIALS,
    "a chunk such as 64KiB or 512KiB": st.sampled_from(
        ["64KiB", "512KiB", "1MiB", "3KiB", "4KiB", "96KiB", "999999MiB"]
    ),
    "a time such as Sun *-*-1..7 01:00": st.sampled_from(
        ["Sun *-*-1..7 01:00", "daily", "*-*-* 03:00:00", "Sat,Sun 1:00", "x\ny", "", "   ", "@", "Sun"]
    ),
    "a name for LVM": st.sampled_from(["vg", "vg-1", "a.b", ".", "..", "-x", "v" * 63, "v" * 64, "data", "a+b"]),
    "a volume's name": st.sampled_from(["v", "w-1", "snapshot1", "pvmove", "x_tdata", "v" * 63, "rest", "_"]),
    "a size such as 512MiB, 20GiB": st.sampled_from(["1MiB", "512MiB", "20GiB", "1TiB", "999999TiB", "0GiB", "5"]),
}
DISKS = st.permutations([f"serial:{one}" for one in "ABCDEFGHIJ"])
FIELDS: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("Array", "devices"): st.one_of(
        st.lists(VOCABULARY["a disk: /dev/disk/by-id/NAME, serial:SERIAL or wwn:0xNUMBER"], max_size=4),
        st.tuples(DISKS, st.sampled_from([1, 2, 3, 4, 4, 6])).map(lambda drawn: drawn[0][: drawn[1]]),
    ),
    ("Scrub", "window"): DURATIONS,
    ("Timeouts", "disk"): DURATIONS,
    ("Timeouts", "kernel"): DURATIONS,
    **{
        (model, "mount"): st.sampled_from(
            ["/srv/a", "/srv/b", "/srv/a/b", "/srv/é-x.y", "/srv/c_1", "/srv/d", "/", "/var", "/srv/a b"]
        )
        for model in ("Array", "Volume")
    },
    **{
        (model, "options"): st.lists(st.one_of(st.sampled_from(["nodev", "nosuid", "noauto"]), WORDS), max_size=2)
        for model in ("Array", "Volume")
    },
    **{
        (model, "mkfs"): st.lists(st.one_of(st.sampled_from(["-m", "0", "-F", "-f"]), WORDS), max_size=2)
        for model in ("Array", "Volume")
    },
}
STRATEGY = Arbitrary(FIELDS).settings(RaidSettings)


@st.composite
def inventories(draw: st.DrawFn) -> dict[str, Any]:
    """An inventory of a host with arrays."""
    raid = draw(STRATEGY)
    for array in raid.get("arrays", {}).values():
        # Often enough there is something to mount: nothing else would ever be rendered.
        if draw(st.integers(0, 2)):
            array.pop("lvm", None)
            array["filesystem"] = draw(st.sampled_from(["ext4", "xfs"]))
            array["mount"] = draw(FIELDS["Array", "mount"])
        for volume in array.get("lvm", {}).get("volumes", {}).values():
            volume["filesystem"] = "ext4"
    return {"all": {"hosts": {"a": {"ansible_host": "10.77.0.11", "hakit": {"raid": raid}}}, "children": {}}}


def run(*argv: str) -> str:
    env = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=env).stderr


def hold(found: HostResources, folder: Path) -> None:
    """What hakit means is what mdadm and systemd read."""
    arrays = [one for one in found.resources.values() if isinstance(one, Array)]
    assert len({one.uuid for one in arrays}) == len(arrays)
    made = [one for one in found.resources.values() if isinstance(one, Filesystem)]
    assert len({one.uuid for one in made}) == len(made)
    for one in arrays:
        assert "files:/etc/mdadm/mdadm.conf" in one.after
        assert re.fullmatch(r"(?:[0-9a-f]{8}:){3}[0-9a-f]{8}", one.uuid)
    if arrays and shutil.which("mdadm", path="/sbin:/usr/sbin"):
        conf = folder / "mdadm.conf"
        conf.write_text(found.contents()["/etc/mdadm/mdadm.conf"].reveal(), encoding="utf-8")
        told = run("mdadm", "--assemble", f"--config={conf}", "/dev/md/hakit-none").strip()
        assert told == "mdadm: /dev/md/hakit-none not identified in config file."
    mounts = [one for one in found.resources.values() if isinstance(one, Mount)]
    units = folder / "units"
    units.mkdir()
    for mount in mounts:
        (units / mount.unit).write_text(mount.file.content.reveal(), encoding="utf-8")
    if mounts:
        told = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *map(str, units.iterdir()))
        assert [line for line in told.splitlines() if str(units) in line or ".mount" in line] == []
    for path, content in found.contents().items():
        assert "None" not in content.reveal(), path


def accepted(folder: Path, inventory: dict[str, Any]) -> None:
    left, site = sound(inventory, folder)
    if "raid" in left["all"]["hosts"]["a"].get("hakit", {}):
        for release in (12, 13):
            below = folder / str(release)
            below.mkdir()
            hold(declare(site, COMPONENTS, site.hosts["a"], Facts(release=release), Templates(site)), below)


@seed(SEED)
@BOUNDED
@given(inventory=inventories())
def test_arbitrary_settings_are_refused_with_their_place_or_read_as_they_are_meant(inventory: dict[str, Any]) -> None:
    note(f"HAKIT_SEED={SEED} {json.dumps(inventory)}")
    with tempfile.TemporaryDirectory() as folder:
        accepted(Path(folder), inventory)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(BOUNDED, max_examples=int(os.environ.get("HAKIT_EXAMPLES", "300")))
@given(inventory=inventories())
def test_arbitrary_settings_by_the_hundred(inventory: dict[str, Any]) -> None:
    note(json.dumps(inventory))
    with tempfile.TemporaryDirectory() as folder:
        accepted(Path(folder), inventory)
