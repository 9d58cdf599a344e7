"""How kernel parameters are read, set live and kept for the next boot."""

from __future__ import annotations

import os

from hakit.agent import disk
from hakit.agent.errors import Failure, from_os
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from hakit.agent.resources.sysctl import Sysctl
    from hakit.agent.work import Work

HEADER = "# Managed by hakit: changes made here are undone by its next apply.\n"


def proc_path(name: str) -> str:
    """Where a parameter lives: dots separate, or slashes where the first separator is one (sysctl(8))."""
    dot, slash = name.find("."), name.find("/")
    if slash >= 0 and (dot < 0 or slash < dot):
        return f"/proc/sys/{name}"
    return "/proc/sys/" + "/".join(part.replace("/", ".") for part in name.split("."))


def file_path(label: str) -> str:
    """The file that keeps a set of parameters."""
    return f"/etc/sysctl.d/60-hakit-{label}.conf"


def file_text(values: tuple[tuple[str, str], ...]) -> str:
    """The content of that file."""
    return HEADER + "".join(f"{name} = {' '.join(value.split())}\n" for name, value in values)


class Sysctls:
    """The handler of `Sysctl`."""

    def read(self, resources: list[Sysctl], work: Work) -> dict[str, tuple[dict[str, str | None], str | None]]:
        """The live values (None: no such parameter) and the kept file's text (None: no file)."""
        return {one.key: (self._live(one, work), self._kept(one, work)) for one in resources}

    def _live(self, resource: Sysctl, work: Work) -> dict[str, str | None]:
        return {name: _get(name, work) for name, _ in resource.values}

    def _kept(self, resource: Sysctl, work: Work) -> str | None:
        try:
            return disk.read(work.at(file_path(resource.label))).decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os(error, "reading kernel parameters") from None

    def diff(self, resource: Sysctl, state: tuple[dict[str, str | None], str | None], work: Work) -> Change:
        """Which live values differ, and whether the file does. Raises Failure for a parameter that is not there."""
        live, kept = state
        lines, after = [], ""
        for name, value in resource.values:
            wanted = " ".join(value.split())
            actual = live[name]
            if actual is None:
                key = work.require(resource, f"this kernel has no parameter {name} (is its module loaded?)")
                after = f"known after {key}"
                lines.append(f"{name} = {wanted}")
            elif actual != wanted:
                lines.append(f"{name} {actual} → {wanted}")
        left = _left(resource, live, work)
        lines += _back(left, work)
        if kept != file_text(resource.values):
            lines.append(("create " if kept is None else "write ") + file_path(resource.label))
        stale = [*left, *_moved(resource.key, live, work)]
        if stale and not lines:
            # A run was cut after it had put them back: they may not be put back once more, years later.
            return Change(summary=(f"forget {', '.join(stale)}",), memory=True)
        impact = resource.impact if lines else "none"
        return Change(summary=tuple(lines), impact=impact, after=after, new=kept is None)

    def apply(self, resource: Sysctl, change: Change, work: Work) -> tuple[str, ...]:
        """Keep the file, then set the live values. Raises Failure."""
        live = self._live(resource, work)
        old = work.state.items.get(resource.key, {}).get("live", {})
        made = {"live": {**{name: value for name, value in live.items() if value is not None}, **old}}
        work.state.items.pop(resource.key, None)
        work.state.own(resource.key, resource.component, made)
        path = file_path(resource.label)
        try:
            disk.make_folder(work.at(os.path.dirname(path)), disk.OPEN)
            work.state.replace(path, file_text(resource.values).encode(), 0o644)
        except OSError as error:
            raise from_os(error, "writing kernel parameters", (path,)) from None
        for name, value in resource.values:
            wanted = " ".join(value.split())
            if live[name] != wanted:
                _set(name, wanted, work)
        left = _left(resource, live, work)
        _put_back(left, work)
        for name in left:
            del work.state.items[resource.key]["live"][name]
        _hand_over(resource.key, live, work)
        work.state.save_manifest()
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would put back."""
        own = _own(key, record.get("live", {}), work)
        return Change(summary=(f"delete {file_path(key.partition(':')[2])}", *_back(own, work)))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Delete the file and put the live values back."""
        disk.delete(work.at(file_path(key.partition(":")[2])))
        _put_back(_own(key, record.get("live", {}), work), work)
        _hand_over(key, (), work)
        work.state.save_manifest()
        return ()


def _left(resource: Sysctl, declared: Iterable[str], work: Work) -> dict[str, str]:
    """The values before hakit of the parameters that are not declared any more."""
    before = work.state.items.get(resource.key, {}).get("live", {})
    return _own(resource.key, {name: value for name, value in before.items() if name not in declared}, work)


def _heirs(key: str, work: Work) -> dict[str, Sysctl]:
    """The parameters of the other declared sets, each with its set."""
    others: list[Any] = [one for one in work.declared.values() if one.type == "sysctl" and one.key != key]
    return {name: one for one in others for name, _ in one.values}


def _own(key: str, before: dict[str, str], work: Work) -> dict[str, str]:
    """Those of a set's parameters that no other set declares."""
    others = {*_heirs(key, work), *work.elsewhere}
    return {name: value for name, value in before.items() if name not in others}


def _moved(key: str, declared: Iterable[str], work: Work) -> list[str]:
    """The parameters of a set that only others declare now."""
    heirs = _heirs(key, work)
    return [name for name in work.state.items.get(key, {}).get("live", {}) if name not in declared and name in heirs]


def _hand_over(key: str, declared: Iterable[str], work: Work) -> None:
    """Have the others remember the values from before hakit of what is theirs now; the caller makes it durable."""
    heirs, live = _heirs(key, work), work.state.items.get(key, {}).get("live", {})
    for name in _moved(key, declared, work):
        heir, value = heirs[name], live.pop(name)
        theirs = work.state.items.setdefault(heir.key, {"component": heir.component}).setdefault("live", {})
        # What was set by the other one first is no value from before hakit.
        if theirs.get(name) in {None, " ".join(dict(heir.values)[name].split())}:
            theirs[name] = value


def _back(before: dict[str, str], work: Work) -> list[str]:
    """What putting these values back would change."""
    actual = {name: _get(name, work) for name in before}
    return [f"{name} {actual[name]} → {value}" for name, value in before.items() if actual[name] not in {None, value}]


def _put_back(before: dict[str, str], work: Work) -> None:
    """Put values back; one that the kernel refuses stays until the next boot, and is told."""
    for name, value in before.items():
        if _get(name, work) not in {None, value}:
            try:
                _set(name, value, work)
            except Failure as failure:
                work.say(f"{failure.message}; it stays as it is until the next boot")


def _get(name: str, work: Work) -> str | None:
    try:
        with open(work.at(proc_path(name)), encoding="utf-8", errors="replace") as file:
            return " ".join(file.read().split())
    except OSError:
        return None


def _set(name: str, value: str, work: Work) -> None:
    try:
        with open(work.at(proc_path(name)), "r+", encoding="utf-8") as file:
            file.truncate(0)
            file.write(value + "\n")
    except OSError as error:
        raise Failure(f"the kernel refuses {name} = {value}: {error.strerror}", path=proc_path(name)) from None
    actual = _get(name, work)
    if actual != value:
        raise Failure(f"the kernel made {actual} of {name} = {value}")
