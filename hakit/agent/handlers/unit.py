"""How units are read, compared, started, reloaded and stopped."""

from __future__ import annotations

import os
from time import monotonic, sleep

from hakit.agent import loaded
from hakit.agent.errors import Failure
from hakit.agent.loaded import RELOAD, RESTART
from hakit.agent.work import CHANGE, UNKNOWN, Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.unit import Unit
    from hakit.agent.work import Work

ENABLE, DISABLE, START, STOP = "enable", "disable", "start", "stop"
UNMASK = "unmask"
IMPACT = {START: "none", STOP: "disruptive", RESTART: "disruptive", RELOAD: "reload"}
# States in which a unit needs no enabling, or has nothing that could be enabled (systemctl(1), is-enabled).
FIXED = ("enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "transient")
STARTED = ("active", "reloading", "refreshing")
JOB_TIME = 90.0  # seconds: systemd's own DefaultTimeoutStartSec
MARGIN = 10.0  # seconds for systemctl beyond the unit's own time
SETTLE = {"notify": 0.3, "notify-reload": 0.3, "dbus": 0.3, "oneshot": 0.0}
SETTLE_OTHER = 2.0  # seconds in which a daemon that told nobody of its readiness typically dies of a bad start
BRINGERS = ("package", "command")  # types that may bring a unit of which no file is declared
JOURNAL = 20  # lines of the journal in an error


def decide(unit: Unit, state: dict[str, str], due: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """What is to be done with a unit in this state, in order: (action, why). `due` tells who asks for reload, restart.

    Pure: everything it knows is in its arguments.
    """
    steps: list[tuple[str, str]] = []
    enabled = state.get("UnitFileState", "")
    if state.get("LoadState") == "masked" and (unit.enabled is True or unit.running is True):
        steps.append((UNMASK, ""))
    if unit.enabled is True and enabled not in FIXED:
        steps.append((ENABLE, ""))
    if unit.enabled is False and enabled in {"enabled", "enabled-runtime"}:
        steps.append((DISABLE, ""))
    up = state.get("ActiveState") in STARTED
    done = state.get("Type") == "oneshot" and state.get("RemainAfterExit") == "no" and state.get("Result") == "success"
    if unit.running is False:
        if state.get("ActiveState") in loaded.RUNNING:
            steps.append((STOP, ""))
        return steps
    if not up:
        if unit.running is True and not (done and state.get("InvocationID")):
            steps.append((START, "it had failed" if state.get("ActiveState") == "failed" else ""))
        return steps
    if due[RESTART]:
        steps.append((RESTART, ", ".join(due[RESTART])))
    elif due[RELOAD]:
        can = state.get("CanReload", "yes") == "yes"
        steps.append((RELOAD if can else RESTART, ", ".join(due[RELOAD])))
    return steps


class Units:
    """The handler of `Unit`."""

    def read(self, resources: list[Unit], work: Work) -> dict[str, dict[str, str]]:
        """The properties of all units from one `systemctl show`. Raises Failure."""
        if not os.path.isdir(work.at("/run/systemd/system")):
            raise Failure("systemd does not run this host: hakit can't manage units here")
        found = loaded.show([one.name for one in resources], work)
        return {one.key: found[one.name] for one in resources}

    def diff(self, resource: Unit, state: dict[str, str], work: Work) -> Change:
        """What is to be done, judged by what the running invocation has loaded. Raises Failure."""
        wanted = resource.enabled is True or resource.running is True
        unknown = ""
        if wanted and state.get("LoadState") == "masked" and not self._is_beneath(resource, work):
            unknown = f"known after {_bringer(resource, work)}"
        elif wanted and state.get("LoadState") == "not-found" and not self._has_file(resource, work):
            unknown = f"known after {work.require(resource, f'there is no unit {resource.unit} on this host')}"
        steps = decide(resource, state, self._due(resource, state, work))
        lines = tuple(action + (f" ({why})" if why else "") for action, why in steps)
        impacts = [IMPACT[action] for action, _ in steps if action in IMPACT]
        impact = next((one for one in ("disruptive", "reload") if one in impacts), "none")
        return Change(summary=lines, impact=impact, steps=tuple(steps), after=unknown, unknown=bool(unknown and lines))

    def _has_file(self, resource: Unit, work: Work) -> bool:
        from hakit.agent.handlers.files import declared_paths

        paths = {folder + resource.unit for folder in loaded.SYSTEMD}
        return not paths.isdisjoint(declared_paths(work)) or any(os.path.exists(work.at(path)) for path in paths)

    def _is_beneath(self, resource: Unit, work: Work) -> bool:
        """Whether a masked unit has a file, or a template's, that the mask hides, or will have one."""
        from hakit.agent.handlers.files import declared_paths

        names = {resource.unit, _template(resource.unit)}
        paths = {folder + name for folder in loaded.SYSTEMD for name in names}
        return not paths.isdisjoint(declared_paths(work)) or any(os.path.isfile(work.at(path)) for path in paths)

    def _due(self, resource: Unit, state: dict[str, str], work: Work) -> dict[str, tuple[str, ...]]:
        record = work.state.loaded.get(resource.unit, {})
        current = loaded.invocation(state)
        reloads = _differing(resource.reload_on, record, current, state, work)
        restarts = _differing(resource.restart_on, record, current, state, work)
        asked = [key for key in record.get("pending", ()) if key not in resource.restart_on]
        for key in (*resource.restart_on, *asked):
            pending = key in record.get("pending", ())
            if not key.startswith("/") and (pending or work.status.get(key) in {CHANGE, UNKNOWN}):
                restarts.append(f"{key} changed")
        for how, why in _leaving(resource, record, state, work):
            (reloads if how == RELOAD else restarts).append(why)
        return {RELOAD: tuple(reloads), RESTART: tuple(dict.fromkeys(restarts))}

    def apply(self, resource: Unit, change: Change, work: Work) -> tuple[str, ...]:
        """Carry the steps out and see the unit live afterwards. Raises Failure with the end of its journal."""
        state = self.read([resource], work)[resource.key]
        if work.state.unread or state.get("NeedDaemonReload") == "yes" or state.get("LoadState") == "not-found":
            daemon_reload(work)
        for action, _ in change.steps:
            self._note(resource, action, work)
            if action == UNMASK:
                self._unmask(resource, state, work)
            elif action in {ENABLE, DISABLE}:
                work.must(["systemctl", action, "--quiet", "--", resource.unit], f"{action} {resource.unit}")
                self._settle(resource, work)
            elif action == STOP:
                work.must(["systemctl", STOP, "--", resource.unit], f"stop {resource.unit}", _time(state) + MARGIN)
            else:
                self._bring_up(resource, action, state, work)
        return change.summary

    def _unmask(self, resource: Unit, state: dict[str, str], work: Work) -> None:
        runtime = ["--runtime"] if state.get("UnitFileState") == "masked-runtime" else []
        work.must(["systemctl", UNMASK, "--quiet", *runtime, "--", resource.unit], f"unmask {resource.unit}")

    def _settle(self, resource: Unit, work: Work) -> None:
        from hakit.agent.acting import settle

        settle(resource.unit, work)

    def _note(self, resource: Unit, action: str, work: Work) -> None:
        if action in {ENABLE, START}:
            made = dict(work.state.items.get(resource.key, {}))
            made["enabled" if action == ENABLE else "started"] = True
            work.state.items[resource.key] = {**made, "component": resource.component}
            work.state.save_manifest()

    def _bring_up(self, resource: Unit, action: str, state: dict[str, str], work: Work) -> None:
        unit = resource.unit
        uses = loaded.listed(resource)
        uses.update(_kept(resource, work))
        files = loaded.hashes(uses, work)
        if state.get("ActiveState") == "failed":
            work.run(["systemctl", "reset-failed", "--", unit])
        began = monotonic()
        result = work.run(["systemctl", action, "--", unit], _time(state) + MARGIN)
        if result.late:
            patience = f"{_time(state) + MARGIN:g} s"
            raise Failure(f"{unit} did not {action} within {patience}", output=journal(unit, work))
        if result.code:
            raise Failure(f"{unit}: {action} failed", output=f"{result.tail()}\n{journal(unit, work)}".strip())
        found = self._settled(resource, action, began, work)
        loaded.record_loaded(resource, found, files, uses, work)
        if action != RELOAD and found.get("Type") != "oneshot" and unit.endswith(".service"):
            work.started[unit] = loaded.invocation(found)

    def _settled(self, resource: Unit, action: str, began: float, work: Work) -> dict[str, str]:
        """The state of a unit once it has proven that it lives. Raises Failure."""
        first = found = self.read([resource], work)[resource.key]
        settle = 0.0 if action == RELOAD else SETTLE.get(first.get("Type", ""), SETTLE_OTHER)
        patience = monotonic() + _time(first)
        while True:
            oneshot = found.get("Type") == "oneshot" and found.get("Result") == "success"
            up = found.get("ActiveState") == "active" or (oneshot and found.get("ActiveState") == "inactive")
            again = action != RELOAD and found.get("InvocationID") != first.get("InvocationID")
            if again or not (up or found.get("ActiveState") in {"reloading", "refreshing"}):
                raise Failure(f"{resource.unit} died after {action}", output=journal(resource.unit, work))
            if up and monotonic() - began >= settle:
                return found
            if monotonic() > patience:
                raise Failure(f"{resource.unit} is not active after {action}", output=journal(resource.unit, work))
            sleep(0.1)
            found = self.read([resource], work)[resource.key]

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would take back; a unit that hakit did not manage does without what has left."""
        if not record and loaded.is_guest(key, work):
            resource, state = self._guest(key, work)
            return self.diff(resource, state, work)
        lines = [word for word, made in ((STOP, "started"), (DISABLE, "enabled")) if record.get(made)]
        return Change(summary=tuple(lines) or ("forget",), impact="disruptive" if STOP in lines else "none")

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Stop what hakit started, disable what hakit enabled. Raises Failure."""
        unit = key.partition(":")[2]
        if not record and loaded.is_guest(key, work):
            resource, state = self._guest(key, work)
            self.apply(resource, self.diff(resource, state, work), work)
            self._forget(unit, work)
            return ()
        state = loaded.show([unit], work)[unit]
        if record.get("started") and state.get("ActiveState") in loaded.RUNNING:
            work.must(["systemctl", STOP, "--", unit], f"stop {unit}", JOB_TIME + MARGIN)
        if record.get("enabled") and state.get("LoadState") != "not-found":
            work.must(["systemctl", DISABLE, "--quiet", "--", unit], f"disable {unit}")
        if state.get("ActiveState") == "failed":
            work.run(["systemctl", "reset-failed", "--", unit])
        self._forget(unit, work)
        return ()

    def _guest(self, key: str, work: Work) -> tuple[Unit, dict[str, str]]:
        from hakit.agent.resources.unit import Unit

        unit = key.partition(":")[2]
        component = work.state.loaded[unit]["guest"]
        return Unit(unit=unit, enabled=None, running=None, component=component), loaded.show([unit], work)[unit]

    def _forget(self, unit: str, work: Work) -> None:
        if work.state.loaded.pop(unit, None) is not None:
            work.state.save_loaded()


def _bringer(resource: Unit, work: Work) -> str:
    """What this run has yet to do that may bring the file of a masked unit. Raises Failure when there is nothing."""
    key = work.pending(resource)
    if key is not None and key.partition(":")[0] in BRINGERS:
        return key
    raise Failure(
        f"{resource.unit} is masked and has no unit file beneath the mask: run  systemctl unmask "
        f"{resource.unit}  and see where it should come from"
    )


def _template(unit: str) -> str:
    """The template of an instance, `a@.service` of `a@1.service`; the name itself for other units."""
    name, at, rest = unit.partition("@")
    return f"{name}@.{rest.rpartition('.')[2]}" if at else unit


def _differing(
    paths: tuple[str, ...], record: dict[str, Any], current: str, state: dict[str, str], work: Work
) -> list[str]:
    """The files that the running invocation has not loaded as declared; where not declared, as they are on disk."""
    if not current:
        return []
    from hakit.agent.handlers.files import declared_hashes

    declared = declared_hashes(paths, work)
    links = loaded.declared_links(work)
    targets = {path: links[path] for path in paths if path in links}
    content = {**loaded.hashes(targets.values(), work), **declared_hashes(targets.values(), work)}
    declared.update((path, content[target]) for path, target in targets.items())
    found = []
    for path, on_disk in loaded.hashes(paths, work).items():
        stale = state.get("NeedDaemonReload") == "yes"
        has = loaded.content(record, path, current, on_disk, stamp=loaded.stamp_of(state), stale=stale)
        if has != declared.get(path, on_disk):
            found.append(f"{os.path.basename(path)} changed")
    return found


def _leaving(resource: Unit, record: dict[str, Any], state: dict[str, str], work: Work) -> list[tuple[str, str]]:
    """What the running invocation has loaded, and does not list any more, and has to do without."""
    listed = loaded.listed(resource)
    if loaded.used(record).keys() <= listed.keys():
        return []
    from hakit.agent import leaving

    return leaving.due(listed, record, state, work)


def _kept(resource: Unit, work: Work) -> dict[str, str]:
    """What leaves and is there yet, so that a start loads it once more."""
    record, listed = work.state.loaded.get(resource.unit, {}), loaded.listed(resource)
    if loaded.used(record).keys() <= listed.keys():
        return {}
    from hakit.agent import leaving

    return leaving.kept_uses(listed, record, work)


def daemon_reload(work: Work) -> None:
    """Have systemd read its unit files anew. Raises Failure."""
    if os.path.isdir(work.at("/run/systemd/system")):
        work.must(["systemctl", "daemon-reload"], "systemd's own reload", JOB_TIME)
        loaded.confirm_read(work)
    if work.state.unread:
        work.state.unread = False
        work.state.save_manifest()


def _time(state: dict[str, str]) -> float:
    """The seconds that systemd gives a unit to start, from `TimeoutStartUSec` as systemctl prints it (`1min 30s`)."""
    total = 0.0
    for word in state.get("TimeoutStartUSec", "").split():
        for suffix, factor in (("min", 60.0), ("ms", 0.001), ("us", 0.000001), ("h", 3600.0), ("s", 1.0)):
            if word.endswith(suffix) and word[: -len(suffix)].replace(".", "", 1).isdigit():
                total += float(word[: -len(suffix)]) * factor
                break
    return total or JOB_TIME


def journal(unit: str, work: Work) -> str:
    """The end of a unit's journal."""
    result = work.run(["journalctl", "--no-pager", "--quiet", "-o", "cat", "-n", str(JOURNAL), "-u", unit], 10.0)
    return result.out.strip()


def last_words(unit: str, work: Work) -> str:
    """The end of a unit's journal where what it may quote is known, and can be masked; or where to read it."""
    return journal(unit, work) if work.declared else f"its journal, which may quote secrets:  journalctl -u {unit}"
