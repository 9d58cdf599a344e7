"""Carrying changes out on one host: in order, each read anew, what stands on a failure skipped."""

from __future__ import annotations

from hakit.agent.errors import Failure, FrameError, Stopped, from_os
from hakit.agent.handlers import handler
from hakit.agent.handlers.unit import daemon_reload
from hakit.agent.loaded import ask_restart, is_guest
from hakit.agent.planning import compare, is_early, read_one
from hakit.agent.work import REFUSED, SAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hakit.agent.resources.base import Resource
    from hakit.agent.work import Work


class Nothing:
    """A context in which nothing is done."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


class Batch:
    """One `apply`: its counts and what failed so far in this session."""

    def __init__(self, work: Work, emit: Callable[[dict[str, Any]], None], failed: set[str]) -> None:
        self._work = work
        self._emit = emit
        self._failed = failed
        self._key = ""
        self._held: dict[str, tuple[str, ...]] = {}
        self.changes = 0
        self.failures = 0
        work.say = self.note

    def run(self, keys: list[str], remove: list[str]) -> dict[str, Any]:
        """Carry it out; the closing event.

        Raises FrameError for a key that was not planned, Stopped when told to end.
        """
        unknown = [key for key in keys if key not in self._work.declared]
        unknown += [key for key in remove if key not in self._work.removing]
        if unknown:
            raise FrameError(f"not in the plan of this session: {', '.join(unknown)}")
        self._work.state.forget_cache()
        self._work.started.clear()
        early = [key for key in remove if key in self._work.state.items and is_early(key, self._work)]
        for key in early:
            self._remove(key)
        self._change([key for key in self._work.declared if key in set(keys)])
        for key in remove:
            if key not in early:
                self._remove(key)
        if self._work.state.unread:
            self._guard("", self._reload_systemd)
        if self._held:
            self._see_them_live()
        return {"ev": "batch", "changed": self.changes, "failed": self.failures}

    def _see_them_live(self) -> None:
        """Tell how the units ended that this batch started, once they have lived long enough."""
        from hakit.agent import living
        from hakit.agent.handlers.unit import journal

        self._key = next(iter(self._held))
        work = self._work
        try:
            died = living.wait(work.started, work, self.note)
        except Failure as failure:
            for key in self._held:
                self._settle(key, failure)
            return
        if work.gone():
            raise Stopped
        for key, summary in self._held.items():
            unit = key.partition(":")[2]
            dead = Failure(died[unit], output=journal(unit, work)) if unit in died else None
            self._settle(key, dead or summary)

    def _reload_systemd(self) -> tuple[str, ...]:
        daemon_reload(self._work)
        return ()

    def note(self, text: str) -> None:
        """Tell what the current resource waits for or does."""
        self._emit({"ev": "note", "key": self._key, "text": text})

    def _change(self, keys: list[str]) -> None:
        installed: set[str] = set()
        for position, key in enumerate(keys):
            if key in installed:
                continue
            self._check_stop()
            resource = self._work.declared[key]
            if self._skips(resource):
                continue
            if resource.type == "package":
                batch = self._packages(keys[position:])
                installed.update(batch)
                self._install([self._work.declared[one] for one in batch])
            else:
                self._apply(resource)

    def _packages(self, keys: list[str]) -> list[str]:
        """The packages that can be installed now, together: those that wait for nothing else of this batch."""
        others = {key for key in keys if not key.startswith("package:")}
        ready = [key for key in keys if key.startswith("package:") and not others & set(self._work.declared[key].after)]
        return [keys[0], *(key for key in ready if key != keys[0] and not self._skips(self._work.declared[key]))]

    def _apply(self, resource: Resource) -> None:
        self._begin(resource.key)

        def carry_out() -> tuple[str, ...]:
            change = compare(resource, read_one(resource, self._work), self._work)
            if not change.summary:
                return ()
            if change.after:
                raise Failure(f"it can't be done yet: {change.after}, which this run has not done")
            if resource.key in self._work.seen:
                from hakit.agent import reviewed

                reviewed.check(resource.key, change, self._work)
            if not change.memory:
                ask_restart(resource.key, self._work)
            done: tuple[str, ...] = handler(resource.type).apply(resource, change, self._work)
            self._work.seen.pop(resource.key, None)
            return done

        with self._own_step(resource.type):
            self._guard(resource.key, carry_out)

    def _own_step(self, kind: str) -> Any:
        """What a package, a command or a starting daemon does to files that are yet to be written is our own doing."""
        if kind == "files" or not self._work.seen:
            return Nothing()
        from hakit.agent.reviewed import OwnStep

        return OwnStep(self._work)

    def _install(self, resources: list[Any]) -> None:
        work = self._work
        for resource in resources:
            self._begin(resource.key)
        work.versions = None
        how: Any = handler("package")
        try:
            states = how.read(resources, work)
            missing = [one for one in resources if states[one.key][0] is None]
            for one in missing:
                ask_restart(one.key, work)
            with self._own_step("package"):
                outcome = how.install(missing, work) if missing else {}
        except (Failure, OSError) as error:
            failure = error if isinstance(error, Failure) else from_os(error, "installing")
            outcome = {one.key: failure for one in resources}
        for resource in resources:
            self._settle(resource.key, outcome.get(resource.key, ()))

    def _remove(self, key: str) -> None:
        self._check_stop()
        self._begin(key)

        def carry_out() -> tuple[str, ...]:
            record = self._work.state.items.get(key, {})
            if not record and not is_guest(key, self._work):
                return ()
            how = handler(key.partition(":")[0])
            if key in self._work.seen:
                from hakit.agent import reviewed

                reviewed.check(key, how.leftover(key, record, self._work), self._work)
            lines = self._work.removing[key]
            if not key.startswith("package:"):
                ask_restart(key, self._work)
            told: tuple[str, ...] = how.remove(key, record, self._work)
            self._work.state.disown(key)
            self._work.seen.pop(key, None)
            return tuple(dict.fromkeys((*lines, *told)))

        self._work.status.pop(key, None)
        self._guard(key, carry_out)
        if key in self._failed:
            self._work.status[key] = REFUSED

    def _begin(self, key: str) -> None:
        self._key = key
        self._emit({"ev": "begin", "key": key})

    def _guard(self, key: str, step: Callable[[], tuple[str, ...]]) -> None:
        """Run one step; its end is an event either way."""
        try:
            outcome: tuple[str, ...] | Failure = step()
        except Failure as failure:
            outcome = failure
        except OSError as error:
            outcome = from_os(error)
        unit = key.partition(":")[2] if key.startswith("unit:") else ""
        if unit in self._work.started and not isinstance(outcome, Failure):
            self._accept(key, outcome)
            self._held[key] = outcome
        elif key or isinstance(outcome, Failure):
            self._settle(key, outcome)

    def _settle(self, key: str, outcome: tuple[str, ...] | Failure) -> None:
        if isinstance(outcome, Failure):
            self.failures += 1
            self._failed.add(key)
            self._emit({"ev": "failed", "key": key, "error": self._work.told(outcome).wire()})
            return
        self._accept(key, outcome)
        self.changes += bool(outcome)
        self._emit({"ev": "done", "key": key, "changed": bool(outcome), "summary": outcome})

    def _accept(self, key: str, outcome: tuple[str, ...]) -> None:
        """Let what stands on this key go on."""
        self._failed.discard(key)
        self._work.status[key] = SAME
        if outcome:
            self._work.changed.add(key)

    def _skips(self, resource: Resource) -> bool:
        """Skip what stands on a failure; say which."""
        because = next((key for key in resource.after if key in self._failed), None)
        if because is None:
            return False
        if resource.key not in self._failed:
            self._failed.add(resource.key)
            self._emit({"ev": "skipped", "key": resource.key, "because": because})
        return True

    def _check_stop(self) -> None:
        if self._work.gone():
            raise Stopped
