from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from hakit.agent.postgres.client import Connection, SqlError, UnansweredError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.postgres.servers import Server, Servers


@pytest.fixture
def db1(shared: tuple[Server, Server]) -> Server:
    return shared[0]


def test_values_are_text_and_null_is_none(db1: Server) -> None:
    assert db1.query("SELECT 1, NULL, '', 'ö“', true") == [("1", None, "", "ö“", "t")]


def test_a_query_may_give_many_rows(db1: Server) -> None:
    rows = db1.query("SELECT n, repeat('x', 1000) FROM generate_series(1, 5000) n")
    assert len(rows) == 5000
    assert rows[4999] == ("5000", "x" * 1000)


def test_several_statements_answer_in_one_round_trip(db1: Server) -> None:
    with db1.connect() as connection:
        assert connection.results("SELECT 1; SET work_mem = '1MB'; SELECT 2, 3 WHERE false; SELECT 4") == [
            [("1",)],
            [],
            [("4",)],
        ]
        assert connection.query("SELECT 5; RESET work_mem") == [("5",)]


@pytest.mark.parametrize("sql", ["", ";", "-- nothing", "SET work_mem = '1MB'"])
def test_statements_without_rows_give_none(db1: Server, sql: str) -> None:
    assert db1.query(sql) == []


def test_an_error_carries_its_state_and_leaves_the_session_usable(db1: Server) -> None:
    with db1.connect() as connection:
        with pytest.raises(SqlError, match="nowhere") as caught:
            connection.query("SELECT 1; SELECT * FROM nowhere")
        assert caught.value.sqlstate == "42P01"
        with pytest.raises(SqlError) as caught:
            connection.query("DO $$ BEGIN RAISE EXCEPTION 'no' USING DETAIL = 'the detail', HINT = 'the hint'; END $$")
        assert caught.value.message == "no"
        assert caught.value.output.startswith("the detail\nthe hint\n")
        assert connection.query("SELECT 2") == [("2",)]


def test_notices_and_parameter_changes_are_no_rows(db1: Server) -> None:
    sql = "DO $$ BEGIN RAISE NOTICE 'hear'; END $$; SET application_name = 'other'; SELECT 1"
    assert db1.query(sql) == [("1",)]


def test_an_unknown_database_is_named(db1: Server) -> None:
    with pytest.raises(SqlError, match='database "nowhere" does not exist') as caught:
        db1.connect("nowhere")
    assert caught.value.sqlstate == "3D000"


def test_a_role_that_is_not_ours_is_refused(db1: Server) -> None:
    user = "nobody" if os.geteuid() == 0 else "somebody"
    with pytest.raises(SqlError):
        Connection(db1.sockets, db1.place.port, user=user)


def test_root_is_root_again_afterwards(db1: Server) -> None:
    before = os.geteuid()
    db1.query("SELECT 1")
    with pytest.raises(UnansweredError):
        Connection("/nowhere", 1)
    assert os.geteuid() == before


@pytest.mark.parametrize("sql", ["SELECT '\0'", "SELECT '\ud800'"])
def test_what_no_server_can_take_is_refused_before_it_is_sent(db1: Server, sql: str) -> None:
    with db1.connect() as connection:
        with pytest.raises(SqlError) as caught:
            connection.query(sql)
        assert caught.value.sqlstate == "22021"
        assert connection.query("SELECT 1") == [("1",)]


def test_copy_is_not_spoken(db1: Server) -> None:
    with db1.connect() as connection, pytest.raises(SqlError):
        connection.query("COPY (SELECT 1) TO STDOUT")


def test_nobody_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnansweredError, match="no server listens") as caught:
        Connection(str(tmp_path), 5432)
    assert caught.value.sqlstate == "08001"


def test_a_query_that_takes_too_long_ends_here_and_in_the_server(db1: Server) -> None:
    with db1.connect(timeout=0.3) as connection, pytest.raises(SqlError) as caught:
        connection.query("SELECT pg_sleep(20) AS overlong")
    assert caught.value.sqlstate in {"57014", "08006"}
    deadline = time.monotonic() + 10
    while db1.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%overlong' AND state = 'active'") != "0":
        assert time.monotonic() < deadline


def test_a_hung_server_costs_no_more_than_the_timeout(servers: Servers) -> None:
    db1 = servers.member("db1").create().start()
    connection = db1.connect(timeout=0.3)
    db1.freeze()
    for attempt in (lambda: connection.query("SELECT 1"), lambda: db1.connect(timeout=0.3)):
        began = time.monotonic()
        with pytest.raises(UnansweredError) as caught:
            attempt()
        assert caught.value.sqlstate == "08006"
        assert time.monotonic() - began < 3


def test_a_server_that_dies_breaks_off(servers: Servers) -> None:
    db1 = servers.member("db1").create().start()
    connection = db1.connect()
    db1.stop("kill")
    with pytest.raises(UnansweredError, match="broke off") as caught:
        connection.query("SELECT 1")
    assert caught.value.sqlstate == "08006"


@pytest.mark.parametrize(
    "answer",
    [
        b"R\0\0\0\x0c\0\0\0\x05salt",  # wants a password
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"Z\xff\xff\xff\xff",
        b"Z\0\0\0\x01",
        b"R\0\0\0\x08",  # half a message
        b"",
    ],
)
def test_nonsense_is_refused(folder: Path, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / ".s.PGSQL.1"))
        (folder / ".s.PGSQL.1").chmod(0o777)
        listener.listen()
        listener.settimeout(10)

        def serve() -> None:
            client, _ = listener.accept()
            client.recv(4096)
            client.sendall(answer)
            client.close()

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(SqlError) as caught:
            Connection(str(folder), 1, timeout=5)
        assert caught.value.sqlstate != "08001"
        thread.join()
