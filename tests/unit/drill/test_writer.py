"""What a writing client was told against what is there."""

from __future__ import annotations

import pytest

from hakit.drill.writer import Row, Verdict, Writing

ROWS = (
    Row("a", 0.0, 0.1, "acknowledged", "db1"),
    Row("b", 0.1, 0.2, "acknowledged", "db1"),
    Row("c", 0.2, 1.2, "unknown", "timeout"),
    Row("d", 1.2, 1.3, "failed", "read-only"),
    Row("e", 1.3, 1.5, "acknowledged", "db2"),
)


@pytest.mark.parametrize(
    ("there", "verdict"),
    [
        pytest.param("abe", Verdict(3, (), 0, ()), id="all that was acknowledged"),
        pytest.param("abce", Verdict(3, (), 1, ()), id="one that nobody knew of"),
        pytest.param("be", Verdict(2, ("a",), 0, ()), id="one is lost"),
        pytest.param("abde", Verdict(3, (), 0, ("d",)), id="one that was refused"),
        pytest.param("abex", Verdict(3, (), 0, ("x",)), id="one that nobody wrote"),
    ],
)
def test_rows_are_counted(there: str, verdict: Verdict) -> None:
    assert Writing(ROWS, 1.6).judge(there) == verdict


def test_the_longest_pause_lasts_until_the_end() -> None:
    assert Writing(ROWS, 1.6).longest_pause == pytest.approx(1.3)
    assert Writing(ROWS, 9.5).longest_pause == pytest.approx(8.0)


def test_servers_take_turns() -> None:
    assert Writing(ROWS, 1.6).turns == ("db1", "db2")
    torn = (*ROWS, Row("f", 1.5, 1.6, "acknowledged", "db1"))
    assert Writing(torn, 1.7).turns == ("db1", "db2", "db1")
