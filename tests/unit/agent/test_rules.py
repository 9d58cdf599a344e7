"""The pure parts of packages, accounts, kernel parameters, facts, probes and processes, by data."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from hakit.agent import process
from hakit.agent.facts import release
from hakit.agent.handlers.account import Account, user_commands
from hakit.agent.handlers.package import candidates, going, installed
from hakit.agent.handlers.sysctl import proc_path
from hakit.agent.handlers.unit import _time
from hakit.agent.probes import Probe
from hakit.agent.probing import endpoint, split_url
from hakit.agent.resources.account import Group, User
from hakit.agent.resources.sysctl import Sysctl
from tests.unit.agent.agent_support import ME, Agents

if TYPE_CHECKING:
    from pathlib import Path

BOB = Account(  # noqa: S604 - a declared value, not a call of ours
    uid=1001,
    gid=1001,
    comment="",
    home="/home/bob",
    shell="/bin/sh",
    groups=("bob",),
    password="!",  # noqa: S106 - a locked one
    keys=None,
)


@pytest.mark.parametrize(
    ("user", "actual", "gid", "command"),
    [
        (User(user="bob"), BOB, None, ""),
        (User(user="bob"), None, None, "useradd --create-home -- bob"),
        (User(user="bob", system=True), None, None, "useradd --system -- bob"),
        (
            User(user="bob", uid=7, group="x", home="/srv", shell="/bin/sh", comment="B", groups=("b", "a")),  # noqa: S604 - a declared value, not a call of ours
            None,
            3,
            "useradd --create-home --uid 7 --gid x --home-dir /srv --shell /bin/sh --comment B --groups a,b -- bob",
        ),
        (User(user="bob", uid=1001, group="bob", home="/home/bob", shell="/bin/sh", groups=("bob",)), BOB, 1001, ""),  # noqa: S604 - a declared value, not a call of ours
        (User(user="bob", uid=1002), BOB, None, "usermod --uid 1002 -- bob"),
        (User(user="bob", group="x"), BOB, 3, "usermod --gid x -- bob"),
        (User(user="bob", home="/srv"), BOB, None, "usermod --home /srv -- bob"),
        (User(user="bob", groups=("adm", "bob")), BOB, None, "usermod --append --groups adm -- bob"),
    ],
)
def test_user_commands(user: User, actual: Account | None, gid: int | None, command: str) -> None:
    assert " ".join(word for line in user_commands(user, actual, gid) for word in line) == command


def test_only_what_is_wholly_installed_counts() -> None:
    rows = "a\t1.0\tii \nb\t2\trc \nc\t3\tiU \nd\t4\thi \ne\t\tun \n\nnoise\n"
    assert installed(rows) == {"a": "1.0", "d": "4"}


def test_candidates_are_read_from_policy() -> None:
    text = (
        "haproxy:\n  Installed: (none)\n  Candidate: 2.6.12-1+deb12u4\n  Version table:\n     2.6.12-1+deb12u4 500\n"
        "virtual:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n"
    )
    assert candidates(text) == {"haproxy": "2.6.12-1+deb12u4"}


def test_what_a_removal_takes_along_is_read_from_its_rehearsal() -> None:
    text = "Reading package lists...\nRemv keepalived [1:2.2.7-1+b2]\nPurg libnl-3-200 [3.7.0-0.2+b1] []\nInst x\n"
    assert going(text) == {"keepalived", "libnl-3-200"}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/conf/eth0.100/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
        ("net.ipv4.conf.eth0/100.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"),
        ("vm.swappiness", "vm/swappiness"),
    ],
)
def test_parameters_are_named_as_sysctl_names_them(name: str, path: str) -> None:
    assert proc_path(name) == f"/proc/sys/{path}"


def test_os_release_is_unquoted() -> None:
    text = "# a comment\nID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME='Debian 12'\n\nBROKEN\n"
    assert release(text) == {"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("1min 30s", 90), ("infinity", 90), ("500ms", 0.5), ("", 90), ("2h", 7200)]
)
def test_times_of_systemd(text: str, seconds: float) -> None:
    assert _time({"TimeoutStartUSec": text}) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://10.0.0.1/x", ("10.0.0.1", 80, "/x", "10.0.0.1")),
        ("http://10.0.0.1:8404", ("10.0.0.1", 8404, "/", "10.0.0.1:8404")),
        ("http://[::1]:81/a/b?c", ("::1", 81, "/a/b?c", "[::1]:81")),
        ("http://[::1]/", ("::1", 80, "/", "[::1]")),
    ],
)
def test_urls(text: str, found: tuple[str, int, str, str]) -> None:
    assert split_url(text) == found


@pytest.mark.parametrize("text", ["https://x/", "x", "http://x:y/"])
def test_what_is_no_plain_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"http|port"):
        split_url(text)


def test_endpoints() -> None:
    assert endpoint("[fe80::1]:80") == ("fe80::1", 80)
    with pytest.raises(ValueError, match="port"):
        endpoint("10.0.0.1")


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True),
        (b"HTTP/1.0 302 Found\r\n", True),
        (b"HTTP/1.1 503 No\r\n", False),
        (b"SSH-2.0\r\n", False),
        (b"", False),
        (None, False),
    ],
)
def test_http_is_judged_by_its_status_within_its_time(agents: Agents, answer: bytes | None, ok: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                if answer is not None:
                    connection.sendall(answer)
                else:
                    connection.recv(1000)  # says nothing until the other end gives up

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        with agents.client(lock=False) as client:
            (result,) = client.probe([Probe(kind="http", target=f"http://127.0.0.1:{port}/", timeout=0.5)])
        thread.join(5)
    assert result.ok is ok
    assert result.seconds < 2


def run(script: str, timeout: float = 20.0, **options: str) -> process.Result:
    return process.run(["sh", "-c", script], timeout, **options)  # type: ignore[arg-type]  # options of run


def test_a_command_tells_how_it_ended_and_what_it_said() -> None:
    done = run("echo out; echo err >&2; exit 3")
    assert (done.code, done.out, done.err, done.tail()) == (3, "out\n", "err\n", "out\nerr")
    assert run("kill -9 $$").code == -9
    assert process.run(["hakit-no-such-program"], 1).code == process.MISSING


def test_a_command_sees_an_empty_or_given_stdin_and_the_c_locale() -> None:
    assert run("cat").out == ""
    assert process.run(["cat"], 5, stdin=b"x" * 200_000).out == "x" * 200_000
    assert run("echo $LC_ALL").out == "C.UTF-8\n"


def test_a_command_that_takes_too_long_dies_with_its_children() -> None:
    began = time.monotonic()
    done = run("sleep 1000 & echo $!; wait", 0.3)
    assert done.late
    assert time.monotonic() - began < 5
    child = int(done.out)
    for _ in range(500):
        if not _alive(child):
            break
        time.sleep(0.01)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - a file of the kernel
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_daemon_that_holds_the_output_open_does_not_hold_us_up() -> None:
    began = time.monotonic()
    done = run("sleep 3 & echo started", 10)
    assert done.out == "started\n"
    assert time.monotonic() - began < 2


def test_endless_output_is_bounded() -> None:
    done = run("yes | head -c 30000000; echo end")
    assert len(done.out) <= process.LIMIT
    assert done.out.endswith("end\n")


def test_output_can_go_to_a_file_that_outlives_us(memory: Path) -> None:
    done = run("echo out; echo err >&2", log=str(memory / "log"))
    assert done.out == "out\nerr\n"


def test_kernel_parameters_of_a_root(agents: Agents) -> None:
    live = agents.write("/proc/sys/net/ipv4/tcp_rmem", "1\t2\t3\n")
    wanted = Sysctl(label="x", values=(("net.ipv4.tcp_rmem", "4  5 6"),), component="test")
    assert agents.apply(wanted).item("sysctl:x").summary == (
        "net.ipv4.tcp_rmem 1 2 3 → 4 5 6",
        "create /etc/sysctl.d/60-hakit-x.conf",
    )
    assert live.read_text() == "4 5 6\n"
    assert agents.apply(wanted).result.changed == 0
    live.write_text("9\n")
    assert agents.apply(wanted).result.changed == 1
    agents.apply()
    assert live.read_text() == "1 2 3\n"
    assert not list((agents.root / "etc/sysctl.d").iterdir())


def test_a_parameter_that_leaves_its_set_goes_back(agents: Agents) -> None:
    stays = agents.write("/proc/sys/a/stays", "1\n")
    leaves = agents.write("/proc/sys/a/leaves", "2\n")
    both = Sysctl(label="x", values=(("a.stays", "10"), ("a.leaves", "20")), component="test")
    agents.apply(both)
    assert leaves.read_text() == "20\n"
    one = both.replace(values=both.values[:1])
    assert agents.apply(one).item("sysctl:x").summary == (
        "a.leaves 20 → 2",
        "write /etc/sysctl.d/60-hakit-x.conf",
    )
    assert (stays.read_text(), leaves.read_text()) == ("10\n", "2\n")
    assert agents.apply(one).result.changed == 0


@pytest.mark.parametrize("left", [(), (("a.stays", "10"),)], ids=["the whole set", "one of it"])
def test_a_value_that_the_kernel_does_not_take_back_stops_nothing(
    agents: Agents, left: tuple[tuple[str, str], ...]
) -> None:
    agents.write("/proc/sys/a/stays", "1\n")
    live = agents.write("/proc/sys/a/b", "60\n")
    wanted = Sysctl(label="x", values=(("a.stays", "10"), ("a.b", "7")), component="test")
    agents.apply(wanted)
    live.unlink()
    live.symlink_to("/proc/version")  # can be read, and refuses what is written
    remaining = [wanted.replace(values=left)] if left else []
    done = agents.apply(*remaining)
    assert (done.result.changed, done.result.failed) == (1, 0)
    assert any("a.b = 60" in event.text for event in done.events if event.ev == "note")
    assert agents.apply(*remaining).result.changed == 0


def test_an_unknown_parameter_is_refused(agents: Agents) -> None:
    (item,) = agents.plan(Sysctl(label="x", values=(("net.nothing", "1"),)))
    assert item.error is not None
    assert item.error.message.startswith("this kernel has no parameter net.nothing")


def parameters(label: str, **values: str) -> Sysctl:
    return Sysctl(label=label, values=tuple((f"net.{name}", value) for name, value in values.items()), component=label)


@pytest.mark.parametrize("moved", [False, True], ids=["both sets have it", "it moves"])
@pytest.mark.parametrize("whole", [False, True], ids=["a part", "the whole set"])
def test_a_parameter_that_another_set_declares_stays(agents: Agents, moved: bool, whole: bool) -> None:
    for name in ("a", "b"):
        agents.write(f"/proc/sys/net/{name}", "1\n")
    second = parameters("second", a="2")
    agents.apply(parameters("first", a="2", b="2"), *(() if moved else (second,)))
    rest = (second,) if whole else (parameters("first", b="2"), second)
    done = agents.apply(*rest)
    assert done.result.failed == 0
    assert (agents.read("/proc/sys/net/a"), agents.read("/proc/sys/net/b")) == ("2\n", "1\n" if whole else "2\n")
    assert agents.apply(*rest).result.changed == 0
    agents.apply()
    assert (agents.read("/proc/sys/net/a"), agents.read("/proc/sys/net/b")) == ("1\n", "1\n")


def test_a_parameter_that_another_component_declares_stays(agents: Agents) -> None:
    agents.write("/proc/sys/net/a", "1\n")
    agents.apply(parameters("first", a="2"))
    with agents.client(lock=False) as client:
        assert client.plan([], ["first"], elsewhere=["net.a"]) == ()


def test_accounts_are_compared(agents: Agents) -> None:
    items = agents.plan(Group(group="ops"), User(user=ME), User(user="new", group="ops", after=("group:ops",)))
    assert [item.status for item in items] == ["change", "same", "change"]
    assert items[2].after == "known after group:ops"
