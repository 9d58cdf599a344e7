from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from hakit.agent.errors import Failure
from hakit.agent.postgres import quoting

if TYPE_CHECKING:
    from tests.unit.agent.postgres.servers import Server

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
BOUNDED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@example(text="\\'; DROP TABLE x; --", standard=True)
@example(text="\\", standard=False)
@example(text="'", standard=False)
@BOUNDED
@given(text=TEXT, standard=st.booleans())
def test_the_server_reads_a_literal_as_the_text_it_was(
    shared: tuple[Server, Server], text: str, standard: bool
) -> None:
    with shared[0].connect() as connection:
        connection.query(f"SET standard_conforming_strings = {standard}; SET escape_string_warning = off")
        assert connection.query(f"SELECT {quoting.literal(text)}, 1") == [(text, "1")]


@example('a"b')
@example("Weird Näme; DROP")
@BOUNDED
@given(TEXT)
def test_the_server_reads_an_identifier_as_the_name_it_was(shared: tuple[Server, Server], name: str) -> None:
    assume(0 < len(name.encode()) <= quoting.LONGEST)
    with shared[0].connect() as connection:
        sql = (
            f"CREATE TEMP TABLE t ({quoting.identifier(name)} int); "  # noqa: S608 - quoted, as this test shows
            "SELECT attname FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum = 1"
        )
        assert connection.query(sql) == [(name,)]


@pytest.mark.parametrize("name", ["", "x" * 64, "ä" * 32, "a\0b", "a\ud800"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    with pytest.raises(Failure):
        quoting.identifier(name)


@pytest.mark.parametrize("text", ["a\0b", "a\ud800"])
def test_what_can_be_no_text_is_refused(text: str) -> None:
    with pytest.raises(Failure):
        quoting.literal(text)


def test_a_long_name_is_not_taken_for_the_one_it_would_be_cut_to(shared: tuple[Server, Server]) -> None:
    with shared[0].connect() as connection:
        where = quoting.among("one", ["x" * 64])
        sql = f"SELECT FROM (SELECT repeat('x', 63)::name AS one) t WHERE {where}"
        assert connection.query(sql) == []
    assert quoting.among("one", []) == "false"


@pytest.mark.parametrize(
    ("name", "value", "elements", "written"),
    [
        ("work_mem", "8MB, x", ("8MB, x",), "'8MB, x'"),
        ("search_path", '"$user", Public', ("$user", "public"), "'$user', 'public'"),
        ("SEARCH_PATH", ' a ,"B ""c"", d"', ("a", 'B "c", d'), "'a', 'B \"c\", d'"),
        ("search_path", "", (), "''"),
        ("app.tenant", "o'x", ("o'x",), "'o''x'"),
    ],
)
def test_the_value_of_a_parameter_is_one_literal_or_a_list(
    name: str, value: str, elements: tuple[str, ...], written: str
) -> None:
    assert quoting.elements(name, value) == elements
    assert quoting.parameter_value(name, value) == written


@pytest.mark.parametrize("value", ['"a', 'a"b', "a,,b", '"a" b'])
def test_what_is_no_list_of_names_is_refused(value: str) -> None:
    with pytest.raises(Failure, match="no list of names"):
        quoting.elements("search_path", value)


def test_each_part_of_a_parameters_name_is_quoted() -> None:
    assert quoting.parameter("work_mem") == '"work_mem"'
    assert quoting.parameter('app.x" TO') == '"app"."x"" TO"'
