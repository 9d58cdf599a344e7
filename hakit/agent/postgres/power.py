"""The server as a unit: started, stopped, and whether any process of it is left."""

from __future__ import annotations

import os
from time import monotonic, sleep

from hakit.agent import disk, loaded
from hakit.agent.errors import Failure
from hakit.agent.postgres import control, programs, torn
from hakit.agent.postgres.client import Connection, SqlError
from hakit.agent.postgres.place import SOCKETS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hakit.agent.postgres.place import Place
    from hakit.agent.work import Work

POLL = 0.05  # seconds between two looks
MODES = ("fast", "immediate")
NOT_YET = "57P03"  # cannot_connect_now: starting up, shutting down, or not yet consistent


def connect(place: Place, work: Work, database: str = "postgres", timeout: float = 10.0) -> Connection:
    """A connection with this host's server, as its superuser. Raises Failure."""
    return Connection(work.at(SOCKETS), place.port, database, timeout=timeout)


def wait_for(condition: Callable[[], bool], patience: float, message: str) -> None:
    """Poll until something is so. Raises Failure with `message` when it is not within `patience` seconds."""
    deadline = monotonic() + patience
    while not condition():
        if monotonic() > deadline:
            raise Failure(f"{message} within {patience:g} s")
        sleep(POLL)


def postmaster(place: Place, work: Work) -> int:
    """The process that serves the data directory, 0 when none does. Raises OSError."""
    try:
        with open(work.at(f"{place.data}/postmaster.pid"), encoding="utf-8", errors="replace") as file:
            pid = int(file.readline())
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError, ValueError):
        return 0
    return pid if name == "postgres" and rest.split()[0] != "Z" else 0


def is_up(place: Place, work: Work) -> bool:
    """Whether the server runs, or its unit is on the way to it. Raises Failure, OSError."""
    state = loaded.show([place.unit], work)[place.unit]
    return state.get("ActiveState") in loaded.RUNNING or postmaster(place, work) != 0


def must_be_down(place: Place, doing: str, work: Work) -> None:
    """Raises Failure when the server runs."""
    if is_up(place, work):
        raise Failure(f"can't {doing} while the server of {place.host} runs: stop it first")


def stop(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Stop the unit, without disabling it; what the data directory says afterwards. Raises Failure.

    `mode` is `fast` (disconnects clients, writes a checkpoint, has connected standbys get all WAL) or `immediate`.
    """
    mode = arguments.get("mode", "fast")
    if mode not in MODES:
        raise Failure(f"no such mode of stopping: {mode} (fast, immediate)")
    deadline = monotonic() + timeout
    if is_up(place, work):
        # First the unit: what dies under a unit that is not told to stop would be started again.
        work.must(["systemctl", "stop", "--no-block", "--", place.unit], f"stop {place.unit}", 20.0)
        if mode == "immediate":
            argv = [f"{place.programs}/pg_ctl", "stop", "-m", mode, "-W", "-s", "-D", work.at(place.data)]
            programs.run(argv, work, 20.0)
        left = max(1.0, deadline - monotonic())
        wait_for(lambda: not is_up(place, work), left, f"the server of {place.host} did not stop")
    return _stopped(place, work)


def _stopped(place: Place, work: Work) -> dict[str, Any]:
    path = work.at(place.data)
    if control.contents(path) != control.CLUSTER:
        return {"running": False}
    try:
        found = control.read(path, place.programs, work)
    except Failure:
        return {"running": False}  # it is down, and that was asked for
    return {
        "running": False,
        "state": found.state,
        "checkpoint": found.checkpoint,
        "timeline": found.timeline,
        "system": found.system,
    }


def start(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Start the unit and wait until the server answers. Raises Failure with the words of the guard and the journal."""
    del arguments
    from hakit.agent.handlers.unit import journal
    from hakit.agent.postgres import guard

    why = torn.read(place, work)
    if why:
        raise Failure(f"{place.data} must not be started: {why}")
    deadline = monotonic() + timeout
    state = loaded.show([place.unit], work)[place.unit]
    if state.get("ActiveState") != "active":
        if state.get("ActiveState") == "failed":
            work.run(["systemctl", "reset-failed", "--", place.unit])
        disk.delete(work.at(guard.path(place)))
        result = work.run(["systemctl", "start", "--", place.unit], timeout)
        if result.code or result.late:
            why = guard_says(place, work) or f"{place.unit} did not start"
            raise Failure(why, output=f"{result.tail()}\n{journal(place.unit, work)}".strip())
    while not _answers(place, work):
        if not is_up(place, work):
            raise Failure(f"the server of {place.host} died after its start", output=journal(place.unit, work))
        if monotonic() > deadline:
            raise Failure(f"the server of {place.host} does not answer {timeout:g} s after its start")
        sleep(POLL)
    return {"running": True}


def _answers(place: Place, work: Work) -> bool:
    try:
        with connect(place, work, timeout=5.0) as connection:
            return bool(connection.query("SELECT 1"))
    except SqlError as error:
        if error.sqlstate == NOT_YET or error.sqlstate.startswith("08"):
            return False
        raise


def guard_says(place: Place, work: Work) -> str:
    """Why the boot guard did not let the server start; empty when it did not say so."""
    from hakit.agent.postgres import guard

    try:
        said = disk.read(work.at(guard.path(place))).decode("utf-8", "replace").strip()
    except OSError:
        return ""
    return f"{place.host} {said}" if said.startswith(guard.REFUSED) else ""


def is_standby_on_disk(place: Place, work: Work) -> bool:
    """Whether the data directory says that its server is a standby."""
    return os.path.lexists(work.at(place.signal))
