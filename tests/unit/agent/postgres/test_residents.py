"""The role endpoint and the boot guard as processes, beside real servers."""

from __future__ import annotations

import os
import signal
import socket
import statistics
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from hakit.agent.postgres import guard, record
from hakit.agent.postgres.decision import Decision
from tests.unit.agent.postgres.residents import Endpoint, command
from tests.unit.agent.postgres.servers import account, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.unit.agent.postgres.servers import Server, Servers


@pytest.fixture
def endpoint() -> Iterator[Callable[[Server], Endpoint]]:
    with ExitStack() as stack:

        def start(server: Server) -> Endpoint:
            made = Endpoint(server)
            stack.callback(made.close)
            return made

        yield start


def decide(server: Server, epoch: int, primary: str, *excused: str) -> None:
    """Put a decision in its place, as the agent does."""
    made = Decision(epoch=epoch, primary=primary, kind="failover", excused=excused)
    record._write(str(server.at(server.place.decision)), made, account()[:2])


def hold(server: Server, why: str) -> None:
    server.at(server.place.held).write_text(why)


def opens(server: Server, patience: float = 0.2) -> tuple[bool, str]:
    """The guard's verdict, and what it left for `look`."""
    found = guard.guard(server.place, str(server.root), patience)
    return found, server.at(guard.path(server.place)).read_text().strip()


def test_roles_and_lag(servers: Servers, endpoint: Callable[[Server], Endpoint]) -> None:
    db1, db2 = servers.pair()
    servers.member("db3").lay_out()
    one, two, three = (endpoint(servers.member(host)) for host in ("db1", "db2", "db3"))
    one.until("/primary", 200)
    two.until("/replica?lag=1MB", 200)
    assert [each.status("/primary") for each in (one, two, three)] == [200, 503, 503]
    assert [each.status("/replica") for each in (one, two, three)] == [503, 200, 503]
    assert [each.status("/read") for each in (one, two, three)] == [200, 200, 503]
    assert [each.status("/ready") for each in (one, two, three)] == [200, 200, 503]
    assert [each.status("/live") for each in (one, two, three)] == [200, 200, 503]
    told = [each.state() for each in (one, two, three)]
    assert [each["role"] for each in told] == ["primary", "standby", "stopped"]
    assert [each["host"] for each in told] == ["db1", "db2", "db3"]
    assert told[0]["system"] == told[1]["system"] != told[2]["system"] == ""
    assert [each["timeline"] for each in told] == [1, 1, 0]

    db2.query("SELECT pg_wal_replay_pause()")
    db1.query("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 3000)")
    reason = two.until("/replica?lag=1MB", 503)
    assert reason.endswith(" MB behind")
    assert two.status("/replica?lag=1GB") == 200
    db2.query("SELECT pg_wal_replay_resume()")
    two.until("/replica?lag=1MB", 200)


def test_a_hold_counts_at_once(servers: Servers, endpoint: Callable[[Server], Endpoint]) -> None:
    db1 = servers.member("db1").create().start()
    one = endpoint(db1)
    one.until("/primary", 200)
    hold(db1, "moving to db2\n")
    assert one.ask("/primary") == (503, "held: moving to db2")
    assert one.state()["held"] == "moving to db2"
    db1.at(db1.place.held).unlink()
    assert one.status("/primary") == 200


def test_a_hung_server_is_no_primary_for_balancers_but_still_one_for_its_peers(
    servers: Servers, endpoint: Callable[[Server], Endpoint]
) -> None:
    db1 = servers.member("db1").create().start()
    one = endpoint(db1)
    one.until("/primary", 200)
    db1.freeze()
    began = time.monotonic()
    assert one.until("/primary", 503) == "the server does not answer"
    assert time.monotonic() - began < 5  # 1.2 s on a quiet machine
    assert one.state()["role"] == "primary"
    db1.thaw()
    one.until("/primary", 200)


def test_two_primaries_refuse_both(servers: Servers, endpoint: Callable[[Server], Endpoint]) -> None:
    db1, db2 = servers.pair()
    one, two = endpoint(db1), endpoint(db2)
    one.until("/primary", 200)
    db2.promote()
    assert "db2 (timeline 2) claims to be the primary, too; ours is timeline 1" in one.until("/primary", 503)
    assert "db1 (timeline 1) claims to be the primary, too; ours is timeline 2" in two.until("/primary", 503)
    db1.stop("immediate")
    two.until("/primary", 200)
    assert one.state()["role"] == "stopped"
    assert (one.state()["timeline"], two.state()["timeline"]) == (1, 2)


def test_who_was_frozen_asks_its_peers_before_it_says_primary_again(
    servers: Servers, endpoint: Callable[[Server], Endpoint]
) -> None:
    db1, db2 = servers.pair()
    one, two = endpoint(db1), endpoint(db2)
    one.until("/primary", 200)
    assert one.process is not None
    one.process.send_signal(signal.SIGSTOP)
    db2.promote()
    two.until("/primary", 200)  # nobody else is heard to claim it
    with socket.create_connection((db1.address, db1.place.endpoint)) as early:
        early.sendall(b"GET /primary HTTP/1.1\r\n\r\n")
        one.process.send_signal(signal.SIGCONT)
        assert early.recv(100).startswith(b"HTTP/1.1 503 ")
    seen = {one.status("/primary") for _ in range(20)}
    assert seen == {503}


def test_a_restarted_server_is_found_again(servers: Servers, endpoint: Callable[[Server], Endpoint]) -> None:
    db1 = servers.member("db1").create().start()
    system = db1.value("SELECT system_identifier FROM pg_control_system()")
    one = endpoint(db1)
    one.until("/primary", 200)
    db1.stop()
    one.until("/live", 503)
    until(lambda: one.state()["role"] == "stopped", "db1 is told to be stopped")
    told = one.state()
    assert (told["system"], told["timeline"], told["standby"]) == (system, 1, False)
    assert told["since"]
    db1.start()
    one.until("/primary", 200)


def test_a_voice_that_was_excused_counts_again(servers: Servers, endpoint: Callable[[Server], Endpoint]) -> None:
    db1, db2 = servers.pair()
    servers.member("db3").create(anew=True)
    decide(db1, 2, "db1", "db2", "db3")
    decide(db2, 1, "db1")
    one, _, three = (endpoint(servers.member(host)) for host in ("db1", "db2", "db3"))
    until(lambda: one.state()["decision"]["excused"] == ["db3"], "db2 is a member with a voice again")
    until(lambda: three.state()["system"], "the stranger tells its system")
    assert record.read(str(db1.at(db1.place.decision))) == Decision(
        epoch=2, primary="db1", kind="failover", excused=("db3",)
    )


def test_who_knows_of_a_newer_decision_stays_excused(servers: Servers, endpoint: Callable[[Server], Endpoint]) -> None:
    db1, db2 = servers.pair()
    db3 = servers.member("db3").copy(db1).start()
    decide(db1, 2, "db1", "db2", "db3")
    decide(db2, 3, "db2")
    for member in (db2, db3):
        endpoint(member).until("/replica", 200)
    one = endpoint(db1)
    until(lambda: "db3" not in one.state()["decision"]["excused"], "db3 is a member with a voice again")
    one.until("/primary", 200)  # so it has heard db2, too
    assert one.state()["decision"]["excused"] == ["db2"]


def test_the_socket_keeps_who_comes_while_the_endpoint_restarts(
    servers: Servers, endpoint: Callable[[Server], Endpoint]
) -> None:
    db1 = servers.member("db1").create().start()
    one = endpoint(db1)
    one.until("/primary", 200)
    assert one.stop() == 0
    with socket.create_connection((db1.address, db1.place.endpoint), timeout=30) as early:
        early.sendall(b"GET /live HTTP/1.1\r\n\r\n")
        one.start()
        assert early.recv(100).startswith(b"HTTP/1.1 200 ")


def test_answers_come_at_once_whatever_other_clients_do(
    servers: Servers, endpoint: Callable[[Server], Endpoint]
) -> None:
    db1 = servers.member("db1").create().start()
    one, two = endpoint(db1), endpoint(servers.member("db2").lay_out())
    one.until("/primary", 200)
    assert two.process is not None
    two.process.send_signal(signal.SIGSTOP)  # a peer that accepts and says nothing
    with ExitStack() as stack:
        for said in (b"", b"G", b"GET /primary HTTP/1.1\r\n"):
            for _ in range(20):
                slow = stack.enter_context(socket.create_connection((db1.address, db1.place.endpoint)))
                slow.sendall(said)
        taken = []
        for _ in range(50):
            began = time.monotonic()
            assert one.status("/primary") == 200
            taken.append(time.monotonic() - began)
        assert statistics.median(taken) < 0.02


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"HEAD /live HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"OPTIONS /live HTTP/1.0\r\n\r\n", 200),
        (b"GET /live HTTP/1.0\n\n", 200),
        (b"GET /elsewhere HTTP/1.1\r\n\r\n", 404),
        (b"POST /live HTTP/1.1\r\n\r\n", 405),
        (b"GET /live\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", None),
    ],
)
def test_requests_of_all_kinds(shared_endpoint: Endpoint, request_: bytes, status: int | None) -> None:
    server = shared_endpoint.server
    with socket.create_connection((server.address, server.place.endpoint), timeout=20) as connection:
        connection.sendall(request_)
        said = b""
        try:
            while more := connection.recv(1 << 16):
                said += more
        except ConnectionResetError:
            assert status is None  # it was closed with bytes unread
    if status is None:
        assert said == b""
        return
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert (body == b"") == request_.startswith(b"HEAD")
    assert shared_endpoint.status("/live") == 200


@pytest.fixture(scope="module")
def shared_endpoint(shared: tuple[Server, Server]) -> Iterator[Endpoint]:
    made = Endpoint(shared[0])
    made.until("/primary", 200)
    yield made
    made.close()


def test_systemd_is_told_that_it_lives(servers: Servers) -> None:
    db1 = servers.member("db1").lay_out()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        address = str(db1.root / "notify")
        notified.bind(address)
        os.chmod(address, 0o777)  # noqa: PTH101, S103 - a socket of this test's own
        notified.settimeout(30)
        one = Endpoint(db1, start=False).start(NOTIFY_SOCKET=address)
        try:
            assert notified.recv(100) == b"READY=1"
            assert [notified.recv(100) for _ in range(2)] == [b"WATCHDOG=1"] * 2
        finally:
            one.close()


def test_without_sockets_it_says_who_passes_them(servers: Servers) -> None:
    done = subprocess.run(
        command(servers.member("db1").lay_out(), "endpoint"), capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    assert done.stderr == "no socket was passed: start hakit-postgresql@15-main.socket\n".replace(
        "15", str(servers.member("db1").place.version)
    )


def test_a_cold_start_of_all_opens_the_newest(servers: Servers, endpoint: Callable[[Server], Endpoint]) -> None:
    db1, db2 = servers.pair()
    db3 = servers.member("db3").copy(db1).start()
    db1.stop("kill")
    for member in (db2, db3):
        decide(member, 2, "db2")
    decide(db1, 1, "db1")
    db2.promote()
    for member in (db2, db3):
        member.stop("kill")
    alone, why = opens(db2)
    assert not alone
    assert "1 of 3 members are heard, 2 are needed (db1: Connection refused, db3: Connection refused)" in why
    for member in (db1, db2, db3):
        endpoint(member)
    assert opens(db1) == (False, "does not open: db2 was made the primary (epoch 2, no time, says db2)")
    assert opens(db2) == (True, "opens: epoch 2 names db2, db1, db3 know of no other; timeline 2")
    assert opens(db3) == (True, "opens: a standby, which can't write")


def test_a_promotion_by_hand_shuts_the_old_one_out(servers: Servers, endpoint: Callable[[Server], Endpoint]) -> None:
    db1, db2 = servers.pair()
    db1.stop("kill")
    two = endpoint(db2)
    db2.promote()
    until(lambda: two.state()["role"] == "primary", "db2 tells that it is the primary")
    assert opens(db1)[1] == "does not open: db2 runs as the primary (timeline 2, ours is 1)"
    db2.stop("kill")
    until(lambda: two.state()["role"] == "stopped", "db2 tells that it is stopped")
    assert opens(db1)[1] == "does not open: db2 is on timeline 2, ours is 1: another one was promoted meanwhile"


def test_the_guard_waits_for_its_peers_for_a_while(servers: Servers, endpoint: Callable[[Server], Endpoint]) -> None:
    db1, db2 = servers.pair()
    db1.stop("kill")
    decide(db1, 1, "db1")
    process = subprocess.Popen(command(db1, "guard"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    endpoint(db2)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (
        0,
        "boot guard: opens: epoch 1 names db1, db2 knows of no other; timeline 1\n",
    )
    left = db1.at(guard.path(db1.place))
    assert left.stat().st_uid == account()[0]  # it is no longer root that asks


def test_the_guard_gives_up_in_time_for_systemd_to_try_again(servers: Servers) -> None:
    db1 = servers.member("db1").create()
    began = time.monotonic()
    done = subprocess.run(command(db1, "guard"), capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("boot guard: does not open: 1 of 3 members are heard, 2 are needed")
    assert time.monotonic() - began < 20


def test_another_cluster_is_ignored_and_said_to_be(
    servers: Servers, endpoint: Callable[[Server], Endpoint], capsys: pytest.CaptureFixture[str]
) -> None:
    db1 = servers.member("db1").create()
    db2 = servers.member("db2").create(anew=True)
    decide(db2, 9, "db2")
    two = endpoint(db2)
    until(lambda: two.state()["system"], "the stranger tells its system")
    assert not opens(db1)[0]
    system = two.state()["system"]
    assert f"boot guard: ignored: db2 has another cluster ({system})\n" in capsys.readouterr().out


def test_what_can_not_be_read_is_not_opened(servers: Servers) -> None:
    db1 = servers.member("db1", members=()).create()
    decide(db1, 1, "db1")
    assert opens(db1)[0]
    path = db1.at(db1.place.decision)
    path.write_text("{")
    assert not opens(db1)[0]
    assert "is no record of a decision" in opens(db1)[1]
    path.unlink()
    assert opens(db1)[0]
    (db1.data / "global/pg_control").write_bytes(b"")
    assert "pg_controldata can't tell the state" in opens(db1)[1]


def test_a_torn_directory_is_not_opened_even_as_a_standby(servers: Servers) -> None:
    db1 = servers.member("db1").create()
    db1.at(db1.place.signal).touch()
    assert opens(db1) == (True, "opens: a standby, which can't write")
    db1.at(db1.place.torn).write_text("a rewind to db2 did not end\n")
    assert opens(db1) == (False, "does not open: a rewind to db2 did not end")


def test_no_data_are_for_the_server_to_refuse(servers: Servers) -> None:
    db1 = servers.member("db1").lay_out()
    assert opens(db1) == (True, "opens: there is no cluster that could be opened")


@pytest.mark.parametrize("arguments", [[], ["guard"], ["rule", "/x"], ["guard", "/x", "/y"]])
def test_what_it_is_called_with_is_checked(servers: Servers, arguments: list[str]) -> None:
    argv = [*command(servers.member("db1").lay_out(), "guard")[:-2], *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (2, "usage: guard FILE | endpoint FILE\n")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 15}', '{"members": [{}]}', '{"color": "red"}'])
def test_a_description_that_is_none_is_refused_in_one_line(servers: Servers, text: str) -> None:
    db1 = servers.member("db1").lay_out()
    argv = command(db1, "guard")
    db1.at(db1.place.file).write_text(text)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "describes no member of a cluster" in done.stderr


def test_nothing_is_left_in_the_library(servers: Servers) -> None:
    db1 = servers.member("db1", members=()).create()
    subprocess.run(command(db1, "guard"), check=True, stdout=subprocess.DEVNULL, timeout=60)
    assert not list((servers.folder / "library").rglob("__pycache__"))
