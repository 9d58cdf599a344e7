"""Commands, power failures, cut wires and kills in any order: never two primaries, nothing acknowledged lost.

The operator of this model tells the truth: who is declared to be without power is; and never accepts a loss.
"""

from __future__ import annotations

from contextlib import suppress

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hakit.errors import HakitError
from hakit.postgres.failover import Failover
from hakit.postgres.rejoin import Return
from hakit.postgres.switchover import Switchover
from tests.unit.postgres.model import Killed, Model

HOSTS = ("db1", "db2", "db3", "db4", "db5")
host = st.sampled_from(HOSTS)
kill = st.one_of(st.just(-1), st.integers(2, 60))


class Cluster(RuleBasedStateMachine):
    model: Model

    @initialize(hosts=st.sampled_from([2, 3, 3, 4, 5]), synchronous=st.integers(1, 2), never=st.sets(host, max_size=1))
    def make(self, hosts: int, synchronous: int, never: set[str]) -> None:
        self.model = Model(hosts, min(synchronous, hosts - 1), never)

    def _run(self, kill: int, command: str, target: str, *, late: bool = False) -> None:
        model = self.model
        model.kill_at = kill if kill < 0 else 2 * model.steps + kill
        dead = [name for name, one in model.servers.items() if not one.power]
        known = target if target in model.servers else ""
        with suppress(HakitError, Killed):
            if command == "switchover":
                Switchover(model.conductor()).run(known)
            elif command == "failover":
                conductor = model.conductor()
                conductor.agree = (lambda _: self._answer()) if late else conductor.agree
                Failover(conductor, self._fence).run(known, dead)
            elif command == "rejoin":
                Return(model.conductor(), known or "db1").rejoin()
            else:
                Return(model.conductor(), known or "db1").reinit()
        model.kill_at = -1

    def _answer(self) -> None:
        """Who was not reached is, while the operator is asked."""
        for server in self.model.servers.values():
            server.wired = True

    def _fence(self, name: str) -> bool:
        self.model.power_off(name)
        return True

    @rule(kill=kill, to=host)
    def switchover(self, kill: int, to: str) -> None:
        self._run(kill, "switchover", to)

    @rule(kill=kill, to=st.one_of(st.just(""), host), late=st.booleans())
    def failover(self, kill: int, to: str, late: bool) -> None:
        self._run(kill, "failover", to, late=late)

    @rule(kill=kill, to=host)
    def rejoin(self, kill: int, to: str) -> None:
        self._run(kill, "rejoin", to)

    @rule(kill=kill, to=host)
    def reinit(self, kill: int, to: str) -> None:
        self._run(kill, "reinit", to)

    @rule(delay=st.sampled_from([0, 0, 1, 10, 40]))
    def hold_replay_up(self, delay: int) -> None:
        """Promotions take longer than they are waited for, from now on."""
        self.model.delay = delay

    @rule()
    def end_promotions(self) -> None:
        for server in self.model.servers.values():
            if server.promoting:
                self.model.end_promotion(server)

    @rule(name=host)
    def pull_the_power(self, name: str) -> None:
        if name in self.model.servers:
            self.model.power_off(name)

    @rule(name=host)
    def restore_the_power(self, name: str) -> None:
        if name in self.model.servers:
            self.model.power_on(name)

    @rule()
    def pull_all(self) -> None:
        for name in self.model.servers:
            self.model.power_off(name)

    @rule()
    def restore_all(self) -> None:
        for name in self.model.servers:
            self.model.power_on(name)

    @rule(name=host, wired=st.booleans())
    def wire(self, name: str, wired: bool) -> None:
        if name in self.model.servers:
            self.model.servers[name].wired = wired

    @rule(name=host, full=st.booleans())
    def fill_the_disk(self, name: str, full: bool) -> None:
        if name in self.model.servers:
            self.model.servers[name].full = full

    @rule(name=host)
    def crash(self, name: str) -> None:
        """The server dies, and its unit starts it again, if the guard lets it."""
        server = self.model.servers.get(name)
        if server is not None and server.power and server.running:
            server.running, server.promoting = False, 0
            server.state = "in archive recovery" if server.signal else "in production"
            server.running = not server.stuck and (server.signal or not self.model.guard(server))

    @rule(name=host)
    def spoil(self, name: str) -> None:
        """Its server dies, and at each start again."""
        if name in self.model.servers:
            self.model.servers[name].stuck = True
            self.crash(name)

    @precondition(lambda self: self.model.primary)
    @rule(cut=st.sets(host, max_size=2))
    def write(self, cut: set[str]) -> None:
        """A commit, which some standbys are too late to get before something else happens."""
        model = self.model
        away = {name: one.upstream for name, one in model.servers.items() if name in cut and one.signal}
        for name in away:
            model.servers[name].upstream = ""
        model.write()
        for name, upstream in away.items():
            model.servers[name].upstream = upstream

    @invariant()
    def never_two(self) -> None:
        if hasattr(self, "model"):
            self.model.check()

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "model") and self.model.primary:
            assert not self.model.lost(), self.model.log


Cluster.TestCase.settings = settings(
    max_examples=150, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestInterrupted = Cluster.TestCase
