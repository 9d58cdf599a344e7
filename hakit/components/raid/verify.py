"""testinfra tests of a host's arrays, run by `hakit verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.components.raid.model import REDUNDANT, device, stores
from hakit.components.raid.resources import CONF, MONITOR, TIMERS

if TYPE_CHECKING:
    from testinfra.host import Host as Remote

    from hakit.components.raid.settings import RaidSettings


def test_every_array_runs_with_all_its_members(host: Remote, settings: RaidSettings) -> None:
    """Each declared array is there, and no member is missing."""
    wrong = []
    for name in settings.arrays:
        told = host.run("mdadm --detail --export %s", device(name))
        if told.rc != 0:
            wrong.append(f"{device(name)} is not there: {told.stderr.strip()}")
            continue
        node = host.run("basename $(readlink -f %s)", device(name)).stdout.strip()
        missing = host.run("cat /sys/block/%s/md/degraded", node).stdout.strip()
        if missing not in ("", "0"):
            wrong.append(f"{device(name)} lacks {missing} of its members")
    assert not wrong, "; ".join(wrong)


def test_members_agree(host: Remote, settings: RaidSettings) -> None:
    """The last scrub found no sectors that differ."""
    wrong = []
    for name, array in settings.arrays.items():
        if array.level not in REDUNDANT:
            continue
        node = host.run("basename $(readlink -f %s)", device(name)).stdout.strip()
        count = host.run("cat /sys/block/%s/md/mismatch_cnt", node).stdout.strip()
        if count not in ("", "0"):
            wrong.append(f"{count} sectors of {device(name)} differ")
    assert not wrong, "; ".join(wrong)


def test_the_early_boot_knows_the_arrays(host: Remote, settings: RaidSettings) -> None:
    """mdadm.conf names each array by its UUID, or it comes up as md127."""
    conf = host.file(CONF).content_string
    missing = []
    for name in settings.arrays:
        told = host.run("mdadm --detail --export %s", device(name)).stdout
        uuid = dict(line.partition("=")[::2] for line in told.splitlines()).get("MD_UUID", "")
        if not uuid or f"ARRAY {device(name)} UUID={uuid}" not in conf:
            missing.append(device(name))
    assert not missing, f"{CONF} does not name {', '.join(missing)} by the UUID that runs"


def test_file_systems_are_mounted(host: Remote, settings: RaidSettings) -> None:
    """Each declared mount point has the declared kind of file system on it."""
    wrong = []
    for name, array in settings.arrays.items():
        for store in stores(name, array):
            mount = store.settings.mount
            if mount is None:
                continue
            told = host.run("findmnt --noheadings --output FSTYPE --mountpoint %s", mount)
            if told.stdout.strip() != store.settings.filesystem:
                wrong.append(f"{mount}: {told.stdout.strip() or 'nothing is mounted there'}")
    assert not wrong, "; ".join(wrong)


def test_somebody_is_told(host: Remote, settings: RaidSettings) -> None:
    """The monitor runs, and its test message gets through to whoever is declared."""
    if not any(array.level in REDUNDANT for array in settings.arrays.values()):
        pytest.skip("nothing redundant to watch")
    assert host.service(MONITOR).is_running, f"{MONITOR} does not run"
    if settings.monitor.mail is not None:
        assert host.exists("/usr/sbin/sendmail"), "mail is declared, and nothing on the host delivers it (sendmail)"
    told = host.run("mdadm --monitor --scan --oneshot --test")
    assert told.rc == 0, told.stderr


def test_arrays_are_read_through(host: Remote, settings: RaidSettings) -> None:
    """The scrub has its next time."""
    if not settings.scrub.enabled or not any(array.level in REDUNDANT for array in settings.arrays.values()):
        pytest.skip("no scrub is declared")
    assert host.service(TIMERS[0]).is_running, f"{TIMERS[0]} does not run"
    told = host.run("systemctl show --property NextElapseUSecRealtime %s", TIMERS[0]).stdout
    assert told.strip().partition("=")[2], f"{TIMERS[0]} has no next time"
