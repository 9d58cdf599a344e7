"""pgbench beside other clients, started again whenever its connections break, and an audit of what it left.

Its transactions are TPC-B's: each adds the same amount to an account, its branch and a teller, and a row of the amount
to the history. So whatever happens to the servers, the four sums are equal, and the history has as many rows as
transactions were committed.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from hakit.drill.database import reason
from hakit.errors import HakitError

if TYPE_CHECKING:
    from hakit.drill.database import Database

RUN = 1
"""Seconds of one run of pgbench, after which it says how many transactions it did. It never does when interrupted."""
AGAIN = 0.1
"""Seconds until it is started again where nobody let it in."""
ENDING = 60.0
"""Seconds that the last run has to end: commits wait while no standby is there to confirm them."""
FILLING = 120.0
"""Seconds that making the tables may take."""
AUDIT = """
SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),
       (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT coalesce(sum(delta), 0) FROM pgbench_history),
       (SELECT count(*) FROM pgbench_history)
"""
_DONE = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
_ABORTED = re.compile(r"client \d+ (?:script \d+ )?aborted")


@dataclass(frozen=True, slots=True)
class Benched:
    """What pgbench was told, in transactions.

    `done` were acknowledged, `failed` given up after an error that a new try can't mend. `broken`: a client's
    connection ended in the middle of one, which may have been committed or not.
    """

    done: int = 0
    failed: int = 0
    broken: int = 0

    def __add__(self, other: Benched) -> Benched:
        return Benched(self.done + other.done, self.failed + other.failed, self.broken + other.broken)


@dataclass(frozen=True, slots=True)
class Books:
    """What is in pgbench's tables: the sums of all amounts in each, and the rows of the history."""

    accounts: int
    branches: int
    tellers: int
    history: int
    rows: int

    @property
    def balanced(self) -> bool:
        """Whether each committed transaction is there as a whole."""
        return self.accounts == self.branches == self.tellers == self.history

    def lost(self, told: Benched) -> int:
        """How many acknowledged transactions are missing, at the least."""
        return max(0, told.done - self.rows)

    def unexpected(self, told: Benched) -> int:
        """How many transactions are there that nobody can have committed: neither acknowledged nor broken off."""
        return max(0, self.rows - told.done - told.broken)


class Pgbench:
    """Several clients that commit as fast as they can, or `rate` transactions a second, on a database.

    Entering the context waits for the first transactions; `stop` ends it. `fill` has to be called once before.
    """

    def __init__(self, database: Database, *, clients: int = 4, rate: float = 0.0) -> None:
        paced = ("-R", f"{rate:g}") if rate else ()
        words = ("-n", "-c", str(clients), "-T", str(RUN), "--max-tries=10", *paced)
        self._database = database
        self._command = database.command("pgbench", *words)
        self._told = Benched()
        self._why = ""
        self._began, self._ended = threading.Event(), threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def fill(self, scale: int = 1) -> None:
        """Make the tables anew: `scale` branches, each of 100,000 accounts. Raises HakitError."""
        command = self._database.command("pgbench", "-i", "-q", "-s", str(scale))
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=FILLING, check=False)
        except subprocess.TimeoutExpired:
            raise HakitError(f"pgbench did not make its tables within {FILLING:.0f} s") from None
        if done.returncode:
            raise HakitError("pgbench could not make its tables", why=reason(done.stderr))

    def books(self) -> Books:
        """What is in its tables now. Raises HakitError."""
        ((accounts, branches, tellers, history, rows),) = self._database.ask(AUDIT)
        return Books(int(accounts), int(branches), int(tellers), int(history), int(rows))

    @property
    def told(self) -> Benched:
        """What it was told in the runs that have ended."""
        return self._told

    def __enter__(self) -> Self:
        self._told = Benched()
        self._began.clear()
        self._ended.clear()
        self._thread = threading.Thread(target=self._work, name="pgbench", daemon=True)
        self._thread.start()
        if not self._began.wait(ENDING):
            self.__exit__()
            raise HakitError("pgbench did not commit anything", why=self._why)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._process is not None:
            with suppress(PermissionError):  # it is root's where sudo brought it there; its run ends by itself
                self._process.kill()
        if self._thread is not None:
            self._thread.join(ENDING)

    def stop(self) -> Benched:
        """End it, and say what it was told. Raises HakitError when its last run does not end."""
        assert self._thread is not None  # noqa: S101  entered
        self._ended.set()
        self._thread.join(ENDING)
        if self._thread.is_alive():
            raise HakitError(f"pgbench's last run did not end within {ENDING:.0f} s, so what it did is not known")
        return self._told

    def _work(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            told = self._run()
            self._told += told
            if told.done:
                self._began.set()
            elif not self._ended.is_set():
                self._ended.wait(max(0.0, AGAIN - (time.monotonic() - began)))

    def _run(self) -> Benched:
        """One run, to its end."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        out, err = self._process.communicate()
        if self._process.returncode:
            self._why = reason(err)
        done, failed = (int(found[1]) if (found := one.search(out)) else 0 for one in (_DONE, _FAILED))
        return Benched(done, failed, len(_ABORTED.findall(err)))
