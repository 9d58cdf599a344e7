"""What a host waits for: reasons for a reboot, upgrades, restarts; and the reboot itself."""

from __future__ import annotations

import os

from hakit.agent import stale
from hakit.agent.errors import Failure
from hakit.agent.handlers.package import apt, complaints, query_installed, wait_for_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from hakit.agent.lock import Lock
    from hakit.agent.process import Result
    from hakit.agent.work import Work

REQUIRED = "/run/reboot-required"
IMAGE = "vmlinuz-"
# Never removes: what would need that is no upgrade, and is left to whoever looks at it.
SIMULATE = ("apt-get", "-s", "-q", "upgrade", "--with-new-pkgs")
NAMED = 5  # names in one reason


def upkeep(work: Work, *, refresh: bool, packages: Iterable[str] = ()) -> dict[str, Any]:
    """Reasons for a reboot, services that run replaced code, packages that apt would upgrade.

    `packages` are those whose installed versions are asked for. `refresh` asks the package sources first. Raises
    Failure when they can't be read, or apt can't tell.
    """
    if refresh:
        _update(work)
    proc = work.at("/proc")
    stale_units = stale.units(proc)
    return {
        "reboot": [*_required(work), *_kernel(work), *init_reasons(stale_units, stale.of_init(proc))],
        "restart": [unit for unit in stale_units if not stale.is_kept(unit)],
        "upgrades": _upgrades(work, strict=refresh),
        "installed": _installed(packages, work),
    }


def _installed(packages: Iterable[str], work: Work) -> dict[str, str]:
    asked = list(packages)
    known = query_installed(work) if asked else {}
    return {name: known[name] for name in asked if name in known}


def _update(work: Work) -> None:
    work.say("apt-get update")
    result = apt(["-o", "APT::Update::Error-Mode=any", "update"], work)
    trouble = complaints(result.out)
    if result.code or trouble:
        raise Failure("the package sources of this host can't be read", output=trouble or result.tail())


def _upgrades(work: Work, *, strict: bool) -> list[dict[str, Any]]:
    result = work.run(SIMULATE, 120.0)
    if result.code == 0:
        return parse_upgrades(result.out)
    failure = _refused(result)
    if strict:
        raise failure
    work.say(f"{failure.message}: {failure.output}")
    return []


def _refused(result: Result) -> Failure:
    said = [line for line in result.tail().splitlines() if line.strip()]
    return Failure("apt-get can't tell what it would upgrade", output="\n".join(said[-NAMED:]))


def parse_upgrades(text: str) -> list[dict[str, Any]]:
    """The packages of a simulated upgrade: `Inst NAME [OLD] (NEW SOURCE, SOURCE [ARCHITECTURE])`, no OLD for new ones.

    A security source has `security` in its name or archive, as Debian's `Debian-Security:12/stable-security` and
    Ubuntu's `Ubuntu:24.04/noble-security`.
    """
    found = []
    for line in text.splitlines():
        before, opened, rest = line.partition("(")
        words = before.split()
        if len(words) < 2 or words[0] != "Inst" or not opened:  # noqa: PLR2004 - `Inst` and a name
            continue
        new, _, sources = rest.rpartition(")")[0].partition(" ")
        old = words[2].strip("[]") if len(words) > 2 else ""  # noqa: PLR2004 - the third word is the old version
        found.append({"package": words[1], "old": old, "new": new, "security": "security" in sources.lower()})
    return found


def _required(work: Work) -> list[str]:
    if not os.path.exists(work.at(REQUIRED)):
        return []
    names = list(dict.fromkeys(_text(work.at(f"{REQUIRED}.pkgs")).split()))
    return [f"asked for by {_some(names)}" if names else f"{REQUIRED} asks for it"]


def _kernel(work: Work) -> list[str]:
    if os.path.exists(work.at("/run/systemd/container")):
        return []  # it runs its host's kernel
    try:
        images = [name[len(IMAGE) :] for name in os.listdir(work.at("/boot")) if name.startswith(IMAGE)]
    except OSError:
        return []
    running = os.uname()
    newer = newer_kernel(running.release, images)
    if newer:
        return [f"kernel {newer} is installed, {running.release} runs"]
    if running.release not in images:
        return []
    built = rebuilt_kernel(running.version, query_installed(work).get(f"linux-image-{running.release}", ""))
    return [f"kernel {running.release} is installed as {built[1]}, {built[0]} runs"] if built else []


def newer_kernel(running: str, installed: Iterable[str]) -> str:
    """The newest installed kernel of the running one's flavour, when it is newer; else nothing.

    A release is `VERSION-ABI-FLAVOUR` (6.1.0-28-cloud-amd64) or `VERSION+SUFFIX-FLAVOUR` (6.12.41+deb13-amd64).
    """
    version, flavour = split_kernel(running)
    others = [one for one in installed if split_kernel(one)[1] == flavour]
    newest = max(others, key=lambda one: split_kernel(one)[0], default=running)
    return newest if split_kernel(newest)[0] > version else ""


def split_kernel(release: str) -> tuple[tuple[int, ...], str]:
    """The numbers of a kernel's release, and its flavour: all from the first part that begins with a letter."""
    parts = release.split("-")
    cut = next((number for number, part in enumerate(parts) if not part[:1].isdigit()), len(parts))
    digits = "".join(one if one.isdigit() else " " for one in "-".join(parts[:cut]))
    return tuple(int(number) for number in digits.split()), "-".join(parts[cut:])


def rebuilt_kernel(banner: str, package: str) -> tuple[str, str] | None:
    """The version that runs and that of its package, where they differ: a rebuild under the same release.

    `banner` is `uname -v`: `#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)`.
    """
    words = banner.split()
    runs = words[words.index("Debian") + 1] if "Debian" in words[:-1] else ""
    return (runs, package) if runs and package and runs != package else None


def init_reasons(stale_units: Iterable[str], of_init: list[str]) -> list[str]:
    """Why what can't be restarted wants a reboot."""
    reasons = []
    if of_init:
        reasons.append(f"process 1 runs replaced code: {_some([os.path.basename(one) for one in of_init])}")
    kept = [unit for unit in stale_units if stale.is_kept(unit)]
    if kept:
        reasons.append(f"{_some(kept)} {'run' if len(kept) > 1 else 'runs'} replaced code")
    return reasons


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def reboot(lock: Lock, work: Work) -> None:
    """Have the host boot again, once no one installs packages; the lock loses its name first. Raises Failure."""
    wait_for_lock(work)
    try:
        lock.forget()
    except OSError as error:
        work.say(f"the lock keeps its name: {error.strerror}")
    work.must(["systemctl", "reboot", "--no-block"], "reboot", 30.0)
