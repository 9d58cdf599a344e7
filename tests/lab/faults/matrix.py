"""All rows of the fault matrix, and the table of them in docs/safety.md."""

from __future__ import annotations

from tests.lab.faults import content, host
from tests.lab.faults.row import AREAS, Row, Strike

ROWS: tuple[Row, ...] = (*host.ROWS, *content.ROWS)
STRIKES: tuple[Strike, ...] = tuple(row for row in ROWS if isinstance(row, Strike))
BEGIN = "<!-- The matrix begins. It is made by `make matrix`; change the rows in tests/lab/faults instead. -->"
END = "<!-- The matrix ends. -->"


def table() -> str:
    """The matrix as Markdown: a table for each area."""
    parts = []
    for area, title in AREAS.items():
        rows = [row for row in ROWS if row.area == area]
        if rows:
            lines = [f"| {row.broken} | {row.promise} | {_proof(row)} |" for row in rows]
            parts.append(
                "\n".join(
                    [f"### {title}", "", "| what is broken | what hakit does | tried by |", "|---|---|---|", *lines]
                )
            )
    return "\n\n".join(parts) + "\n"


def _proof(row: Row) -> str:
    return ", ".join(f"`{test}`" for test in row.proof) or "not yet"


def inserted(page: str) -> str:
    """A page with the table between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n{END}{rest.split(END)[1]}"
