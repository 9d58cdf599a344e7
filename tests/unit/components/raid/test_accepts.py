"""What is rendered is what mdadm, systemd and sh take."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hakit.components.raid.model import unit_name

CASES = sorted((Path(__file__).parents[1] / "cases").glob("raid-*/expected/*"))
needs_mdadm = pytest.mark.skipif(shutil.which("mdadm", path="/sbin:/usr/sbin") is None, reason="mdadm is not installed")
every_host = pytest.mark.parametrize("host", CASES, ids=lambda host: host.name)


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, env=env)


def test_there_are_hosts() -> None:
    assert len(CASES) >= 4


@needs_mdadm
@every_host
def test_mdadm_reads_its_file(host: Path) -> None:
    # An array that the file does not name is looked for in it, and nowhere else.
    told = run("mdadm", "--assemble", f"--config={host}/etc/mdadm/mdadm.conf", "/dev/md/hakit-none")
    assert told.stderr.strip() == "mdadm: /dev/md/hakit-none not identified in config file."


@needs_mdadm
def test_the_judge_would_tell(tmp_path: Path) -> None:
    (tmp_path / "mdadm.conf").write_text("MAILTO root\n")
    told = run("mdadm", "--assemble", f"--config={tmp_path}/mdadm.conf", "/dev/md/hakit-none")
    assert "Unknown keyword MAILTO" in told.stderr


@every_host
def test_sh_reads_the_programs(host: Path) -> None:
    for path in (host / "usr/local/sbin").glob("*"):
        assert run("sh", "-n", str(path)).stderr == ""


@every_host
def test_systemd_takes_the_mounts_and_timers(host: Path, tmp_path: Path) -> None:
    folder = host / "etc/systemd/system"
    mounts = [str(shutil.copy(path, tmp_path)) for path in folder.glob("*.mount")]
    if mounts:
        told = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *mounts)
        complaints = [line for line in told.stderr.splitlines() if str(tmp_path) in line or ".mount" in line]
        assert complaints == []
    for path in folder.glob("*.timer.d/*.conf"):
        (when,) = (line.partition("=")[2] for line in path.read_text().splitlines() if line.startswith("OnCalendar=S"))
        assert run("systemd-analyze", "calendar", when).returncode == 0


PARTS = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/'\"\\"), min_size=1, max_size=8)


@settings(deadline=None, max_examples=40)
@given(st.lists(PARTS.filter(lambda part: part not in (".", "..")), min_size=1, max_size=3))
def test_a_mount_unit_is_called_as_systemd_calls_it(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    told = run("systemd-escape", "--path", "--suffix=mount", path)
    assert unit_name(path) == told.stdout.strip()


def event(folder: Path, *words: str, mismatches: str = "0") -> tuple[list[str], list[str]]:
    """What the event program logs, and what reaches the operator's own program."""
    source = next(host for host in CASES if "store1" in host.name) / "usr/local/sbin/hakit-raid-event"
    text = source.read_text().replace("/usr/local/sbin/page-storage", f"{folder}/page")
    text = text.replace("/sys/block/", f"{folder}/sys/").replace('readlink -f "$array"', "echo md127")
    (folder / "sys/md127/md").mkdir(parents=True)
    (folder / "sys/md127/md/mismatch_cnt").write_text(f"{mismatches}\n")
    bins = folder / "bin"
    bins.mkdir()
    for name, log in (("bin/logger", "log"), ("page", "paged")):
        (folder / name).write_text(f'#!/bin/sh\necho "$@" >> {folder}/{log}\n')
        (folder / name).chmod(0o755)
    program = folder / "event"
    program.write_text(text.replace("logger -t", f"{bins}/logger -t"))
    done = run("sh", str(program), *words)
    assert (done.returncode, done.stderr) == (0, "")
    return (folder / "log").read_text().splitlines(), (folder / "paged").read_text().splitlines()


def test_a_dead_disk_is_logged_as_what_it_is_and_handed_on(tmp_path: Path) -> None:
    logged, paged = event(tmp_path, "Fail", "/dev/md/data", "/dev/sdb")
    assert logged == ["-t hakit-raid -p daemon.crit Fail /dev/md/data /dev/sdb (0 sectors differ)"]
    assert paged == ["Fail /dev/md/data /dev/sdb"]


def test_sectors_that_differ_are_told(tmp_path: Path) -> None:
    logged, _ = event(tmp_path, "RebuildFinished", "/dev/md/data", mismatches="128")
    assert logged == ["-t hakit-raid -p daemon.warning RebuildFinished /dev/md/data  (128 sectors differ)"]
