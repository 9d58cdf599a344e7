"""One row of the fault matrix: what is broken, what hakit promises then, and how that is tried on a real host."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from tests.lab.faults.stage import Stage

Area = Literal["host", "ssh", "run", "content", "secrets", "change", "network", "database"]
Fault = Callable[["Stage"], AbstractContextManager[Any]]
Edit = Callable[[dict[str, Any]], None]
Ends = Literal["as it was", "as it should be", "in part"]

AREAS: dict[Area, str] = {
    "host": "Hosts in a bad state",
    "ssh": "Between the controller and the host",
    "run": "Runs that are cut short or meet each other",
    "content": "Content that nobody vouches for",
    "secrets": "Secrets",
    "change": "Change without an outage",
    "network": "Changes of a host's own network",
    "database": "PostgreSQL clusters",
}


def nothing(_: dict[str, Any]) -> None:
    """Leave the settings as they are."""


@dataclass(frozen=True)
class Row:
    """What every row says: `broken` and `promise` are sentences of docs/safety.md, `proof` names the test."""

    id: str
    area: Area
    broken: str
    promise: str

    @property
    def proof(self) -> tuple[str, ...]:
        """The tests that try it, as `file::test`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Elsewhere(Row):
    """A row that a test with a name of its own tries."""

    tests: tuple[str, ...] = ()

    @property
    def proof(self) -> tuple[str, ...]:
        return self.tests


def healthy(_: Stage) -> AbstractContextManager[None]:
    """A host in good order: it is the change that is at fault."""
    return nullcontext()


@dataclass(frozen=True)
class Strike(Row):
    """A row that is tried here: the host `one` is struck while a change is due on it and on its twin `two`.

    `fault` breaks the host while it is entered and mends it when left. `edit` changes the settings of `system` beside
    the one file that every row changes. `ends` says how the host is while still broken: as it was before, as it should
    be, or in part; after the mend one more apply makes all of it as it should be. `says` are patterns of
    the output, `silent` texts that are not in it; `within` is in seconds. `long` rows wait for make test-long.
    """

    fault: Fault = healthy
    says: tuple[str, ...] = ()
    edit: Edit = nothing
    mend: Edit | None = None
    exit: int = 1
    ends: Ends = "as it was"
    command: tuple[str, ...] = ("apply", "--yes")
    within: float = 60.0
    silent: tuple[str, ...] = ()
    long: bool = False

    @property
    def proof(self) -> tuple[str, ...]:
        return ("tests/lab/faults/test_matrix.py::test_row",)
