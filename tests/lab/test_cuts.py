"""An apply that changes every type of resource on five hosts is cut anywhere; one more apply mends all.

Cuts are spread evenly over counted points: the frames of the controller, the changes that an agent makes, the frames of
a host. Each falls at random within its share; the seed is printed and may be set by HAKIT_CUT_SEED.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.lab.conftest import ROOT
from tests.lab.cutting import versions
from tests.lab.cutting.dying import AT, DONE
from tests.lab.cutting.versions import OTHER

if TYPE_CHECKING:
    from hakit.drill.prober import Probing
    from tests.lab.conftest import LabFactory, LabHandle
    from tests.lab.cutting.versions import Version

    Picture = dict[str, Any]

pytestmark = pytest.mark.timed

Kind = Literal["controller killed", "agent killed", "power pulled"]
KINDS: tuple[Kind, ...] = ("controller killed", "agent killed", "power pulled")
HOMES = {"lb1": "10.77.0.100", "lb2": "10.77.0.101"}
HOSTS = (*HOMES, "web1", "web2", "web3")
SEED = int(os.environ.get("HAKIT_CUT_SEED") or random.SystemRandom().randrange(10**6))
FEW, MANY = 3, 20
GAP = 1.0
"""Seconds in which an address whose host lost its power must be answered again."""
WEB_LOST = 2.5
"""Seconds in which HAProxy must have noticed a web server that is gone: two checks, each with its timeout."""
SPARE = 25
"""One in so many of an agent's last changes is no point: how many there are depends a little on what waits for what."""
AIMS = 3
"""Runs that may end before their point, which was counted in one that was slower and looked at more."""
MISSED = "(it ended before)"
NOTICED = 0.3
"""Seconds that a client waits for an answer."""
SNAPSHOT = (Path(versions.__file__).parent / "snapshot.py").read_text(encoding="utf-8")


class MissedError(Exception):
    """A run ended well before its point. `frames` it had by host, or its host made `changes`."""

    def __init__(self, frames: dict[str, int] | None = None, changes: int = 0) -> None:
        super().__init__()
        self.frames = frames
        self.changes = changes


@dataclass
class Points:
    """The counted points of one direction, by host; the controller's are those of all hosts together."""

    frames: dict[str, int]
    changes: dict[str, int]

    def of(self, kind: Kind, share: float) -> tuple[str, int]:
        """The point at a share (0 to 1) of all: the host, and its number there, from 1."""
        counts = {
            "controller killed": {"": sum(self.frames.values())},
            "agent killed": {host: count - count // SPARE for host, count in self.changes.items()},
            "power pulled": self.frames,
        }[kind]
        number = int(share * sum(counts.values()))
        for host, count in counts.items():
            if number < count:
                return host, number + 1
            number -= count
        raise AssertionError("the share is more than all")

    def learn(self, host: str, missed: MissedError) -> None:
        """Take the counts of a run that ended before its point."""
        if missed.frames is not None:
            self.frames = {name: missed.frames[name] for name in HOSTS}
        else:
            self.changes[host] = missed.changes


@dataclass
class Cutter:
    """The lab, what an undisturbed run makes of it, and where it stands now."""

    lab: LabHandle
    now: Version | None = None
    truth: dict[Version, dict[str, Picture]] = field(default_factory=dict)
    points: dict[Version, Points] = field(default_factory=dict)

    def apply(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One apply with nothing in its way."""
        done = self.lab.hakit("apply", "--yes", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """The same in a process that counts and cuts."""
        command = [sys.executable, "-m", "tests.lab.cutting", *arguments, "--", "apply", "--yes", "--no-diff"]
        environment = {**os.environ, "HAKIT_INVENTORY": str(self.lab.inventory), "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=environment
        )

    def turn(self, version: Version) -> None:
        """The inventory says this version now."""
        versions.write(self.lab.inventory, version)

    def set_fuse(self, numbers: dict[str, int]) -> None:
        """Where agents die (0: they only count); on all other hosts nothing happens to them."""
        for host in HOSTS:
            script = f"echo {numbers[host]} > {AT}" if host in numbers else f"rm -f {AT}"
            self.lab.lab.exec(host, ["sh", "-c", f"rm -f {DONE}; {script}"], check=True)

    def burnt(self, host: str) -> int:
        """How many changes the last agent on a host began."""
        return int((self.last(host) or "0").split()[0])

    def last(self, host: str) -> str:
        """The last of them: its number, and what it was."""
        return self.lab.lab.exec(host, ["cat", DONE]).stdout.strip()

    def pictures(self) -> dict[str, Picture]:
        """All hosts as they are."""

        def take(host: str) -> Picture:
            done = self.lab.lab.exec(host, ["python3", "-I", "-"], input=SNAPSHOT)
            assert done.returncode == 0, done.stderr
            picture: Picture = json.loads(done.stdout)
            return picture

        with ThreadPoolExecutor(2) as pool:
            return dict(zip(HOSTS, pool.map(take, HOSTS), strict=True))

    def learn(self, version: Version, folder: Path) -> None:
        """Go to a version undisturbed; count on the way, and remember how it ended."""
        self.turn(version)
        self.set_fuse(dict.fromkeys(HOSTS, 0))
        counts = folder / "counts.json"
        process = self.start("--dying", "--count", str(counts))
        said = process.communicate(timeout=300)[0]
        assert process.returncode == 0, said
        frames: dict[str, int] = json.loads(counts.read_text())["hosts"]
        self.points[version] = Points(
            {host: frames[host] for host in HOSTS}, {host: self.burnt(host) for host in HOSTS}
        )
        self.truth[version] = self.pictures()
        self.set_fuse({})
        self.now = version

    def aim(self) -> Version:
        """The version to go to, which the inventory says from now on; what a failed test left is mended before."""
        if self.now is None:
            for host in self.lab.lab.status():
                if host.power != "on":
                    self.lab.lab.power(host.name, "on")
            self.set_fuse({})
            self.turn("a")
            self.apply()
            self.now = "a"
        self.at_home()
        there = OTHER[self.now]
        self.turn(there)
        self.now = None
        return there

    def at_home(self) -> None:
        """Wait until every address is where it belongs, and only there."""
        for home, address in HOMES.items():
            for host in HOMES:
                self.lab.eventually(
                    lambda a=address, h=host, held=host == home: self._holds(h, a) == held,  # type: ignore[misc]  # defaults bind the loop's values
                    f"{address} on {home} alone",
                )

    def _holds(self, host: str, address: str) -> bool:
        return f" {address}/" in self.lab.lab.exec(host, ["ip", "-o", "-4", "address", "show"]).stdout


@pytest.fixture(scope="module")
def cutter(lab_factory: LabFactory, tmp_path_factory: pytest.TempPathFactory) -> Cutter:
    """The site in version b, after both versions were reached from each other undisturbed."""
    folder = tmp_path_factory.mktemp("cuts")
    versions.write(folder, "b")
    made = Cutter(lab_factory(folder))
    made.apply()
    made.learn("a", folder)
    made.learn("b", folder)
    for host in HOSTS:
        assert made.truth["a"][host]["strays"] == made.truth["b"][host]["strays"] == []
        assert made.truth["a"][host]["failed"] == made.truth["b"][host]["failed"] == []
    return made


def cut(cutter: Cutter, kind: Kind, host: str, number: int, counts: Path, *, late: bool) -> str:
    """Apply, and be cut; what hakit said. Raises MissedError when it ended well before that."""
    if kind == "controller killed":
        process = cutter.start("--kill", str(number), "--count", str(counts))
    elif kind == "agent killed":
        cutter.set_fuse({host: number})
        process = cutter.start("--dying")
    else:
        late_back = ["--back-late"] if late else []
        process = cutter.start("--pull", host, str(number), *late_back, "--count", str(counts))
    said = process.communicate(timeout=300)[0]
    assert "hakit itself failed" not in said, said
    if kind == "controller killed":
        if process.returncode == 0:
            raise MissedError(frames=json.loads(counts.read_text())["hosts"])
        assert process.returncode == -signal.SIGKILL, said
        return said
    if kind == "power pulled":
        frames: dict[str, int] = json.loads(counts.read_text())["hosts"]
        if frames[host] < number:
            raise MissedError(frames=frames)
    if kind == "agent killed":
        if process.returncode == 0 and cutter.burnt(host) < number:
            raise MissedError(changes=cutter.burnt(host))
        said = f"it died at {cutter.last(host)}\n{said}"
    assert process.returncode in ((1,) if kind == "agent killed" else (0, 1)), said
    if kind == "agent killed":
        assert cutter.burnt(host) == number, f"the agent ended before change {number}:\n{said}"
        cutter.set_fuse({})
    return said


def gaps(seen: Probing) -> list[float]:
    """How long nobody was answered, each time that a client had to notice: longer than its timeout, in seconds."""
    times = [at for at, _ in seen.successes]
    return [after - before for before, after in pairwise([*times, seen.until]) if after - before > NOTICED]


def judge(kind: Kind, host: str, seen: dict[str, Probing]) -> None:
    """What clients of both addresses may have seen."""
    for address, one in seen.items():
        assert one.ended_well
        if kind != "power pulled" or (host in HOMES and address != HOMES[host]):
            assert one.failures == (), address
        else:
            assert len(gaps(one)) <= 1, (address, gaps(one), one.failures)
            assert one.longest_gap <= (GAP if host in HOMES else WEB_LOST), (address, one.failures)


def differences(found: dict[str, Picture], truth: dict[str, Picture]) -> list[str]:
    """What is not as after an undisturbed run, in words."""
    words = []
    for host, picture in found.items():
        for part, value in picture.items():
            expected = truth[host][part]
            if isinstance(value, dict):
                words += [
                    f"{host} {part} {key}: {value.get(key)} instead of {expected.get(key)}"
                    for key in sorted({*value, *expected})
                    if value.get(key) != expected.get(key)
                ]
            elif value != expected:
                words.append(f"{host} {part}: {value} instead of {expected}")
    return words


def one_round(cutter: Cutter, kind: Kind, share: float, counts: Path, *, late: bool) -> str:
    """Cut an apply, apply again, compare; where it was cut, in words, or that it was not."""
    target = cutter.aim()
    host, number = cutter.points[target].of(kind, share)
    where = f"to version {target}: {kind} {host} at {number}"
    probers = {address: cutter.lab.prober(address) for address in HOMES.values()}
    with probers[HOMES["lb1"]], probers[HOMES["lb2"]]:
        try:
            said = cut(cutter, kind, host, number, counts, late=late)
        except MissedError as missed:
            cutter.points[target].learn(host, missed)
            cutter.set_fuse({})
            cutter.now = target
            return f"{where} {MISSED}"
        again = cutter.lab.hakit("apply", "--yes", "--no-diff")
        if kind == "power pulled":
            cutter.at_home()
        seen = {address: prober.stop() for address, prober in probers.items()}
    assert again.returncode == 0, f"{where}\n{said}\n{again.stdout}{again.stderr}"
    left = differences(cutter.pictures(), cutter.truth[target])
    assert left == [], "\n".join([where, *left, said, again.stdout])
    third = json.loads(cutter.apply("--json").stdout)
    assert {name: one["state"] for name, one in third["hosts"].items()} == dict.fromkeys(HOSTS, "same"), where
    judge(kind, host, seen)
    cutter.now = target
    return where


def tell(request: pytest.FixtureRequest, line: str) -> None:
    """Print a line whether the test fails or not."""
    with request.getfixturevalue("capsys").disabled():
        sys.stdout.write(f"\n  {line}\n")


def check(request: pytest.FixtureRequest, kind: Kind, number: int, of: int) -> None:
    """The `number`th cut (from 0) of so many."""
    cutter, tmp_path = request.getfixturevalue("cutter"), request.getfixturevalue("tmp_path")
    chance = random.Random(f"{SEED} {kind} {number} {of}").random()  # noqa: S311 - to be repeated, not to be secret
    share = (number + chance) / of
    for _ in range(AIMS):
        where = one_round(cutter, kind, share, tmp_path / "counts.json", late=number % 4 == 3)
        tell(request, f"seed {SEED}: {where}")
        if not where.endswith(MISSED):
            return
    pytest.fail(f"{AIMS} runs ended before their point")


@pytest.mark.parametrize("number", range(FEW))
@pytest.mark.parametrize("kind", KINDS)
def test_an_apply_that_is_cut_is_completed_by_the_next(kind: Kind, number: int, request: pytest.FixtureRequest) -> None:
    check(request, kind, number, FEW)


@pytest.mark.long
@pytest.mark.parametrize("number", range(MANY))
@pytest.mark.parametrize("kind", KINDS)
def test_an_apply_that_is_cut_anywhere_is_completed_by_the_next(
    kind: Kind, number: int, request: pytest.FixtureRequest
) -> None:
    check(request, kind, number, MANY)


def test_the_site_verifies_after_all_that(cutter: Cutter) -> None:
    done = cutter.lab.hakit("verify")
    assert done.returncode == 0, done.stdout + done.stderr
