"""A cluster of three behind two balancers, and what tests ask of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hakit.drill.writer import Writer
from hakit.errors import LabError

if TYPE_CHECKING:
    from hakit.drill.writer import Verdict, Writing
    from tests.lab.conftest import LabFactory, LabHandle

INVENTORY = Path(__file__).parents[3] / "inventories" / "database"
SECRETS = {"HAKIT_SECRET_REPLICATION": "replicates-1", "HAKIT_SECRET_ORDERS": "applies-1"}
ADDRESS, PORT, READERS = "10.78.0.100", 5432, 5433
HOSTS = ("db1", "db2", "db3")
READ = """
import json, psycopg, sys
with psycopg.connect(sys.argv[1]) as connection:
    print(json.dumps([[str(value) for value in row] for row in connection.execute(sys.argv[2])]))
"""


@dataclass
class Cluster:
    """The lab with the cluster on it. Each writer gets a table of its own."""

    lab: LabHandle
    tables: list[str] = field(default_factory=list)

    def hakit(self, *words: str, **popen: Any) -> subprocess.CompletedProcess[str]:
        """Run hakit; never raises for an exit code."""
        return self.lab.hakit(*words, env=SECRETS, **popen)

    def run(self, *words: str, **popen: Any) -> str:
        """Run hakit, which has to succeed; what it said."""
        done = self.hakit(*words, **popen)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def conninfo(self, port: int = PORT) -> str:
        """How the application connects."""
        password = SECRETS["HAKIT_SECRET_ORDERS"]
        return f"host={ADDRESS} port={port} user=orders password={password} dbname=orders connect_timeout=2"

    def writer(self, workers: int = 4) -> Writer:
        """A client that writes through the balancers, a row every 50 ms over each of its connections."""
        self.tables.append(f"drill_{len(self.tables)}")
        return Writer(self.lab.lab.enter(), self.conninfo(), table=self.tables[-1], workers=workers)

    def judge(self, writing: Writing) -> Verdict:
        """What became of the rows of the last writer."""
        return writing.judge([row[0] for row in self.ask(f"SELECT id FROM {self.tables[-1]}")])  # noqa: S608 - our own name

    def ask(self, text: str, port: int = PORT) -> list[list[str]]:
        """What the application reads through the balancers."""
        command = [*self.lab.lab.enter(), sys.executable, "-c", READ, self.conninfo(port), text]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        rows: list[list[str]] = json.loads(done.stdout)
        return rows

    def sh(self, host: str, command: str) -> str:
        """Run a shell command on a host; what it said, nothing where the host has no power."""
        try:
            return self.lab.lab.exec(host, ["sh", "-c", command], check=False).stdout
        except LabError:
            return ""

    def sql(self, host: str, text: str) -> str:
        """What the administrator of a host reads there."""
        return self.sh(host, f'cd /; runuser -u postgres -- psql -XAtqc "{text}" 2>&1').strip()

    def roles(self) -> dict[str, str]:
        """What each server says that it is: `primary`, `standby`, or nothing where none answers."""
        words = {"f": "primary", "t": "standby"}
        return {host: words.get(self.sql(host, "SELECT pg_is_in_recovery()"), "") for host in HOSTS}

    def primary(self) -> str:
        """The one host whose server takes writes."""
        (found,) = [host for host, role in self.roles().items() if role == "primary"]
        return found

    def streaming(self) -> bool:
        """Whether two standbys follow one primary."""
        roles = self.roles()
        leading = [host for host, role in roles.items() if role == "primary"]
        if len(leading) != 1 or "" in roles.values():
            return False
        return self.sql(leading[0], "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "2"

    def settled(self, timeout: float = 60.0) -> None:
        """Wait until all three serve."""
        self.lab.eventually(self.streaming, "one primary and two standbys that stream", timeout)
        self.lab.eventually(self.writable, "the balancers lead writers to the primary", timeout)

    def writable(self) -> bool:
        """Whether a writer gets through."""
        try:
            return self.ask("SELECT pg_is_in_recovery()") == [["False"]]
        except AssertionError:
            return False


@pytest.fixture(scope="module")
def cluster(lab_factory: LabFactory) -> Cluster:
    """A new cluster, made by one apply."""
    made = Cluster(lab_factory(INVENTORY))
    made.run("apply", "--yes", "--no-diff", timeout=600)
    made.settled()
    return made
