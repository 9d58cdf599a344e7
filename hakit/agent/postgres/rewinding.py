"""A former primary made a standby again: rewound where that can be, else copied anew with its old data moved aside.

pg_rewind needs checksums or wal_log_hints, all WAL of the target since the two servers parted, a target that was shut
down cleanly and a source whose last checkpoint is on its own timeline (PostgreSQL documentation, pg_rewind). Its
rehearsal (`--dry-run`) finds all of these without changing anything; only then it is let loose, and when it fails now
the data directory is lost.
"""

from __future__ import annotations

import os
from time import gmtime, strftime

from hakit.agent import disk
from hakit.agent.errors import Failure
from hakit.agent.postgres import control, making, power, programs, record, torn, upstream
from hakit.agent.postgres.progress import Progress
from hakit.agent.postgres.replication import Upstream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.postgres.place import Place
    from hakit.agent.work import Work

CLEAN = ("shut down", "shut down in recovery")
RECOVERY = 3600.0  # seconds for the recovery of a server that crashed, and for reading its WAL in the rehearsal
STOP = 120.0  # seconds for the server to stop before its data are copied anew
REWIND = 30 * 86400.0  # seconds; what does not advance is ended long before
NEEDLESS = "no rewind required"
RECOVERING = "its recovery before a rewind did not end:  hakit postgres rejoin  goes on"
REBUILD = "it has to be copied anew:  hakit postgres reinit"


def rewind(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Make the stopped server a standby of the member `upstream`, which has left its history; whether it was rewound.

    Raises Failure: before anything was changed, or saying that the data directory is lost.
    """
    source = Upstream(place, arguments["upstream"], upstream.replicator(place, work), work)
    power.must_be_down(place, "rewind it", work)
    _check(place, work)
    source.check(control.read(work.at(place.data), place.programs, work).system)
    power.wait_for(
        source.is_on_its_timeline,
        timeout,
        f"{source.label} has written no checkpoint since it was promoted: pg_rewind would not see that; none came",
    )
    _shut_down_cleanly(place, work)
    rehearsal = programs.run(_command(place, source, "--dry-run", work=work), work, RECOVERY)
    if rehearsal.code or rehearsal.late:
        _make_standby(place, source, work)
        raise Failure(_why(source, place, rehearsal.tail()), output=rehearsal.tail())
    needed = NEEDLESS not in rehearsal.tail()
    if needed:
        torn.write(place, f"a rewind to {source.host} did not end; {REBUILD}", work)
        _let_loose(place, source, work)
    _make_standby(place, source, work)
    torn.forget(place, work)
    return {"rewound": needed, "upstream": source.host}


def _check(place: Place, work: Work) -> None:
    why = torn.read(place, work)
    if why and why != RECOVERING:
        raise Failure(f"{place.data} can't be rewound: {why}", path=place.data)
    path = work.at(place.data)
    if control.contents(path) != control.CLUSTER:
        raise Failure(f"{place.data} holds no cluster: there is nothing to rewind", path=place.data)
    found = control.read(path, place.programs, work)
    if not (found.checksums or found.hints):
        raise Failure(f"{place.data} has neither checksums nor wal_log_hints, so it can't be rewound: {REBUILD}")


def _shut_down_cleanly(place: Place, work: Work) -> None:
    """Let a server that crashed recover, alone: nobody can connect to it."""
    path = work.at(place.data)
    state = control.read(path, place.programs, work).state
    if state in CLEAN:
        return
    if state == control.ARCHIVE_RECOVERY or os.path.lexists(f"{path}/{control.LABEL}"):
        # What recovers alone ends its WAL with a record of its own, which no other server has and pg_rewind can't see.
        raise Failure(
            f"{place.host} is a standby that was not shut down ({state}), and alone it would end its WAL: start its "
            f"server and stop it; where it does not start, {REBUILD}"
        )
    work.say(f"{place.host} was not shut down cleanly: it recovers first")
    # A server of one user refuses to be a standby.
    was_standby = power.is_standby_on_disk(place, work) or torn.read(place, work) == RECOVERING
    if was_standby:
        torn.write(place, RECOVERING, work)
        disk.delete(work.at(place.signal))
    argv = [f"{place.programs}/postgres", "--single", "-D", path, "-c", f"config_file={_config(place, work)}"]
    result = programs.run([*argv, "template1"], work, RECOVERY)
    if was_standby:
        programs.put(work.at(place.signal), b"", 0o600, work)
        torn.forget(place, work)
    if result.code or result.late:
        raise Failure(f"the server of {place.host} does not recover; {REBUILD}", output=result.tail())


def _config(place: Place, work: Work) -> str:
    return f"{work.at(place.config)}/postgresql.conf"


def _command(place: Place, source: Upstream, *options: str, work: Work) -> list[str]:
    target = upstream.conninfo({**source.words, "dbname": "postgres"})
    argv = [f"{place.programs}/pg_rewind", "-D", work.at(place.data), "--source-server", target]
    return [*argv, "--config-file", _config(place, work), *options]


def _let_loose(place: Place, source: Upstream, work: Work) -> None:
    """Rewind. Goes on when the controller is gone: an end half-way would lose the data directory."""
    log = f"{work.at(place.data)}.hakit-rewind.log"
    try:
        tick = Progress(source.label, log, work, ends=False).tick
        result = programs.run(_command(place, source, "--progress", work=work), work, REWIND, log=log, tick=tick)
        said = "\n".join(line for line in result.tail().splitlines() if "kB (" not in line)
        if result.code or result.late:
            why = f"a rewind to {source.host} failed; {REBUILD}"
            torn.write(place, why, work)
            raise Failure(f"{place.data} is lost: {why}", output=said)
    finally:
        disk.delete(log)


def _make_standby(place: Place, source: Upstream, work: Work) -> None:
    upstream.write(place, upstream.text(source.words, place.host), work)
    programs.put(work.at(place.signal), b"", 0o600, work)


def _why(source: Upstream, place: Place, said: str) -> str:
    if "could not find common ancestor" in said or ("pg_wal" in said and "No such file" in said):
        return f"{place.host} has no longer the WAL back to where it parted from {source.host}; {REBUILD}"
    if "permission denied for function" in said:
        return f"the role {source.user} may not read files on {source.label}: apply the inventory there first"
    last = next((line for line in reversed(said.splitlines()) if "error" in line or "fatal" in line), said[-200:])
    return f"{place.host} can't be rewound to {source.host} ({last.strip()}); {REBUILD}"


def reinit(place: Place, arguments: dict[str, str], work: Work, timeout: float) -> dict[str, Any]:
    """Copy the member `upstream` anew, at most `rate` KiB/s where that is not 0; `aside` is where the old data are.

    The server is stopped first; its data are moved aside only when the copy is whole. `system`: the identifier that
    the cluster has to have, where it is given.
    """
    host = arguments["upstream"]
    if record.read(work.at(place.decision)).primary == place.host:
        raise Failure(f"{place.host} was decided to be the primary: it is not copied anew")
    if power.postmaster(place, work) and not power.is_standby_on_disk(place, work):
        raise Failure(f"{place.host} runs as a primary: it is not copied anew")
    source = Upstream(place, host, upstream.replicator(place, work), work)
    making.check_place(place, "", work)
    source.check(arguments.get("system", ""))
    power.stop(place, {}, work, min(timeout, STOP))
    aside = ""

    def move_aside() -> None:
        nonlocal aside
        aside = _move_aside(place, work)

    rate = int(arguments.get("rate") or 0)
    system = making.copy(source, work, system=arguments.get("system", ""), rate=rate, before=move_aside)
    return {"aside": aside, "system": system, "upstream": host}


def _move_aside(place: Place, work: Work) -> str:
    """Rename a data directory that is not empty; its new path."""
    path = work.at(place.data)
    if control.contents(path) in {control.ABSENT, control.EMPTY}:
        return ""
    aside = f"{place.data}.hakit-{strftime('%Y%m%dT%H%M%SZ', gmtime())}"
    if os.path.lexists(work.at(aside)):
        raise Failure(f"{aside} is in the way")
    power.must_be_down(place, "move its data aside", work)
    os.rename(path, work.at(aside))
    disk.sync_folder(os.path.dirname(path))
    work.say(f"the old data are in {aside}; delete them when they are not needed any more")
    return aside
