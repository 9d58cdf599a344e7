"""Nothing in between: a random inventory is refused with its places, or the real daemons accept what comes of it.

`HAKIT_SEED=N pytest tests/unit/components/test_random.py` repeats a run; each prints its seed when it fails.
"""

from __future__ import annotations

import json
import os
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from hakit.components.base import Facts
from hakit.components.haproxy.paths import CONFIG as HAPROXY_CONFIG
from hakit.components.keepalived.paths import CONFIG as KEEPALIVED_CONFIG
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.lint import examine
from tests.unit.components.daemons import Keepalived, Postgresql, haproxy_says, keepalived, postgresql
from tests.unit.components.random_sites import COMPONENTS, SECRET, inventories, judged, sound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from hakit.inventory.model import Site

RELEASES = (12, 13)
MEMORY = 16 << 30
OF_THIS_MACHINE = re.compile(r"could not resolve address|can't connect socket for nameserver")
"""What HAProxy says of names and routes that only a host may have."""
TOLD = {
    "missing timeouts": "HP006",
    "'ulimit-n' already specified": "HP007",
    "'stats' statement ignored": "HP008",
    "cookie": "HP014",
    "initial state MASTER": "KA003",
    "due to SYNC group": "KA011",
    "trict mode": "KA013",
    "the first IPv6 VIP address must be link local": "KA013",  # said in strict mode alone
}
"""What the daemons may complain of → the rule that must have spoken of it, or that somebody waived."""
SEED = int(os.environ.get("HAKIT_SEED", "20"))
BOUNDED = settings(
    max_examples=50,
    deadline=None,
    database=None,
    # Shrinking runs the daemons hundreds of times; an inventory of this size reads well enough.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
LONG_SEED = int(os.environ.get("HAKIT_SEED") or random.SystemRandom().randrange(2**32))


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_PLANTED", SECRET)


@dataclass(frozen=True)
class Daemons:
    """Those that judge; each says nothing of what it accepts."""

    keepalived: Keepalived
    postgresql: Postgresql
    folder: Path

    def say(self, files: Mapping[str, str]) -> str:
        """What they complain of in the files that go together."""
        ((path, text), *_) = files.items()
        if path == HAPROXY_CONFIG:
            return haproxy_says(text, self.folder)
        if path == KEEPALIVED_CONFIG:
            # keepalived 2.2 of Debian 12 judges here; that of Debian 13 takes parts of seconds.
            return self.keepalived.says(text.replace("    interval 0.5\n", "    interval 1\n"))
        return self.postgresql.says(files)


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    folder = tmp_path_factory.mktemp("daemons")
    with keepalived(folder) as addresses, postgresql(folder) as database:
        yield Daemons(addresses, database, folder)


def rendered(site: Site, version: int) -> set[tuple[tuple[str, str], ...]]:
    """The daemons' files on every host, as Debian 12 and 13 get them; each set once.

    Those of PostgreSQL are of the one `version` that can judge them.
    """
    found = set()
    templates = Templates(site)
    for host in site.hosts.values():
        for release in (RELEASES if host.release is None else (host.release,)) if host.settings else ():
            facts = Facts(release=release, memory=MEMORY)
            contents = declare(site, COMPONENTS, host, facts, templates).contents()
            own = [path for path in contents if path.startswith(f"/etc/postgresql/{version}/")]
            for paths in ([HAPROXY_CONFIG], [KEEPALIVED_CONFIG], own):
                if paths and paths[0] in contents:
                    found.add(tuple((path, contents[path].reveal()) for path in paths))
    return found


def complaints(said: str, spoken: set[str]) -> list[str]:
    """What a daemon complains of and lint did not speak of."""
    lines = [line for line in said.splitlines() if line and not OF_THIS_MACHINE.search(line)]
    left = [line for line in lines if not any(known in line and rule in spoken for known, rule in TOLD.items())]
    # An exit is no complaint of its own beside those that somebody waived.
    return [] if len(left) < len(lines) and left == ["exit 5"] else left


def hold(inventory: dict[str, Any], folder: Path, daemons: Daemons) -> None:
    judged(inventory, folder)
    left, site = sound(inventory, folder)
    report = examine(site, COMPONENTS)
    spoken = {str(problem.rule) for problem in report.problems} | {waived.rule for waived in report.waived}
    for files in rendered(site, daemons.postgresql.version):
        said = complaints(daemons.say(dict(files)), spoken)
        assert not said, "\n".join([*said, *(text for _, text in files), json.dumps(left)])


@seed(SEED)
@BOUNDED
@given(inventory=inventories())
def test_refused_or_accepted(tmp_path: Path, daemons: Daemons, inventory: dict[str, Any]) -> None:
    note(f"HAKIT_SEED={SEED}")
    hold(inventory, tmp_path, daemons)


@pytest.mark.long
@pytest.mark.timeout(3600)
@seed(LONG_SEED)
@settings(BOUNDED, max_examples=int(os.environ.get("HAKIT_EXAMPLES", "1500")))
@given(inventory=inventories())
def test_refused_or_accepted_by_the_thousand(tmp_path: Path, daemons: Daemons, inventory: dict[str, Any]) -> None:
    note(f"HAKIT_SEED={LONG_SEED}")
    hold(inventory, tmp_path, daemons)
