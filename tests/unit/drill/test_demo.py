"""What the demo says of the rows that its clients wrote, and when it fails."""

from __future__ import annotations

from typing import Any

import pytest

from hakit.drill.pgbench import Benched, Books
from hakit.drill.writer import Row, Writing
from scripts.demo.database import Drill, Result
from scripts.demo.stage import FailedError

WRITTEN = Writing(
    (
        Row("a", 0.0, 0.1, "acknowledged", "db1"),
        Row("b", 0.1, 1.1, "unknown", "timeout"),
        Row("c", 1.1, 1.2, "failed", "read-only"),
        Row("d", 1.2, 1.3, "acknowledged", "db2"),
    ),
    1.4,
)
TOLD, WHOLE = Benched(done=10, broken=2), Books(5, 5, 5, 5, rows=11)


class Table:
    """Stands for a database of which only the ids of a writer are asked."""

    def __init__(self, ids: str) -> None:
        self.ids = ids

    def ask(self, text: str) -> list[list[str]]:
        assert text == "SELECT id FROM demo_switchover"
        return [[one] for one in self.ids]


def drill(ids: str) -> Drill:
    table: Any = Table(ids)
    made = Drill(None, table, "")  # type: ignore[arg-type]  # no stage is needed to count
    made.take("switchover", WRITTEN)
    return made


@pytest.mark.parametrize(
    ("rows", "result"),
    [
        (10, Result("pgbench", 10, 0, 0, 0)),
        (12, Result("pgbench", 10, 0, 2, 0)),
        (13, Result("pgbench", 10, 0, 2, 1)),
        (7, Result("pgbench", 7, 3, 0, 0)),
    ],
)
def test_pgbenchs_transactions_are_counted(rows: int, result: Result) -> None:
    assert Result.of_pgbench(TOLD, Books(5, 5, 5, 5, rows)) == result


def test_all_that_was_acknowledged_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    drill("abd").count(TOLD, WHOLE)
    said = capsys.readouterr().out
    assert [line.split() for line in said.splitlines()[-5:-2]] == [
        ["ok", "lost", "recovered", "unexpected"],
        ["switchover", "2", "0", "1", "0"],
        ["pgbench", "10", "0", "1", "0"],
    ]
    assert said.splitlines()[-1] == "All 12 acknowledged commits are there."


@pytest.mark.parametrize(
    ("ids", "books"),
    [
        pytest.param("a", WHOLE, id="a row is lost"),
        pytest.param("abcd", WHOLE, id="a row that was refused"),
        pytest.param("ad", Books(5, 5, 5, 5, rows=9), id="a transaction is lost"),
        pytest.param("ad", Books(5, 5, 5, 5, rows=13), id="a transaction that nobody sent"),
        pytest.param("ad", Books(5, 5, 4, 5, rows=10), id="half a transaction"),
    ],
)
def test_it_fails_when_something_is_not_as_the_clients_were_told(ids: str, books: Books) -> None:
    with pytest.raises(FailedError, match="not what its clients were told"):
        drill(ids).count(TOLD, books)
