"""Actions: carried out at once and in order, each with its own result; and the mark that tells of them."""

from __future__ import annotations

import os
from time import monotonic, sleep

from hakit.agent import disk, jsonlite, loaded, marks
from hakit.agent.errors import Failure, Stopped, from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.actions import Action, Mark
    from hakit.agent.work import Work

ENABLED = ("enabled", "enabled-runtime")
PARENTS = ("/run/", "/var/lib/")
OURS = "hakit-"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def act(actions: list[Action], mark: Mark | None, work: Work) -> list[dict[str, Any]]:
    """Do all of them, also after a failure; `ok` and `detail` of each.

    A mark with a kind is remembered before, one without is forgotten after, but only when everything went well.
    Raises Failure when that can't be done, Stopped when told to end: the action that was begun is complete then.
    """
    if mark is not None:
        marks.check_host(mark.host)
        if mark.kind:
            marks.write(mark, work)
    results = [_result(one, work) for one in actions]
    if mark is not None and not mark.kind and all(one["ok"] for one in results):
        marks.remove(mark.host, work)
    return results


def _result(action: Action, work: Work) -> dict[str, Any]:
    if work.gone():
        raise Stopped
    kinds = {"stop": _stop, "start": _start, "socket": _socket, "write": _write, "remove": _remove}
    if action.kind not in kinds:
        return {"ok": False, "detail": f"no such kind of action: {action.kind}"}
    try:
        detail = kinds[action.kind](action, work)
    except Failure as told:
        failure = work.told(told)
        words = "\n".join(part for part in (failure.message, failure.output) if part)
        return {"ok": False, "detail": words}
    except OSError as error:
        return {"ok": False, "detail": from_os(error, f"{action.kind} {action.target}").message}
    except ValueError as error:
        return {"ok": False, "detail": f"{action.target}: {error}"}
    return {"ok": True, "detail": detail}


class Disabled:
    """Which units a `stop` has disabled: `disabled.json` in the state folder, unit → what it was."""

    def __init__(self, work: Work) -> None:
        self._path = f"{work.state.folder}/disabled.json"
        self._work = work
        self.units = self._read()

    def _read(self) -> dict[str, str]:
        try:
            data = jsonlite.loads(disk.read(self._path).decode("utf-8").strip())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            self._work.say(f"{self._path} is damaged ({error}): which units hakit disabled is no longer known")
            return {}
        units = data.get("units") if isinstance(data, dict) else None
        return {unit: was for unit, was in units.items() if was in ENABLED} if isinstance(units, dict) else {}

    def save(self) -> None:
        """Make it durable. Raises OSError."""
        text = jsonlite.dumps({"units": self.units}) + "\n"
        disk.make_folder(self._work.state.folder)
        disk.write(self._path, text.encode(), 0o600)


def settle(unit: str, work: Work) -> None:
    """Forget that a `stop` has disabled a unit: it is enabled or disabled now as declared. Raises Failure."""
    disabled = Disabled(work)
    if disabled.units.pop(unit, None) is not None:
        try:
            disabled.save()
        except OSError as error:
            raise from_os(error, "hakit can't remember what it does") from None


def _stop(action: Action, work: Work) -> str:
    unit = action.target
    state = loaded.show([unit], work)[unit]
    was = state.get("UnitFileState", "")
    if was in ENABLED:
        disabled = Disabled(work)
        disabled.units[unit] = was
        disabled.save()
        _enable(unit, "disable", was, work)
    if state.get("ActiveState") not in loaded.RUNNING:
        return "it did not run"
    work.must(["systemctl", "stop", "--", unit], f"stop {unit}", action.timeout)
    return "stopped"


def _start(action: Action, work: Work) -> str:
    from hakit.agent.handlers.unit import last_words

    unit, deadline = action.target, monotonic() + action.timeout
    disabled = Disabled(work)
    if unit in disabled.units:
        _enable(unit, "enable", disabled.units[unit], work)
    state = loaded.show([unit], work)[unit]
    if state.get("ActiveState") == "active":
        detail = "it ran"
    else:
        if state.get("ActiveState") == "failed":
            work.run(["systemctl", "reset-failed", "--", unit])
        try:
            work.must(["systemctl", "start", "--", unit], f"start {unit}", action.timeout)
            _wait_active(unit, deadline, action.timeout, work)
        except Failure as failure:
            output = "\n".join(part for part in (failure.output, last_words(unit, work)) if part)
            raise Failure(failure.message, output=output) from None
        detail = "started"
    if disabled.units.pop(unit, None) is not None:
        disabled.save()
    return detail


def _enable(unit: str, verb: str, was: str, work: Work) -> None:
    runtime = ["--runtime"] if was == "enabled-runtime" else []
    work.must(["systemctl", verb, "--quiet", *runtime, "--", unit], f"{verb} {unit}")


def _wait_active(unit: str, deadline: float, patience: float, work: Work) -> None:
    """Wait until a unit is active, or a oneshot has done its work. Raises Failure."""
    while True:
        state = loaded.show([unit], work)[unit]
        now = state.get("ActiveState")
        if now == "active" or (state.get("Type") == "oneshot" and state.get("Result") == "success"):
            return
        if now not in loaded.RUNNING:
            raise Failure(f"{unit} is {now} after start")
        if monotonic() > deadline:
            raise Failure(f"{unit} is not active within {patience:g} s")
        sleep(0.1)


def _socket(action: Action, work: Work) -> str:
    from hakit.agent.probing import converse

    answer, ended = converse(work.at(action.target), action.text, action.timeout)
    if answer.strip():
        raise Failure(answer.strip())
    if not ended:
        raise Failure(f"{action.target} did not answer within {action.timeout:g} s")
    return ""


def _write(action: Action, work: Work) -> str:
    folder, name = _open_place(action.target, work, make=True)
    try:
        staged = work.state.temporary(action.target)
        work.state.save_manifest()
        ours = (os.geteuid(), os.getegid())
        disk.put(folder, name, staged, action.text.encode("utf-8"), owner=ours, mode=0o644)
    finally:
        os.close(folder)
    return "written"


def _remove(action: Action, work: Work) -> str:
    try:
        folder, name = _open_place(action.target, work, make=False)
    except FileNotFoundError:
        return "it was gone"
    try:
        os.unlink(name, dir_fd=folder)
        os.fsync(folder)
    except FileNotFoundError:
        return "it was gone"
    finally:
        os.close(folder)
    return "removed"


def _open_place(target: str, work: Work, *, make: bool) -> tuple[int, str]:
    """The folder of a file that an action may touch, opened without following any link, and the file's name in it.

    Raises Failure for any other place, OSError.
    """
    parent = next((one for one in PARENTS if target.startswith(one + OURS)), "")
    *folders, name = target[len(parent) :].split("/")
    forbidden = {"", ".", "..", OURS} & {*folders, name}
    if not parent or not folders or forbidden or "\0" in target:
        raise Failure(f"{target} is no place for an action: only /run/hakit-*/ and /var/lib/hakit-*/ are")
    folder = disk.open_folder(work.at(parent.rstrip("/")))
    for part in folders:
        above = folder
        try:
            folder = _enter(above, part, make=make)
        finally:
            os.close(above)
    return folder, name


def _enter(above: int, name: str, *, make: bool) -> int:
    """A folder in an open folder, made when it is missing. Raises OSError."""
    try:
        return os.open(name, _FOLDER, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
    os.mkdir(name, dir_fd=above)
    os.fsync(above)
    made = os.open(name, _FOLDER, dir_fd=above)
    os.fchmod(made, disk.OPEN)
    return made
