"""The controller is killed at each step of a switchover and of a failover; what `status` then names finishes it.

Steps are counted as `stepping` does. Some, at random, are tried each time; the seed is printed, and may be set by
HAKIT_DRILL_SEED. All of them are tried in the long run.
"""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.lab.postgres import doors
from tests.lab.postgres.doors import Doors
from tests.lab.postgres.incident import Incident, guarded, mend, stepping, tell

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.drill.writer import Writer
    from tests.lab.conftest import LabFactory
    from tests.lab.postgres.conftest import Cluster

pytestmark = pytest.mark.timeout(600)

SEED = int(os.environ.get("HAKIT_DRILL_SEED") or random.SystemRandom().randrange(10**6))
SWITCHOVER = {
    "checkpoint": 1,
    "decide": 3,
    "hold": 2,
    "slots": 4,
    "follow": 4,
    "stop": 1,
    "demote": 1,
    "promote": 1,
    "release": 2,
    "start": 1,
}
"""How many steps of each kind a switchover has."""
PULLED = {"halt": 2, "decide": 3, "slots": 3, "follow": 2, "promote": 1, "release": 1}
"""The same of a failover from a primary without power."""
STOPPED = {"stop": 2, "halt": 2, "decide": 4, "demote": 1, "slots": 3, "follow": 2, "promote": 1, "release": 1}
"""And of one from a primary whose server is stopped, on a host that answers."""


def points(steps: dict[str, int]) -> tuple[str, ...]:
    """Where to kill: as each step is on its way to its host, and as it is done there."""
    numbered = (f"{verb}-{number}" for verb, count in steps.items() for number in range(1, count + 1))
    return tuple(f"{step}-{end}" for step in numbered for end in ("sent", "done"))


@pytest.fixture(scope="module")
def cluster(lab_factory: LabFactory, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A cluster whose balancers can each be asked by itself."""
    return doors.make(lab_factory, tmp_path_factory.mktemp("doors"))


def judge(cluster: Cluster, incident: Incident, writer: Writer, knocking: Doors) -> str:
    """End the clients; nothing that was acknowledged is lost, one server at a time took writes. What was seen."""
    written, seen = writer.stop(), knocking.stop()
    verdict = cluster.judge(written)
    assert verdict.lost == (), str(incident)
    assert verdict.unexpected == (), str(incident)
    knocking.check(seen)
    # A client may hear of its last rows a little later; who acknowledged never changes back.
    assert written.turns == tuple(server for server, _ in seen.turns), str(incident)
    return f"{verdict.ok} rows, {' → '.join(written.turns)}, longest pause {written.longest_pause:.1f} s"


def switch_over(cluster: Cluster, step: str, second: str = "") -> str:
    """Kill a switchover at a step, and maybe what finishes it; what was seen."""
    incident = Incident(cluster)
    with cluster.writer(workers=1) as writer, Doors(cluster, f"knocks_{cluster.tables[-1]}") as knocking:
        incident.cut(step, "postgres", "switchover", "main", "--yes")
        if second:
            incident.cut(second, *incident.next())
        count = incident.settle()
        seen = judge(cluster, incident, writer, knocking)
    return f"{count} commands, {seen}"


def fail_over(cluster: Cluster, step: str, second: str = "", *, pull: bool) -> str:
    """Pull the primary's power, or stop its server; kill a failover at a step, and maybe what finishes it."""
    before = cluster.primary()
    incident = Incident(cluster, away=before if pull else "")
    fenced = ("--fenced", before) if pull else ()
    with cluster.writer(workers=1) as writer, Doors(cluster, f"knocks_{cluster.tables[-1]}") as knocking:
        if pull:
            cluster.lab.lab.power(before, "pull")
        else:
            cluster.sh(before, "systemctl stop postgresql@15-main")
        incident.cut(step, "postgres", "failover", "main", *fenced, "--yes")
        if second:
            incident.cut(second, *incident.next(), *fenced)
        count = incident.finish()
        cluster.lab.eventually(cluster.writable, f"writers get through\n{incident}", 30)
        if pull:
            cluster.lab.lab.power(before, "on")
            cluster.lab.eventually(lambda: guarded(cluster, before), "the guard speaks", 60)
            incident.away = ""
        count += incident.settle()
        # One that answers has all that there is: killed after it was made a standby, the next failover may choose it.
        assert not pull or cluster.primary() != before, str(incident)
        seen = judge(cluster, incident, writer, knocking)
    return f"{count} commands, {seen}"


@pytest.fixture
def settled(cluster: Cluster) -> Cluster:
    """The cluster with all its members in their places; whatever a failed test left is mended before."""
    mend(cluster)
    return cluster


@pytest.mark.long
def test_every_step_is_known(settled: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "steps.json"
    done = stepping(settled, "--steps", str(file), "--", "postgres", "switchover", "main", "--yes")
    assert done.returncode == 0, done.stdout
    assert json.loads(file.read_text()) == SWITCHOVER, done.stdout
    settled.settled()
    before = settled.primary()
    settled.sh(before, "systemctl stop postgresql@15-main")
    done = stepping(settled, "--steps", str(file), "--", "postgres", "failover", "main", "--yes")
    assert done.returncode == 0, done.stdout
    assert json.loads(file.read_text()) == STOPPED, done.stdout
    settled.run("postgres", "rejoin", "main", before)
    settled.settled()
    before = settled.primary()
    settled.lab.lab.power(before, "pull")
    done = stepping(settled, "--steps", str(file), "--", "postgres", "failover", "main", "--fenced", before, "--yes")
    assert done.returncode == 0, done.stdout
    assert json.loads(file.read_text()) == PULLED, done.stdout
    settled.lab.lab.power(before, "on")
    settled.lab.eventually(lambda: guarded(settled, before), "the guard speaks", 60)
    settled.run("postgres", "rejoin", "main", before)


@pytest.mark.parametrize("number", range(2))
def test_a_switchover_that_is_killed_is_finished(settled: Cluster, number: int, request: pytest.FixtureRequest) -> None:
    step = random.Random(SEED).sample(points(SWITCHOVER), 2)[number]  # noqa: S311 - to be repeated, not to be secret
    tell(request, f"seed {SEED}, {step}: {switch_over(settled, step)}")


@pytest.mark.parametrize("number", range(2))
def test_a_failover_that_is_killed_is_finished(settled: Cluster, number: int, request: pytest.FixtureRequest) -> None:
    pull = number == 0
    step = random.Random(SEED).choice(points(PULLED if pull else STOPPED))  # noqa: S311 - as above
    tell(request, f"seed {SEED}, {step}: {fail_over(settled, step, pull=pull)}")


@pytest.mark.long
@pytest.mark.parametrize("step", points(SWITCHOVER))
def test_a_switchover_that_is_killed_anywhere_is_finished(
    settled: Cluster, step: str, request: pytest.FixtureRequest
) -> None:
    tell(request, f"{step}: {switch_over(settled, step)}")


@pytest.mark.long
@pytest.mark.parametrize("step", points(PULLED))
def test_a_failover_without_the_old_host_that_is_killed_anywhere_is_finished(
    settled: Cluster, step: str, request: pytest.FixtureRequest
) -> None:
    tell(request, f"{step}: {fail_over(settled, step, pull=True)}")


@pytest.mark.long
@pytest.mark.parametrize("step", points(STOPPED))
def test_a_failover_on_hosts_that_answer_that_is_killed_anywhere_is_finished(
    settled: Cluster, step: str, request: pytest.FixtureRequest
) -> None:
    tell(request, f"{step}: {fail_over(settled, step, pull=False)}")


@pytest.mark.long
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("stop-1-done", "demote-1-sent"),
        ("demote-1-done", "promote-1-sent"),
        ("promote-1-sent", "release-1-sent"),
        ("release-1-done", "start-1-sent"),
    ],
)
def test_what_finishes_a_switchover_may_be_killed_too(
    settled: Cluster, first: str, second: str, request: pytest.FixtureRequest
) -> None:
    tell(request, f"{first}, {second}: {switch_over(settled, first, second)}")


@pytest.mark.long
@pytest.mark.parametrize(("first", "second"), [("halt-1-done", "decide-1-done"), ("decide-3-done", "promote-1-sent")])
def test_what_finishes_a_failover_may_be_killed_too(
    settled: Cluster, first: str, second: str, request: pytest.FixtureRequest
) -> None:
    tell(request, f"{first}, {second}: {fail_over(settled, first, second, pull=True)}")
