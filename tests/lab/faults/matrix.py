"""All rows of the fault matrix, and the tables of them in docs/safety.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.faults import content, databases, elsewhere, host
from tests.lab.faults.row import AREAS, Strike

if TYPE_CHECKING:
    from tests.lab.faults.row import Row

ROWS: tuple[Row, ...] = (*host.ROWS, *content.ROWS, *elsewhere.ROWS, *databases.ROWS)
STRIKES: tuple[Strike, ...] = tuple(row for row in ROWS if isinstance(row, Strike))
BEGIN = "<!-- Made by `make matrix` from tests/lab/faults: change the rows there. -->"
END = "<!-- The end of what is made. -->"
HEAD = ("|row|what is broken|what hakit does|tried by|", "|---|---|---|---|")


def tables() -> str:
    """The matrix as Markdown: a table for each area."""
    parts = []
    for area, title in AREAS.items():
        lines = [_line(row) for row in ROWS if row.area == area]
        parts.append("\n".join([f"### {title}", "", *HEAD, *lines]))
    return "\n\n".join(parts)


def _line(row: Row) -> str:
    proof = ", ".join(f"`{test}`" for test in row.proof)
    return f"| {row.id} | {row.broken} | {row.promise} | {proof} |"


def inserted(page: str) -> str:
    """A page with the tables between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{rest.split(END)[1]}"
