"""A small model of a cluster: servers with WAL, boot guards, power and wires; it carries out the verbs of a task."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hakit.agent.postgres.decision import from_wire, parse
from hakit.agent.postgres.guard import judge
from hakit.agent.postgres.place import Member, Place
from hakit.agent.postgres.states import State
from hakit.agent.postgres.wal import written
from hakit.errors import ConnectError, HakitError, RefusedError
from hakit.postgres.conductor import Conductor
from hakit.postgres.layout import Layout, Synchrony

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

RECORD = 16  # bytes of a WAL record
SYSTEM = "7"
READING = frozenset({"look"})


class Killed(BaseException):
    """The controller was killed."""


@dataclass
class Server:
    host: str
    power: bool = True
    wired: bool = True
    """Whether the controller reaches it."""
    running: bool = True
    signal: bool = True
    timeline: int = 1
    wal: list[tuple[int, str]] = field(default_factory=list)
    state: str = "in production"
    unstarted: bool = False
    """Whether it was copied or rewound, and not started since."""
    stuck: bool = False
    """Whether its server dies at each start; only another copy helps."""
    checkpoint: int = 0
    upstream: str = ""
    held: str = ""
    decision: dict[str, Any] = field(default_factory=dict)
    slots: set[str] = field(default_factory=set)
    promoting: int = 0
    """How many answers from now it becomes the primary that it was asked to be; nobody asked where it is 0."""
    full: bool = False
    """Whether its disk takes no decision."""
    late: int = -1
    """Where something holds its replay up."""

    @property
    def leads(self) -> bool:
        return self.power and self.running and not self.signal

    @property
    def standby(self) -> bool:
        return self.power and self.running and self.signal

    @property
    def end(self) -> int:
        return len(self.wal) * RECORD

    @property
    def epoch(self) -> int:
        return int(self.decision.get("epoch", 0))


class Model:
    """`hosts` in order; the first was made the primary. Commits wait for `synchronous` of all the others.

    `never` are those that are not promoted.
    """

    def __init__(self, hosts: int = 3, synchronous: int = 1, never: Collection[str] = ()) -> None:
        names = tuple(f"db{n}" for n in range(1, hosts + 1))
        self.servers = {name: Server(name, upstream=names[0]) for name in names}
        first = self.servers[names[0]]
        first.signal, first.upstream = False, ""
        first.decision = {"epoch": 1, "primary": names[0], "kind": "made", "since": "", "excused": []}
        self.synchronous = synchronous
        self.acknowledged: list[str] = []
        self.written = 0
        self.now = 0.0
        self.kill_at = -1
        self.delay = 0
        """How many answers a promotion takes that is asked for now: more than it is waited for, unless it is 0."""
        self.steps = 0
        self.log: list[str] = []
        self.names = f"ANY {synchronous} ({', '.join(names)})" if synchronous else ""
        self.members = tuple(Member(name=name, address=name) for name in names)
        able = tuple(name for name in names if name not in never)
        self.layout = Layout("main", names, names, able, names, Synchrony.parse(self.names), names[0])
        self.flow()

    # what goes on without anybody

    def flow(self, limit: int = 1 << 30, only: str = "") -> None:
        """Standbys receive at most `limit` records each from whom they follow; endpoints see their peers."""
        for _ in self.servers:
            for server in self.servers.values():
                if (not only or server.host == only) and self.streams(server):
                    source = self.servers[server.upstream]
                    server.wal += source.wal[len(server.wal) :][:limit]
                    if len(server.wal) == len(source.wal):
                        server.timeline = source.timeline
        for server in self.servers.values():
            seen = [one.host for one in self.servers.values() if one.power and one.epoch <= server.epoch]
            if server.power and server.decision:
                left = [host for host in server.decision["excused"] if host not in seen]
                server.decision = {**server.decision, "excused": left}
        self.check()

    def streams(self, server: Server) -> bool:
        source = self.servers.get(server.upstream)
        return bool(
            server.standby
            and source
            and source.power
            and source.running
            and source.wal[: len(server.wal)] == server.wal
            and source.timeline >= server.timeline
        )

    def check(self) -> None:
        leaders = [one.host for one in self.servers.values() if one.leads]
        assert len(leaders) < 2, f"two primaries: {leaders}; {self.log}"

    def write(self) -> bool:
        """A client's commit on whatever primary there is; whether it was acknowledged."""
        for server in self.servers.values():
            if server.leads:
                self.written += 1
                server.wal.append((server.timeline, f"row{self.written}"))
                attached = [one for one in self.servers.values() if self.streams(one) and one.upstream == server.host]
                for one in attached:
                    one.wal = list(server.wal)
                if len(attached) >= self.synchronous and not server.held:
                    self.acknowledged.append(f"row{self.written}")
                    return True
        return False

    def power_off(self, host: str) -> None:
        server = self.servers[host]
        if server.power and server.running:
            server.state = "in archive recovery" if server.signal else "in production"
        server.power, server.running, server.held, server.promoting = False, False, "", 0

    def power_on(self, host: str) -> None:
        """The host boots; its unit tries to start the server."""
        server = self.servers[host]
        if not server.power:
            server.power = True
            server.running = not server.stuck and (server.signal or not self.guard(server))
            server.unstarted = server.unstarted and not server.running
            self.flow()

    def guard(self, server: Server) -> str:
        """Why the server may not open: the verdict of the guard itself."""
        peers = {one.host: self.told(one) if one.power else "no answer" for one in self.servers.values()}
        del peers[server.host]
        place = Place(version=15, cluster="main", host=server.host, data="/data", members=self.members)
        verdict = judge(place, SYSTEM, server.timeline, from_wire(server.decision or {}), peers)
        return "" if verdict.opens else verdict.why

    def told(self, server: Server) -> State:
        """What the endpoint of a host tells its peers."""
        role = "primary" if server.leads else "standby" if server.standby else "stopped"
        return State(
            host=server.host,
            system=SYSTEM,
            timeline=server.timeline,
            role=role,
            standby=server.signal,
            decision=from_wire(server.decision or {}),
        )

    # what the controller does

    def conductor(self) -> Conductor:
        return Conductor(self.layout, self, clock=lambda: self.now, sleep=self.sleep, run="r", who="op")

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.flow()

    @property
    def reachable(self) -> tuple[str, ...]:
        return tuple(host for host, one in self.servers.items() if one.power and one.wired)

    @property
    def errors(self) -> Mapping[str, HakitError]:
        return {host: ConnectError(f"{host}: no route") for host in self.servers if host not in self.reachable}

    def do(self, host: str, verb: str, arguments: Mapping[str, str], timeout: float) -> dict[str, Any]:
        del timeout
        if host not in self.reachable:
            raise ConnectError(f"{host}: the connection was lost")
        changing = verb not in READING
        self.steps += changing
        # An even number kills before the step, an odd one right after it.
        if changing and self.kill_at == 2 * self.steps:
            raise Killed
        self.log.append(f"{verb} {host} {dict(arguments)}" if changing else "")
        self.pass_by()
        answer: dict[str, Any] = getattr(self, f"do_{verb}")(self.servers[host], **arguments)
        self.now += 0.01
        self.flow()
        if changing and self.kill_at == 2 * self.steps + 1:
            raise Killed
        return answer

    def each(
        self, hosts: Iterable[str], verb: str, arguments: Callable[[str], Mapping[str, str]], timeout: float
    ) -> tuple[dict[str, dict[str, Any]], dict[str, HakitError]]:
        answers, failed = {}, {}
        for host in hosts:
            try:
                answers[host] = self.do(host, verb, arguments(host), timeout)
            except HakitError as error:
                failed[host] = error
        return answers, failed

    def pass_by(self) -> None:
        """Promotions that are on their way come nearer to their end."""
        for server in self.servers.values():
            server.promoting -= server.promoting > 0
            if server.promoting == 1:
                self.end_promotion(server)

    def end_promotion(self, server: Server) -> None:
        server.promoting = 0
        if server.standby:
            server.signal, server.upstream, server.state = False, "", "in production"
            server.timeline += 1
            server.wal.append((server.timeline, "promoted"))
            self.check()

    def do_look(self, server: Server) -> dict[str, Any]:
        replicas = [
            {"name": one.host, "state": "streaming", "sync": "quorum", "flushed": written(one.end)}
            for one in self.servers.values()
            if self.streams(one) and one.upstream == server.host and len(one.wal) == len(server.wal)
        ]
        running = server.running
        return {
            "installed": True,
            "data": "cluster",
            "system": SYSTEM,
            "timeline": server.timeline,
            "state": server.state,
            "checkpoint": written(server.checkpoint),
            "standby": server.signal,
            "unstarted": server.unstarted,
            "running": running,
            "role": ("standby" if server.signal else "primary") if running else "",
            "lsn": written(server.end) if running else "",
            "replayed": written(server.end if server.late < 0 else server.late) if running and server.signal else "",
            "upstream": server.upstream if server.signal else "",
            "receiving": {"status": "streaming", "from": server.upstream} if self.streams(server) else None,
            "replicas": replicas if running else [],
            "settings": {"synchronous_standby_names": self.names, "synchronous_commit": "on"} if running else {},
            "held": server.held,
            "decision": server.decision or None,
        }

    def do_decide(self, server: Server, record: str) -> dict[str, Any]:
        found, known = parse(record), from_wire(server.decision or {})
        if not found.repeats(known):
            if found.epoch <= known.epoch:
                raise RefusedError(f"{server.host}: knows another decision of epoch {server.epoch}")
            if server.full:
                raise RefusedError(f"{server.host}: no space left on device")
            server.decision = found.wire()
        return server.decision

    def do_hold(self, server: Server, why: str) -> dict[str, Any]:
        server.held = why
        return {}

    def do_release(self, server: Server) -> dict[str, Any]:
        server.held = ""
        return {}

    def do_halt(self, server: Server) -> dict[str, Any]:
        if not server.standby:
            raise RefusedError(f"{server.host}: is no standby that runs")
        server.upstream = ""
        return {"timeline": server.timeline, "lsn": written(server.end), "replayed": written(server.end)}

    def do_follow(self, server: Server, upstream: str, wait: str = "0") -> dict[str, Any]:
        server.upstream = upstream
        self.flow()
        if float(wait) and not self.streams(server):
            raise RefusedError(f"{server.host}: did not begin to stream from {upstream}")
        return {"streams": self.streams(server)}

    def do_checkpoint(self, server: Server) -> dict[str, Any]:
        if not server.running:
            raise RefusedError(f"{server.host}: does not run")
        return {}

    def do_slots(self, server: Server, hosts: str) -> dict[str, Any]:
        if not server.running:
            raise RefusedError(f"{server.host}: does not run")
        server.slots = set(filter(None, hosts.split(",")))
        return {}

    def do_stop(self, server: Server, mode: str = "fast") -> dict[str, Any]:
        if server.running:
            clean = mode == "fast"
            if server.leads and clean:
                server.checkpoint = server.end
                server.wal.append((server.timeline, f"shutdown{len(server.wal)}"))
                self.flow()
            state = "in archive recovery" if server.signal else "in production"
            stopped = "shut down in recovery" if server.signal else "shut down"
            server.running, server.state, server.promoting = False, stopped if clean else state, 0
        return {"state": server.state}

    def do_start(self, server: Server) -> dict[str, Any]:
        if not server.running:
            why = "" if server.signal else self.guard(server)
            if why:
                raise RefusedError(f"{server.host}: the guard says: {why}")
            if server.stuck:
                raise RefusedError(f"{server.host}: the server died after its start")
            server.running, server.unstarted = True, False
            server.state = "in archive recovery" if server.signal else "in production"
        return {}

    def do_demote(self, server: Server) -> dict[str, Any]:
        if not server.signal and server.running:
            raise RefusedError(f"{server.host}: runs")
        server.signal = True
        return {}

    def do_resume(self, server: Server) -> dict[str, Any]:
        if server.signal:
            if server.running or "recovery" in server.state or server.decision.get("primary") != server.host:
                raise RefusedError(f"{server.host}: can't be a primary again")
            server.signal = False
        return {}

    def do_promote(self, server: Server) -> dict[str, Any]:
        if not server.running or server.decision.get("primary") != server.host:
            raise RefusedError(f"{server.host}: was not decided to be the primary, or does not run")
        if server.signal and self.delay:
            server.promoting = server.promoting or 1 + self.delay
            raise RefusedError(f"{server.host}: was not promoted within 60 s")
        self.end_promotion(server)
        return {"timeline": server.timeline}

    def do_rewind(self, server: Server, upstream: str) -> dict[str, Any]:
        source = self.servers[upstream]
        assert not server.running
        if server.unstarted or server.state == "in archive recovery":
            raise RefusedError(f"{server.host}: is a standby that was not shut down")
        common = 0
        while server.wal[common : common + 1] == source.wal[common : common + 1] != []:
            common += 1
        rewound = common < len(server.wal)
        assert not rewound or server.timeline < source.timeline, "pg_rewind would not see that they parted"
        server.signal, server.upstream = True, upstream
        if rewound:
            server.wal, server.timeline, server.state = source.wal[:], source.timeline, "in archive recovery"
            server.unstarted = True
        return {"rewound": rewound}

    def do_reinit(self, server: Server, upstream: str, rate: str, system: str) -> dict[str, Any]:
        del rate
        assert system == SYSTEM
        source = self.servers[upstream]
        server.running, server.signal, server.upstream = False, True, upstream
        server.wal, server.timeline, server.state = source.wal[:], source.timeline, "in production"
        server.unstarted, server.stuck = True, False
        return {"aside": "/data.hakit-old"}

    def forget(self, host: str) -> None:
        """The host leaves the inventory, and nothing is applied."""
        able = tuple(one for one in self.layout.promotable if one != host)
        left = tuple(one for one in self.layout.members if one != host)
        self.layout = replace(self.layout, members=left, voters=left, promotable=able, candidates=left)

    # what a test asks

    @property
    def primary(self) -> str:
        return next((one.host for one in self.servers.values() if one.leads), "")

    def lost(self) -> list[str]:
        rows = {row for _, row in self.servers[self.primary].wal}
        return [row for row in self.acknowledged if row not in rows]

    def healthy(self) -> bool:
        """One primary, named by the last decision, all others stream from it, nobody is held, no slot is left."""
        lead = self.servers.get(self.primary)
        self.flow()
        return bool(
            lead
            and not any(one.held for one in self.servers.values())
            and lead.decision["primary"] == lead.host
            and not any(one.slots for one in self.servers.values() if one is not lead)
            and all(self.streams(one) for one in self.servers.values() if one is not lead)
        )
