from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.agent.postgres.wal import number, written


def test_an_lsn_is_a_number_of_bytes() -> None:
    assert number("16/B374D848") == 0x16B374D848
    assert written(0x16B374D848) == "16/B374D848"
    assert number("") == 0


@given(position=st.integers(0, 2**64 - 1))
def test_what_is_written_is_read(position: int) -> None:
    assert number(written(position)) == position


def test_what_is_no_lsn_is_no_position() -> None:
    for text in ("nonsense", "0", "/", "0/x"):
        with pytest.raises(ValueError, match="invalid literal"):
            number(text)
