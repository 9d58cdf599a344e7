"""Run records: what a run was, what it planned, every event, a log per host; under `.hakit/runs/<id>/`."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass, field, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hakit.engine.events import Noted
from hakit.errors import HakitError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hakit.engine.events import Event
    from hakit.inventory.model import Site

STATE = ".hakit"


def private_folder(path: Path) -> Path:
    """Make a folder, and its missing parents, that only its owner can read."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    return path


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one run; text in it is masked already, for events never hold a secret."""

    id: str
    folder: Path
    _broken: threading.Event = field(default_factory=threading.Event, init=False, compare=False, repr=False)

    @classmethod
    def create(cls, site: Site, command: str) -> Record:
        """Begin a record. Raises HakitError when the folder beside the inventory can't be written."""
        started = datetime.now().astimezone()
        base = started.strftime("%Y-%m-%dT%H-%M-%S")
        try:
            runs = private_folder(site.root / STATE / "runs")
            run_id = _claim(runs, base)
            record = cls(run_id, runs / run_id)
            begun = {"id": run_id, "command": command, "started": started.isoformat()}
            write_private(record.folder / "run.json", _json(begun))
        except OSError as error:
            raise HakitError(
                f"can't write the run's record under {site.root / STATE}: {error.strerror}",
                hint="make that folder writable for you; a run as root leaves it to root:  sudo chown -R $USER "
                f"{site.root / STATE}",
            ) from error
        return record

    def write(self, name: str, value: Any) -> None:
        """Write one JSON file of the record. Raises HakitError; what was written of it is gone then."""
        path = self.folder / name
        try:
            write_private(path, _json(value))
        except OSError as error:
            with suppress(OSError):
                path.unlink()
            raise HakitError(f"can't write the run's record {path}: {error.strerror}") from error

    def event(self, event: Event) -> None:
        """Append one event to the run's and the host's log. Raises OSError."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"at": now, "event": type(event).__name__, **_plain(event)}
        line = json.dumps(entry, default=_plain, ensure_ascii=False)
        write_private(self.folder / "events.jsonl", line + "\n", os.O_APPEND)
        write_private(self.log(event.host), line + "\n", os.O_APPEND)

    def recording(self, sink: Callable[[Event], None]) -> Callable[[Event], None]:
        """`sink`, with every event recorded first. What can't be recorded is told once, and the work goes on."""

        def both(event: Event) -> None:
            try:
                self.event(event)
            except OSError as error:
                if not self._broken.is_set():
                    self._broken.set()
                    why = f"{self.folder} is not whole: {error.strerror}"
                    sink(Noted(event.host, f"the work goes on, but its record under {why}"))
            sink(event)

        return both

    def log(self, host: str) -> Path:
        """The log of one host."""
        return self.folder / f"{host}.log"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, default=_plain, ensure_ascii=False) + "\n"


def unfinished(site: Site) -> tuple[str, ...]:
    """The hosts that did not end well in the last apply; those that it meant to change, where it did not end at all.

    Raises UsageError when there was none, or nothing is left of it.
    """
    runs = sorted((site.root / STATE / "runs").glob("*/plan.json"), key=lambda path: path.stat().st_mtime_ns)
    for plan in reversed(runs):
        found = _left(plan)
        if found is None:
            continue
        names = tuple(name for name in site.hosts if name in found)
        if names:
            return names
        raise UsageError(f"the last apply (run {plan.parent.name}) left no host unfinished", hint="leave --failed out")
    raise UsageError(f"there is no record of an apply under {site.root / STATE}", hint="leave --failed out")


def _left(plan: Path) -> set[str] | None:
    """The hosts that a run left unfinished; None when its record can't be read."""
    try:
        result = plan.with_name("result.json")
        if result.exists():
            hosts = json.loads(result.read_text())["hosts"]
            return {name for name, one in hosts.items() if one["state"] not in {"changed", "same"}}
        meant = json.loads(plan.read_text())
        return {*meant["failed"], *(name for name, one in meant["hosts"].items() if one["changes"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _claim(runs: Path, base: str) -> str:
    for attempt in range(1, 1000):
        run_id = base if attempt == 1 else f"{base}-{attempt}"
        try:
            (runs / run_id).mkdir(mode=0o700)
        except FileExistsError:
            continue
        return run_id
    raise FileExistsError(17, "a thousand runs began in this second", str(runs))


def write_private(path: Path, text: str, flag: int = os.O_TRUNC) -> None:
    """Write or append to a file that only its owner can read, from its first moment on."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _plain(value: Any) -> Any:
    if isinstance(value, HakitError):
        return value.text()
    if is_dataclass(value) and not isinstance(value, type):
        return {key: item for key, item in asdict(value).items() if item not in (None, "", ())}
    return str(value)
