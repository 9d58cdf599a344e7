"""Packages brought to other versions in one transaction; what ran before runs after, with its new code."""

from __future__ import annotations

import os

from hakit.agent import disk, living, loaded, stale
from hakit.agent.errors import Failure, FrameError, Stopped, from_os
from hakit.agent.handlers.package import MARK, NoAutostart, apt, query_installed
from hakit.agent.handlers.unit import JOB_TIME, MARGIN, last_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.process import Result
    from hakit.agent.work import Work

LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+~:-")
LIST = ("systemctl", "list-units", "--type=service", "--state=active", "--plain", "--no-legend", "--no-pager", "--full")
ENABLED = ("enabled", "enabled-runtime")


def upgrade(pairs: list[tuple[str, str]], work: Work) -> tuple[list[str], Failure | None]:
    """Bring packages (name, version) there, restart what still runs replaced code, see that all services live on.

    What was done in short lines, and what failed. Without packages only restarts. Raises FrameError for what is no
    name or version, Stopped when the controller went: the transaction is complete then, no restart was begun.
    """
    check(pairs)
    told: list[str] = []
    try:
        _upgrade(pairs, told, work)
    except OSError as error:
        return told, from_os(error, "upgrading")
    except Failure as failure:
        return told, failure
    return told, None


def check(pairs: list[tuple[str, str]]) -> None:
    """See that these are names and versions (Debian policy 5.6.1, 5.6.12). Raises FrameError."""
    for name, version in pairs:
        if not name[:1].isalnum() or not version[:1].isalnum() or not LETTERS.issuperset(name + version):
            raise FrameError(f"no package and version: {name[:100]!r} {version[:100]!r}")


def _upgrade(pairs: list[tuple[str, str]], told: list[str], work: Work) -> None:
    before = _running(work)
    trouble = _transaction(pairs, before, told, work) if pairs else None
    if trouble is None:
        trouble = _restart(told, work)
    trouble = _see_them_live(before, work) or trouble
    if trouble is not None:
        raise trouble


def _running(work: Work) -> dict[str, dict[str, str]]:
    """The services that run now. Raises Failure."""
    if not os.path.isdir(work.at("/run/systemd/system")):
        raise Failure("systemd does not run this host: hakit can't upgrade it")
    rows = work.must(LIST, "listing the services", 20.0).out.splitlines()
    names = [row.split()[0] for row in rows if row.split()]
    return {name: state for name, state in loaded.show(names, work).items() if state.get("Type") != "oneshot"}


class OnlyWhatRuns(NoAutostart):
    """While it lasts, packages may stop, start and restart the services that ran, and start no other."""

    def __init__(self, work: Work, running: list[str]) -> None:
        super().__init__(work)
        self._running = running

    def __enter__(self) -> OnlyWhatRuns:  # noqa: PYI034 - typing.Self is newer than Python 3.9
        super().__enter__()
        # invoke-rc.d names a service without its suffix, deb-systemd-invoke with it.
        names = "|".join(f"'{one}'|'{one[: -len('.service')]}'" for one in self._running if "'" not in one)
        allow = f'case "$1" in {names}) exit 0 ;; esac\n' if names else ""
        script = f'#!/bin/sh\n{MARK}\n[ -n "$HAKIT_INSTALLS" ] || exit 0\n{allow}exit 101\n'
        disk.write(self.prefix[-2] if self.prefix else self._path, script.encode(), 0o755)
        return self


def _transaction(pairs: list[tuple[str, str]], running: dict[str, Any], told: list[str], work: Work) -> Failure | None:
    """One apt transaction; what changed goes to `told`, also when it failed half way."""
    have, automatic = query_installed(work), _automatic(work)
    # What would take other packages away is no upgrade: apt refuses it then.
    words = ["install", "--no-install-recommends", "--no-remove", "--allow-downgrades", "--"]
    work.say(f"apt-get brings {len(pairs)} {'packages' if len(pairs) > 1 else 'package'} to other versions")
    try:
        with OnlyWhatRuns(work, list(running)) as guard:
            result = apt([*words, *(f"{name}={version}" for name, version in pairs)], work, prefix=guard.prefix)
    finally:
        # Also where apt did not end in time: what it was asked for counts as manual from its first moment.
        now = work.versions = query_installed(work)
        manual = sorted(automatic - _automatic(work) & set(now))
        if manual:
            work.must(["apt-mark", "-q", "auto", *manual], "keeping the marks of automatic packages")
    told += differences(have, now)
    missing = [name for name, version in pairs if now.get(name) != version]
    if result.code or missing:
        what = f"bring {', '.join(missing)} to the wanted version" if missing else "complete the upgrade"
        return Failure(f"apt-get could not {what}: {_reason(result)}", output=result.tail())
    return None


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What an installation changed, by package, in words."""
    lines = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new or ":" in name:
            continue
        lines.append(f"{name} {old} → {new}" if old and new else f"{name} {new} new" if new else f"{name} {old} gone")
    return lines


def _automatic(work: Work) -> set[str]:
    return set(work.must(["apt-mark", "showauto"], "reading the marks of automatic packages").out.split())


def _reason(result: Result) -> str:
    lines = [line[3:].strip() for line in result.out.splitlines() if line.startswith("E: ")]
    return lines[0] if lines else f"exit {result.code}"


def _restart(told: list[str], work: Work) -> Failure | None:
    """Restart what runs replaced code, but for what carries sessions; the first that does not come back."""
    failed: Failure | None = None
    proc = work.at("/proc")
    found, own = stale.units(proc), stale.own_units(os.getpid(), proc)
    state = loaded.show(found, work)
    for unit in found:
        if stale.is_kept(unit) or unit in own:
            why = "this session runs in it" if unit in own else "it waits for a reboot"
            told.append(f"{unit} still runs replaced code: {why}")
            continue
        if state[unit].get("ActiveState") != "active" or state[unit].get("Type") == "oneshot":
            continue
        if work.gone():
            raise Stopped
        work.say(f"restarting {unit}, which runs replaced code")
        result = work.run(["systemctl", "restart", "--", unit], JOB_TIME + MARGIN)
        if result.code == 0:
            told.append(f"restarted {unit}, which ran replaced code")
        elif loaded.show([unit], work)[unit].get("ActiveState") == "active":
            told.append(f"{unit} still runs replaced code: {result.tail().splitlines()[-1]}")
        else:
            failed = failed or Failure(f"{unit} did not come back after its restart", output=last_words(unit, work))
    return failed


def _see_them_live(before: dict[str, dict[str, str]], work: Work) -> Failure | None:
    """See that what ran before runs now, and that what was started anew lives; the first that does not."""
    now = loaded.show(before, work)
    for unit, state in now.items():
        if has_died(state):
            return Failure(f"{unit} ran before the upgrade and does not now", output=last_words(unit, work))
    anew = {
        unit: state["InvocationID"]
        for unit, state in now.items()
        if state.get("ActiveState") == "active" and state.get("InvocationID") != before[unit].get("InvocationID")
    }
    died = living.wait(anew, work, work.say)
    unit = next(iter(died), "")
    return Failure(died[unit], output=last_words(unit, work)) if unit else None


def has_died(state: dict[str, str]) -> bool:
    """Whether a service that ran is gone against its will: a daemon that ends when idle is not enabled by itself."""
    active = state.get("ActiveState")
    return active == "failed" or (active == "inactive" and state.get("UnitFileState") in ENABLED)
