"""What a verification found, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakit.errors import ConnectError

Status = Literal["passed", "failed", "skipped"]
SITE = "site"
"""Stands for the host in results of tests that look at the site as a whole."""
USER = "tests"
"""Stands for the component in results of the user's own tests."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one test ended on one host. `message` is the short reason, `details` the long one (a traceback)."""

    host: str
    component: str
    test: str
    title: str
    status: Status
    seconds: float
    message: str = ""
    details: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes in the order they came, and the hosts that could not be asked.

    `broken` are tests that could not even be collected: file → reason.
    """

    outcomes: tuple[Outcome, ...]
    unreachable: Mapping[str, ConnectError] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether something was verified, every host was asked and nothing failed."""
        return bool(self.outcomes) and not self.unreachable and not self.broken and not self.count("failed")

    def count(self, status: Status) -> int:
        """How many tests ended so."""
        return sum(outcome.status == status for outcome in self.outcomes)
