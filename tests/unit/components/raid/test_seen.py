"""What is known of a host's disks decides which array is meant, what is kept, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent.resources.raid import Array, Filesystem, Mount
from hakit.components.base import Facts
from hakit.components.storage import SeenArray, SeenDisk, SeenMember, SeenStorage, SeenVolume
from hakit.components.templates import Templates
from hakit.engine import facts as engine_facts
from hakit.engine.compile import declare
from hakit.errors import RefusedError
from hakit.lint import findings
from tests.unit.components.sites import COMPONENTS, site

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.agent.resources.base import Resource
    from hakit.inventory.model import Site

OLD, OTHER = "aaaaaaaa:bbbbbbbb:cccccccc:dddddddd", "11111111:22222222:33333333:44444444"
DATA: dict[str, Any] = {"level": 1, "devices": ["serial:A1", "serial:B2"], "filesystem": "xfs", "mount": "/srv/pg"}
GIB = 1 << 30


def disk(serial: str, *members: SeenMember, size: int = 4 * GIB, bus: str = "ata") -> SeenDisk:
    return SeenDisk(serial, f"0x5000c500{serial:>08}", (f"ata-DISK_{serial}",), size, bus, members=members)


def member(uuid: str = OLD, name: str = "a:data") -> SeenMember:
    return SeenMember(uuid, name, "1", "0", "1.2")


def facts(*disks: SeenDisk, live: bool = True, **others: Any) -> Facts:
    return Facts(storage=SeenStorage(disks or (disk("A1"), disk("B2")), **others), live=live)


def a_site(folder: Path, **array: Any) -> Site:
    return site(folder, {"a": {"raid": {"arrays": {"data": {**DATA, **array}}}}})


def declared(site: Site, facts: Facts, *, wipe: frozenset[str] = frozenset()) -> dict[str, Resource]:
    return dict(declare(site, COMPONENTS, site.hosts["a"], facts, Templates(site), wipe=wipe).resources)


def array(found: dict[str, Resource], name: str = "data") -> Array:
    one = found[f"array:{name}"]
    assert isinstance(one, Array)
    return one


def conf(site: Site, facts: Facts) -> list[str]:
    known = declare(site, COMPONENTS, site.hosts["a"], facts, Templates(site))
    lines = known.contents()["/etc/mdadm/mdadm.conf"].reveal().splitlines()
    return [line for line in lines if line.startswith("ARRAY")]


def test_a_new_array_has_the_same_uuid_each_time_and_another_one_on_other_disks(tmp_path: Path) -> None:
    one = a_site(tmp_path)
    uuid = array(declared(one, Facts())).uuid
    assert uuid == array(declared(one, facts())).uuid
    assert [len(part) for part in uuid.split(":")] == [8] * 4
    assert uuid != array(declared(a_site(tmp_path, devices=["serial:A1", "serial:C3"]), Facts())).uuid
    assert uuid not in (OLD, OTHER)


def test_one_that_is_there_keeps_its_uuid_though_a_disk_was_replaced(tmp_path: Path) -> None:
    one = a_site(tmp_path, devices=["serial:A1", "serial:NEW"])
    assert array(declared(one, facts(disk("A1", member()), disk("NEW")))).uuid == OLD


def test_superblocks_of_others_are_no_array_of_ours(tmp_path: Path) -> None:
    one = a_site(tmp_path)
    known = facts(disk("A1", member(name="b:data")), disk("B2", member(OTHER, "a:logs")))
    assert array(declared(one, known)).uuid == array(declared(one, Facts())).uuid


def test_an_array_is_adopted_by_what_its_disks_say(tmp_path: Path) -> None:
    one = a_site(tmp_path, adopt=True)
    found = array(declared(one, facts(disk("A1", member(name="old:md0")), disk("B2", member(name="old:md0")))))
    assert (found.uuid, found.adopt) == (OLD, True)
    nothing = array(declared(one, facts()))
    assert (nothing.uuid, nothing.adopt) == (array(declared(one, Facts())).uuid, True)


def test_of_several_that_could_be_meant_it_is_the_one_that_runs(tmp_path: Path) -> None:
    one = a_site(tmp_path)
    disks = (disk("A1", member()), disk("B2", member(OTHER)))
    assert array(declared(one, facts(*disks))).uuid == OLD
    assert array(declared(one, facts(*disks, arrays=(SeenArray(OTHER, "a:data", "data"),)))).uuid == OTHER


def test_two_declared_arrays_that_are_one_are_refused(tmp_path: Path) -> None:
    mine = {"data": {**DATA, "adopt": True}, "logs": {"level": 1, "devices": ["serial:C3", "serial:D4"], "adopt": True}}
    one = site(tmp_path, {"a": {"raid": {"arrays": mine}}})
    with pytest.raises(RefusedError, match="data and logs are one array"):
        declared(one, facts(*(disk(serial, member()) for serial in ("A1", "B2", "C3", "D4"))))


def test_a_disk_is_found_by_any_of_its_words(tmp_path: Path) -> None:
    for word in ("/dev/disk/by-id/ata-DISK_A1", "serial:A1"):
        known = facts(disk("A1", member()), disk("B2"))
        assert array(declared(a_site(tmp_path, devices=[word, "serial:B2"]), known)).uuid == OLD
    named = SeenDisk("B2", "0x5000c500a1b2c3d1", (), GIB, "ata", members=(member(),))
    known = facts(disk("A1"), named)
    assert array(declared(a_site(tmp_path, devices=["serial:A1", "wwn:0x5000C500A1B2C3D1"]), known)).uuid == OLD


def test_a_file_system_that_is_there_is_mounted_by_its_own_uuid(tmp_path: Path) -> None:
    one = a_site(tmp_path)
    new = declared(one, facts())["filesystem:/dev/md/data"]
    running = SeenArray(OLD, "a:data", "data", filesystem="xfs", filesystem_uuid="0000-1")
    disks = (disk("A1", member()), disk("B2", member()))
    found = declared(one, facts(*disks, arrays=(running,)))
    there, mount = found["filesystem:/dev/md/data"], found["mount:/srv/pg"]
    assert isinstance(new, Filesystem)
    assert isinstance(there, Filesystem)
    assert isinstance(mount, Mount)
    assert (there.uuid, mount.uuid, there.array) == ("0000-1", "0000-1", OLD)
    assert "What=/dev/disk/by-uuid/0000-1\n" in mount.file.content.reveal()
    # One of another kind is not taken for ours: the host refuses it.
    other = SeenArray(OLD, "a:data", "data", filesystem="ext4", filesystem_uuid="0000-1")
    kept = declared(one, facts(*disks, arrays=(other,)))["filesystem:/dev/md/data"]
    assert isinstance(kept, Filesystem)
    assert kept.uuid not in ("0000-1", new.uuid)


def test_a_volume_that_is_there_keeps_its_file_system(tmp_path: Path) -> None:
    lvm = {"group": "vg", "volumes": {"pg": {"filesystem": "ext4", "mount": "/srv/pg"}}}
    one = site(tmp_path, {"a": {"raid": {"arrays": {"data": {"level": 1, "devices": DATA["devices"], "lvm": lvm}}}}})
    found = declared(one, facts(volumes=(SeenVolume("vg", "pg", "ext4", "0000-2"),)))["filesystem:/dev/vg/pg"]
    assert isinstance(found, Filesystem)
    assert found.uuid == "0000-2"


def test_lines_of_arrays_of_others_are_kept_and_those_that_run_get_one(tmp_path: Path) -> None:
    one = a_site(tmp_path)
    lines = (
        f"ARRAY /dev/md/root metadata=1.2 UUID={OTHER} name=a:root",
        f"array data level=raid1 uuid={OLD.replace(':', '')}",
    )
    arrays = (
        SeenArray(OTHER, "a:root", "root"),
        SeenArray("9" * 8 + ":0" * 3, "a:swap", "swap"),
        SeenArray("8" * 8 + ":0" * 3, "x:stranger", "x:stranger"),
    )
    own = array(declared(one, Facts())).uuid
    # The second line was of an array called data that no disk bears any more.
    assert conf(one, facts(lines=lines, arrays=arrays)) == [
        f"ARRAY /dev/md/data UUID={own}",
        lines[0],
        f"ARRAY /dev/md/swap UUID={arrays[1].uuid}",
    ]
    assert conf(one, facts(disk("A1", member()), disk("B2"), lines=lines[1:])) == [f"ARRAY /dev/md/data UUID={OLD}"]


def test_another_array_of_the_same_name_has_no_line_beside_ours(tmp_path: Path) -> None:
    one = a_site(tmp_path)
    ours = f"ARRAY /dev/md/data UUID={array(declared(one, Facts())).uuid}"
    assert conf(one, facts(arrays=(SeenArray(OTHER, "x:data", "data"),))) == [ours]
    line = f"ARRAY /dev/md/data UUID={OTHER}"
    assert conf(one, facts(disk("A1"), disk("B2"), disk("C3", member(OTHER)), lines=(line,))) == [ours]


@pytest.mark.parametrize(("buses", "told"), [(("virtio", "nvme"), False), (("virtio", "ata"), True)])
def test_timeouts_are_for_hosts_with_disks_that_have_some(tmp_path: Path, buses: tuple[str, str], told: bool) -> None:
    known = facts(disk("A1", bus=buses[0]), disk("B2", bus=buses[1]))
    assert ("package:smartmontools" in declared(a_site(tmp_path), known)) == told
    assert "package:smartmontools" in declared(a_site(tmp_path), Facts())


def test_what_the_command_line_confirms_reaches_the_array(tmp_path: Path) -> None:
    one = site(tmp_path, {"a": {"raid": {"arrays": {"data": DATA}, "wipe": ["A1", "B2"]}}})
    found = array(declared(one, facts(), wipe=frozenset({"A1"})))
    assert (found.wipe, found.confirmed) == (("A1", "B2"), ("A1",))


def test_lint_knows_the_disks_that_were_seen(tmp_path: Path) -> None:
    one = a_site(tmp_path, devices=["serial:A1", "/dev/disk/by-id/ata-DISK_A1"])
    told = [problem.message for problem in findings(one, COMPONENTS, {"a": facts()})]
    assert any("(serial:A1 is the same disk)" in message for message in told)
    small = {"a": facts(disk("A1"), disk("B2", size=3 * GIB))}
    rules = [problem.rule for problem in findings(a_site(tmp_path), COMPONENTS, small)]
    assert "RD013" in rules
    assert "RD013" not in [problem.rule for problem in findings(a_site(tmp_path, size="2GiB"), COMPONENTS, small)]


def test_lint_tells_of_copied_disks(tmp_path: Path) -> None:
    adopted = {"raid": {"arrays": {"data": {**DATA, "adopt": True}}}}
    one = site(tmp_path, {"a": adopted, "b": adopted})
    known = {name: facts(disk("A1", member()), disk("B2", member())) for name in ("a", "b")}
    told = [problem for problem in findings(one, COMPONENTS, known) if problem.rule == "RD013"]
    assert [f"the same UUID, {OLD}" in problem.message for problem in told] == [True]


def test_what_was_seen_is_remembered(tmp_path: Path) -> None:
    one = a_site(tmp_path)
    volumes = (SeenVolume("vg", "pg", "ext4", "0000-2"),)
    known = facts(disk("A1", member()), arrays=(SeenArray(OLD, degraded=1),), lines=("ARRAY x",), volumes=volumes)
    engine_facts.remember(one, [("a", known)])
    assert engine_facts.recorded(one)["a"].storage == known.storage
    record = one.root / ".hakit/facts/a.json"
    told = json.loads(record.read_text())
    told["storage"]["disks"] = "nonsense"
    record.write_text(json.dumps(told))
    assert "a" not in engine_facts.recorded(one)


def test_nothing_is_declared_where_no_array_is(tmp_path: Path) -> None:
    assert not declared(site(tmp_path, {"a": {"raid": {}}}), facts())


def test_what_is_below_a_mount_comes_after_it(tmp_path: Path) -> None:
    system = {
        "packages": ["mdadm", "rsync"],
        "directories": {"/srv/pg/main": {}, "/srv/pgx": {}},
        "files": {"/srv/pg/main/x": {"content": "x\n"}},
    }
    one = site(tmp_path, {"a": {"raid": {"arrays": {"data": DATA}}, "system": system}})
    keys = list(declared(one, facts()))
    mounted = keys.index("mount:/srv/pg")
    for key in ("directory:/srv/pg/main", "files:/srv/pg/main/x", "package:rsync"):
        assert keys.index(key) > mounted
    for key in ("package:mdadm", "package:xfsprogs", "array:data", "initramfs:/etc/mdadm/mdadm.conf"):
        assert keys.index(key) < mounted
    assert keys.index("files:/etc/mdadm/mdadm.conf") < keys.index("initramfs:/etc/mdadm/mdadm.conf")
    assert keys.index("initramfs:/etc/mdadm/mdadm.conf") < keys.index("array:data")
    found = declared(one, facts())
    assert "mount:/srv/pg" in found["directory:/srv/pg/main"].after
    assert "mount:/srv/pg" in found["files:/srv/pg/main/x"].after
    assert "mount:/srv/pg" not in found["directory:/srv/pgx"].after


def test_a_mount_on_a_mount_comes_after_it(tmp_path: Path) -> None:
    inner = {"level": 1, "devices": ["serial:C3", "serial:D4"], "filesystem": "ext4", "mount": "/srv/pg/wal"}
    one = site(tmp_path, {"a": {"raid": {"arrays": {"wal": inner, "data": DATA}}}})
    assert "mount:/srv/pg" in declared(one, Facts())["mount:/srv/pg/wal"].after


def test_a_database_is_made_on_its_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_REPLICATION", "of standbys")
    database = {
        "cluster": "main",
        "primary": "a",
        "replication": {"user": "repl", "password": {"secret": "replication"}},
        "data": {"mount": "/srv/pg", "directory": "/srv/pg/main"},
    }
    one = site(tmp_path, {"a": {"raid": {"arrays": {"data": DATA}}, "postgresql": database}})
    found = declared(one, Facts())
    (cluster,) = (resource for resource in found.values() if resource.type == "cluster")
    assert "mount:/srv/pg" in cluster.after
