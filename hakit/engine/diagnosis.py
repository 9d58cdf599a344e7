"""What is wrong with one host: a pure judgement of what it answered. `segments` judges what lies between hosts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.agent.answers import Hello
    from hakit.engine.examination import Clock, Disk, Machine, Packages, Units
    from hakit.errors import HakitError
    from hakit.inventory.model import Host

Severity = Literal["error", "warning"]

PYTHON = (3, 9)
"""The oldest Python that the agent is written for."""
CLOCK_WARN, CLOCK_ERROR = 1.0, 60.0
"""Seconds: above the first, logs of two hosts can't be put in order; above the second, tokens and new certificates are
refused (Kerberos allows 5 minutes, RFC 4120 1.6; a certificate is valid from its very second)."""
MIB = 1 << 20
ROOM = {
    "/": (64 * MIB, 512 * MIB, "packages are unpacked there"),
    "/usr": (64 * MIB, 256 * MIB, "packages are unpacked there"),
    "/etc": (1 * MIB, 16 * MIB, "configuration is written there, the old one kept beside it for a moment"),
    "/var": (64 * MIB, 512 * MIB, "apt keeps what it downloads there, dpkg its database, the daemons their logs"),
    "/var/lib/hakit": (1 * MIB, 16 * MIB, "hakit keeps its manifest and previous versions there"),
    "/tmp": (1 * MIB, 16 * MIB, "maintainer scripts of packages use it"),  # noqa: S108 - looked at, not used
    "/boot": (0, 100 * MIB, "a kernel and its initramfs take up to 100 MiB there"),
}
"""Bytes free on the file system of a mount point: below the first an error, below the second a warning, and why.
haproxy, keepalived and what they need take 20 MiB installed and 4 MiB of downloads; an error leaves thrice that."""
INODES_ERROR, INODES_WARN = 500, 5000
"""Inodes free: a package such as perl-modules brings 1,000 files."""
READONLY_ERRORS = ("/", "/usr", "/etc", "/var", "/var/lib/hakit")


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong: where, what, why it hurts, what to do. `kind` names it for programs."""

    kind: str
    severity: Severity
    hosts: tuple[str, ...]
    what: str
    why: str = ""
    do: str = ""


@dataclass(slots=True)
class Exam:
    """What is known of a host. Where an answer is a string, that is why there is none; None: it was never asked.

    `error` says why it can't be worked with. `login` is how we are root there. `units` and `packages` are what hakit
    will manage, `stands_on` the packages that each of these units comes after.
    """

    host: Host
    error: HakitError | None = None
    login: str = ""
    hello: Hello | None = None
    clock: Clock | str | None = None
    machine: Machine | str | None = None
    disks: tuple[Disk, ...] | str | None = None
    units: Units | str | None = None
    packages: Packages | str | None = None
    managed: tuple[str, ...] = ()
    stands_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    installs: tuple[str, ...] = ()
    seconds: float = 0.0
    troubles: list[Trouble] = field(default_factory=list)

    @property
    def examined(self) -> bool:
        """Whether its agent answered."""
        return self.machine is not None and not isinstance(self.machine, str)


def judge(exam: Exam) -> Iterator[Trouble]:
    """Everything that is wrong with one host alone."""
    if exam.error is not None:
        yield _error(exam, "unusable", _without(exam, exam.error.message), exam.error.why or "", exam.error.hint or "")
    if exam.hello is not None:
        yield from _system(exam, exam.hello)
    yield from exam.troubles
    yield from _unanswered(exam)
    yield from _clock(exam)
    yield from _disks(exam)
    yield from _packages(exam)
    yield from _units(exam)
    yield from _machine(exam)


def _error(exam: Exam, kind: str, what: str, why: str = "", do: str = "") -> Trouble:
    return Trouble(kind, "error", (exam.host.name,), what, why, do)


def _warning(exam: Exam, kind: str, what: str, why: str = "", do: str = "") -> Trouble:
    return Trouble(kind, "warning", (exam.host.name,), what, why, do)


def _without(exam: Exam, message: str) -> str:
    return message.removeprefix(f"{exam.host.name}: ").removeprefix(f"{exam.host.name} ")


def _system(exam: Exam, hello: Hello) -> Iterator[Trouble]:
    numbers = tuple(int(part) for part in hello.python.split(".")[:2] if part.isdigit())
    if numbers < PYTHON:
        yield _error(
            exam,
            "python",
            f"Python {hello.python} is too old",
            "the part of hakit that runs on hosts is written for Python 3.9 and newer",
            "install a newer python3",
        )
    if not hello.systemd:
        yield _error(
            exam,
            "systemd",
            "systemd does not run it",
            "hakit starts, stops and reloads daemons through systemd",
            "boot it with systemd (package systemd-sysv)",
        )
    if hello.hostname.partition(".")[0] != exam.host.name.partition(".")[0]:
        yield _warning(
            exam,
            "hostname",
            f"it calls itself {hello.hostname}",
            "logs, prompts and alarms will name another host than the inventory does; or this is another host",
            f"hostnamectl set-hostname {exam.host.name}  there, or correct the inventory",
        )
    if hello.lock is not None:
        yield _warning(
            exam,
            "locked",
            f"another run works on it: {hello.lock.text()}",
            "it changes what is seen here",
            "wait for it to end",
        )


def _unanswered(exam: Exam) -> Iterator[Trouble]:
    for name in ("clock", "machine", "disks", "units", "packages"):
        answer = getattr(exam, name)
        if isinstance(answer, str):
            yield _error(exam, "unanswered", f"its {name} can't be examined: {answer}")


def _clock(exam: Exam) -> Iterator[Trouble]:
    found = exam.clock
    if found is None or isinstance(found, str):
        return
    off = max(0.0, abs(found.ahead) - found.doubt)
    if off > CLOCK_WARN:
        say = _error if off > CLOCK_ERROR else _warning
        side = "ahead of" if found.ahead > 0 else "behind"
        yield say(
            exam,
            "clock",
            f"its clock is {span(off)} {side} this machine's",
            "certificates and tokens count as expired or not yet valid, and logs can't be put in order",
            "see which of the two is right; run an NTP client on both (systemd-timesyncd, chrony)",
        )
    container = exam.machine.container if exam.machine is not None and not isinstance(exam.machine, str) else ""
    if found.synchronized is False and not container:
        yield _warning(
            exam,
            "ntp",
            "its clock is not synchronized",
            "it drifts away from its peers' by seconds a week",
            "run an NTP client: apt-get install systemd-timesyncd (or chrony), then  timedatectl set-ntp true",
        )


def _disks(exam: Exam) -> Iterator[Trouble]:
    if exam.disks is None or isinstance(exam.disks, str):
        return
    for disk in {one.mount: one for one in exam.disks}.values():
        low, tight, use = ROOM.get(disk.mount, ROOM["/var"])
        if disk.readonly:
            say = _error if disk.mount in READONLY_ERRORS else _warning
            why = f"{use}; the kernel makes a file system read-only when its disk fails"
            yield say(exam, "readonly", f"{disk.mount} is read-only", why, f"see  dmesg  and  findmnt {disk.mount}")
            continue
        if disk.free < min(tight, disk.size // 2):
            say = _error if disk.free < min(low, disk.size // 2) else _warning
            what = f"{disk.mount} has {size(disk.free)} of {size(disk.size)} free"
            yield say(
                exam,
                "space",
                what,
                use,
                f"make room: see  du -xh --max-depth=2 {disk.mount}  and  apt-get clean",
            )
        if disk.inodes and disk.inodes_free < INODES_WARN:
            say = _error if disk.inodes_free < INODES_ERROR else _warning
            what = f"{disk.mount} has {disk.inodes_free} of {disk.inodes} inodes free"
            why = "no file can be made without one, however much space is left"
            yield say(exam, "inodes", what, why, f"find the many small files: see  du -x --inodes {disk.mount}")


def _packages(exam: Exam) -> Iterator[Trouble]:
    found = exam.packages
    if found is None or isinstance(found, str):
        return
    if found.audit:
        # dpkg --audit explains each kind of trouble and lists its packages below, each behind a blank.
        names = [line.split()[0] for line in found.audit.splitlines() if line.startswith(" ") and line.strip()]
        what = f"{', '.join(names) or 'some packages'}: installed by halves"
        do = "dpkg --configure -a  there, then  apt-get -f install  if it still complains"
        yield _error(exam, "dpkg", what, "apt refuses to work, or a daemon is there by halves", do)
    elif found.interrupted:
        what = "dpkg was interrupted"
        yield _warning(
            exam,
            "dpkg",
            what,
            "apt refuses to work until dpkg has ended its work",
            "the next apply completes it; or  dpkg --configure -a  there",
        )
    for lock in found.locks:
        what = f"{lock.path} is held by process {lock.pid} ({lock.command or 'unknown'})"
        yield _warning(
            exam,
            "apt-lock",
            what,
            "an apply waits for it, 15 minutes at most",
            "let it end; see  ps -fp " + str(lock.pid),
        )
    for source in found.unreachable:
        say = _error if found.missing else _warning
        need = (
            f"{', '.join(found.missing)} can't be installed"
            if found.missing
            else "nothing is to be installed now, but no security update arrives"
        )
        yield say(
            exam,
            "source",
            f"{source.uri} can't be fetched: {source.reason}",
            need,
            "mend the network, the proxy (Acquire::http::Proxy) or /etc/apt/sources.list*",
        )
    yield from _trial(exam, found)
    held = sorted(set(found.held) & set(exam.installs))
    if held:
        what = f"{', '.join(held)}: held"
        yield _warning(
            exam,
            "held",
            what,
            "apt does not upgrade them, also not for security",
            f"apt-mark unhold {' '.join(held)}",
        )


def _trial(exam: Exam, found: Packages) -> Iterator[Trouble]:
    unknown = [
        one for one in found.trial.errors if "Unable to locate package" in one or "no installation candidate" in one
    ]
    others = [one for one in found.trial.errors if one not in unknown]
    if unknown and not others:
        # An apply asks the sources anew for what it does not find; that can help only where they answer.
        say = _error if found.unreachable else _warning
        do = "an apply runs  apt-get update  first; if that is no help, no source has it: see /etc/apt/sources.list*"
        yield say(exam, "unknown-package", "; ".join(unknown), "hakit would install it", do)
    elif found.trial.errors and not found.audit:
        why = found.trial.depends or "what apt can't do in a trial it can't do in earnest"
        yield _error(
            exam,
            "apt",
            f"apt would fail: {'; '.join(others or unknown)}",
            why,
            "apt-get -f install  there; see  apt-mark showhold",
        )
    if found.trial.removes:
        what = f"installing {', '.join(found.missing)} would remove {', '.join(found.trial.removes)}"
        yield _error(
            exam,
            "removes",
            what,
            "apt would take away what somebody installed",
            "find out who needs it, and resolve the conflict by hand",
        )


def _is_coming(unit: str, exam: Exam) -> bool:
    """Whether an apply installs a package that a unit stands on."""
    found = exam.packages
    if found is None or isinstance(found, str):
        return False
    return not set(exam.stands_on.get(unit, ())).isdisjoint(found.missing)


def _units(exam: Exam) -> Iterator[Trouble]:
    found = exam.units
    if found is None or isinstance(found, str):
        return
    for unit in found.masked:
        if unit in found.beneath or _is_coming(unit, exam):
            yield _warning(
                exam,
                "masked",
                f"{unit} is masked",
                "somebody wanted it never to start",
                "an apply unmasks it; see first who masked it",
            )
        else:
            why = "hakit is to run it and does not know where it should come from"
            yield _error(exam, "masked", f"{unit} is masked", why, f"systemctl unmask {unit}")
    ours = [unit for unit in found.failed if unit in exam.managed]
    others = [unit for unit in found.failed if unit not in exam.managed]
    for unit in ours:
        yield _error(
            exam,
            "failed-unit",
            f"{unit} has failed",
            "it is a unit that hakit manages",
            f"see  journalctl -u {unit}  there",
        )
    if others:
        what = f"failed units: {', '.join(others)}"
        do = "see  systemctl status UNIT  there, then  systemctl reset-failed  what is of no use"
        yield _warning(exam, "failed-unit", what, "something of the host does not work", do)


def _machine(exam: Exam) -> Iterator[Trouble]:
    found = exam.machine
    if found is None or isinstance(found, str):
        return
    if found.reboot:
        yield _warning(
            exam,
            "reboot",
            "it wants a reboot",
            "it runs code that has been replaced",
            f"hakit reboot --limit {exam.host.name}",
        )
    for nic in found.nics:
        for address in nic.clashing:
            yield _error(
                exam,
                "duplicate",
                f"{address} on {nic.name} is in use elsewhere (duplicate address detection)",
                "the kernel does not use it",
                "find the other machine, then take the address from one of the two",
            )


def span(seconds: float) -> str:
    """A time span rounded to what matters: 1.5 s, 12 min, 3 h, 365 d."""
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 86400:.0f} d"


def size(count: int) -> str:
    """Bytes in MiB or GiB."""
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / MIB:.0f} MiB"
