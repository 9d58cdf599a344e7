"""The rules of raid: data are sacred. What needs a look at the disks is upheld on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.components.raid.facts_rules import KNOWN_RULES
from hakit.components.raid.model import (
    BITMAP,
    FEWEST,
    JOURNAL,
    NAME,
    PARITY,
    PPL,
    REDUNDANT,
    RESYNC,
    copies,
)
from hakit.components.raid.settings import Array, RaidSettings
from hakit.lint.rule import Finding, Upheld, configured, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Components = Mapping[str, Component]

MDADM = "mdadm(8)"
MD = "md(4)"
KERNEL = "https://docs.kernel.org/driver-api/md"
LARGE = "https://raid.wiki.kernel.org/index.php/Timeout_Mismatch"


def arrays(site: Site) -> Iterator[tuple[Host, str, Array, Path]]:
    """Every array of every host, with its path below `hakit`."""
    for host, settings in configured(site, NAME, RaidSettings):
        for name, array in settings.arrays.items():
            yield host, name, array, (NAME, "arrays", name)


@rule(
    "RD008",
    "warning",
    reason="After a crash a stripe may be half written: a disk that dies then takes data with it that nobody wrote.",
    source=f"{MD}, RAID WRITE HOLE; {KERNEL}/raid5-ppl.html; {KERNEL}/raid5-cache.html",
)
def write_hole(site: Site, components: Components) -> Iterator[Finding]:
    """RAID 4, 5 and 6 without a decision on the write hole, and decisions that md does not know."""
    del components
    for host, _, array, path in arrays(site):
        where = (*path, "consistency")
        wanted = array.consistency
        if wanted == PPL and array.level != 5:  # noqa: PLR2004 - the level
            message = f"a partial parity log is for RAID 5, this is RAID {array.level}"
            yield Finding(host, where, message, write="consistency: bitmap", severity="error", waivable=False)
        elif wanted == JOURNAL and array.journal is None:
            message = "there is no device that the journal could be on"
            yield Finding(host, where, message, write="journal: DEVICE", severity="error", waivable=False)
        elif array.journal is not None and wanted not in (None, JOURNAL):
            message = f"a journal closes the write hole: md takes no {wanted} beside it"
            yield Finding(host, where, message, write="leave one of both out", severity="error", waivable=False)
        elif array.level in PARITY and wanted is None and array.journal is None:
            message = f"RAID {array.level} has a write hole, and nothing says what is done about it"
            write = "consistency: ppl  (RAID 5),  journal: SSD,  or  consistency: bitmap  to live with it"
            yield Finding(host, path, message, write=write)


@rule(
    "RD009",
    "warning",
    reason="Without a bitmap each crash has all members compared from end to end, for hours, with nothing to spare.",
    source=f"{MD}, BITMAP WRITE-INTENT LOGGING",
)
def no_bitmap(site: Site, components: Components) -> Iterator[Finding]:
    """Redundant arrays without a write-intent bitmap or what stands for it."""
    del components
    for host, _, array, path in arrays(site):
        if array.level in REDUNDANT and array.consistency == RESYNC:
            message = "after each crash all of the array is read and written again"
            yield Finding(host, (*path, "consistency"), message, write=f"consistency: {BITMAP}")


@rule(
    "RD010",
    "warning",
    reason="A dead disk that nobody hears of is found when the second one dies.",
    source=f"{MDADM}, MONITOR MODE; mdadm.conf(5), MAILADDR and PROGRAM",
)
def nobody_is_told(site: Site, components: Components) -> Iterator[Finding]:
    """Hosts with redundant arrays whose monitor has nobody to tell."""
    del components
    for host, settings in configured(site, NAME, RaidSettings):
        redundant = any(array.level in REDUNDANT for array in settings.arrays.values())
        if redundant and settings.monitor.mail is None and settings.monitor.program is None:
            message = "nobody is told when a disk dies: mail to root reads who logs in as root"
            yield Finding(host, (NAME, "monitor"), message, write="monitor: {mail: ADDRESS},  or  {program: PATH}")


@rule(
    "RD011",
    "warning",
    reason="A bad sector that nobody reads is found during a rebuild, when there is no second copy.",
    source=f"{MD}, SCRUBBING AND MISMATCHES",
)
def no_scrub(site: Site, components: Components) -> Iterator[Finding]:
    """Redundant arrays that are never read through."""
    del components
    for host, settings in configured(site, NAME, RaidSettings):
        if not settings.scrub.enabled and any(array.level in REDUNDANT for array in settings.arrays.values()):
            message = "arrays are never read through: bad sectors wait for the day of a rebuild"
            yield Finding(host, (NAME, "scrub", "enabled"), message, write="scrub: {enabled: true}")


@rule(
    "RD012",
    "warning",
    reason="A disk that tries longer than the kernel waits is thrown out of its array for one bad sector.",
    source=LARGE,
)
def patient_disks(site: Site, components: Components) -> Iterator[Finding]:
    """Disks that may try longer than the kernel waits."""
    del components
    for host, settings in configured(site, NAME, RaidSettings):
        timeouts = settings.timeouts
        redundant = any(array.level in REDUNDANT for array in settings.arrays.values())
        if not timeouts.enabled and redundant:
            message = "a disk may try for minutes to read a bad sector, and the kernel gives it up after 30 s"
            yield Finding(host, (NAME, "timeouts", "enabled"), message, write="timeouts: {enabled: true}")
        elif timeouts.enabled and timeouts.disk >= 30:  # noqa: PLR2004 - /sys/block/*/device/timeout, by default
            message = f"a disk gives up after {timeouts.disk:g}s, the kernel after 30s: it goes first"
            yield Finding(host, (NAME, "timeouts", "disk"), message, write="timeouts: {disk: 7s}")
        elif timeouts.enabled and timeouts.kernel < 120:  # noqa: PLR2004 - what desktop disks take, by the source
            message = f"disks that can't be told try for up to two minutes, the kernel waits {timeouts.kernel:g}s"
            yield Finding(host, (NAME, "timeouts", "kernel"), message, write="timeouts: {kernel: 180s}")


@rule(
    "RD015",
    "error",
    reason="What is missing or stands by holds no copy: only members that are in sync are redundancy.",
    source=f"{MD}; {MDADM}, --raid-devices",
    waivable=False,
)
def too_few(site: Site, components: Components) -> Iterator[Finding]:
    """Levels with too few members; spares don't count."""
    del components
    for host, _, array, path in arrays(site):
        count, least = len(array.devices), FEWEST[array.level]
        if array.level == 10 and array.layout is not None:  # noqa: PLR2004 - the level
            least = max(least, copies(array.layout))
        if not 0 < count < least:
            continue
        message = f"RAID {array.level} needs {least} members, this one has {count}"
        if count + len(array.spares) >= least:
            message += ": spares are no members, they hold nothing until a disk dies"
        yield Finding(host, (*path, "devices"), message, write=f"{least} disks", waivable=False)


RULES = (
    write_hole,
    no_bitmap,
    nobody_is_told,
    no_scrub,
    patient_disks,
    too_few,
    *KNOWN_RULES,
)
UPHELD = (
    Upheld(
        "RD001",
        "A disk with anything on it is somebody's.",
        f"{MDADM}, --create; https://github.com/linux-system-roles/storage/issues/42",
        "The host proves each disk empty, for the plan and again in the moment of the change with all disks opened "
        "exclusively: signatures, partitions, holders, mounts, the usual places behind a lost partition table, the "
        "first and last MiB and sampled blocks. mdadm gets nothing on its stdin: a question is a refusal.",
    ),
    Upheld(
        "RD003",
        "Creating an array over its own superblocks loses the order of its members, or its data.",
        f"{MDADM}, --assemble",
        "What has the array's superblock is assembled; only disks that are all empty are made an array of.",
    ),
    Upheld(
        "RD004",
        "Force is how data are lost.",
        MDADM,
        "hakit gives mdadm no --force, --run or --assume-clean. A disk is wiped whose serial stands in  wipe  and in "
        "--wipe  on the very command line.",
    ),
    Upheld(
        "RD005",
        "A line that is missing is a typing error as often as a wish.",
        MDADM,
        "An array, or a member, that leaves the inventory is reported and goes on;  hakit raid replace  takes one out.",
    ),
    Upheld(
        "RD006",
        "An early boot that does not know an array brings it up as md127.",
        "mdadm.conf(5), ARRAY and HOMEHOST",
        "mdadm.conf is written with the array's UUID, then the initramfs, then the array is made; a plan compares the "
        "copy in the initramfs with the file.",
    ),
    Upheld(
        "RD007",
        "A reshape writes every stripe anew: a crash in the middle needs what was kept aside.",
        f"{MDADM}, GROW MODE",
        "A running array of another level, size or chunk than declared is told, never changed by an apply;"
        "  hakit raid grow  does it, and keeps what mdadm needs for a crash.",
    ),
    Upheld(
        "RD014",
        "A second disk, or a second host, may die while the first one is rebuilt.",
        f"{MD}, RECOVERY",
        "The rolling gate does not count a host whose array is degraded or rebuilt among those that remain.",
    ),
)
