"""What a host waits for: the rules alone, by data, and an agent with a fake apt and a fake /proc."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent import frames, living, stale, upkeep
from hakit.agent.answers import Upgrade
from hakit.agent.handlers import package
from hakit.agent.starting import AgentGone
from hakit.agent.upgrading import differences, has_died
from tests.unit.agent.agent_support import ForkChannel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.agent_support import Agents

SIMULATED = """Reading package lists...
The following packages will be upgraded:
  haproxy
Inst libc6 [2.36-9] (2.36-10 Debian:12.13/oldstable [amd64]) []
Inst haproxy [2.6.12-1+deb12u3] (2.6.12-1+deb12u4 Debian-Security:12/oldstable-security [amd64])
Inst both [1] (2 Debian:12.13/oldstable, Debian-Security:12/oldstable-security [amd64])
Inst noble [1:1.2~rc1] (1:1.2 Ubuntu:24.04/noble-security [amd64])
Inst libnew (1.0 Debian:12.13/oldstable [all])
Conf libc6 (2.36-10 Debian:12.13/oldstable [amd64])
Inst
Inst broken
"""


def test_what_apt_would_do_is_understood() -> None:
    found = upkeep.parse_upgrades(SIMULATED)
    assert [tuple(one.values()) for one in found] == [
        ("libc6", "2.36-9", "2.36-10", False),
        ("haproxy", "2.6.12-1+deb12u3", "2.6.12-1+deb12u4", True),
        ("both", "1", "2", True),
        ("noble", "1:1.2~rc1", "1:1.2", True),
        ("libnew", "", "1.0", False),
    ]


@pytest.mark.parametrize(
    ("running", "installed", "newer"),
    [
        ("6.1.0-28-amd64", ["6.1.0-28-amd64"], ""),
        ("6.1.0-28-amd64", ["6.1.0-9-amd64", "6.1.0-28-amd64", "6.1.0-30-amd64"], "6.1.0-30-amd64"),
        ("6.1.0-28-amd64", ["6.1.0-30-cloud-amd64"], ""),
        ("6.1.0-28-cloud-amd64", ["6.1.0-30-cloud-amd64"], "6.1.0-30-cloud-amd64"),
        ("6.12.9+deb13-amd64", ["6.12.41+deb13-amd64"], "6.12.41+deb13-amd64"),
        ("6.12.41+deb13+1-amd64", ["6.12.41+deb13-amd64"], ""),
        ("6.18.44-custom", ["6.1.0-28-amd64"], ""),
        ("6.18.44", [], ""),
    ],
)
def test_newer_kernel(running: str, installed: list[str], newer: str) -> None:
    assert upkeep.newer_kernel(running, installed) == newer


@pytest.mark.parametrize(
    ("banner", "package", "found"),
    [
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)", "6.1.120-1", ("6.1.119-1", "6.1.120-1")),
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)", "6.1.119-1", None),
        ("#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)", "", None),
        ("#1 SMP custom", "6.1.120-1", None),
        ("#1 SMP Debian", "6.1.120-1", None),
    ],
)
def test_rebuilt_kernel(banner: str, package: str, found: tuple[str, str] | None) -> None:
    assert upkeep.rebuilt_kernel(banner, package) == found


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("55bd-55be r-xp 0004f000 00:27 15507 /usr/sbin/haproxy (deleted)", True),
        ("55bd-55be r-xp 0004f000 00:27 15507 /opt/my app/run (deleted)", True),
        ("55bd-55be r-xp 0004f000 00:27 15507 /lib/x86_64-linux-gnu/libc.so.6 (deleted)", True),
        ("55bd-55be r-xp 0004f000 00:27 15507 /usr/sbin/haproxy", False),
        ("55bd-55be r--p 0004f000 00:27 15507 /usr/lib/locale/C.utf8/LC_CTYPE (deleted)", False),
        ("55bd-55be rwxp 00000000 00:01 2054 /memfd:jit (deleted)", False),
        ("55bd-55be r-xp 00000000 00:01 2054 /tmp/x (deleted)", False),
        ("55bd-55be r-xp 00000000 00:00 0 [vdso]", False),
        ("55bd-55be rwxp 00000000 00:00 0 ", False),
        ("", False),
    ],
)
def test_replaced(line: str, counts: bool) -> None:
    assert bool(stale.replaced([line, line])) == counts
    assert len(stale.replaced([line, line])) <= 1


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/haproxy.service\n", "haproxy.service"),
        ("0::/system.slice/system-postgresql.slice/postgresql@15-main.service\n", "postgresql@15-main.service"),
        ("0::/system.slice/foo.service/worker\n", "foo.service"),
        ("9:name=systemd:/\n0::/system.slice/haproxy.service\n", "haproxy.service"),
        ("0::/user.slice/user-0.slice/session-3.scope\n", ""),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/x.service\n", ""),
        ("0::/system.slice/docker-abc.scope\n", ""),
        ("0::/init.scope\n", ""),
        ("0::/\n", ""),
        ("", ""),
    ],
)
def test_unit_of(cgroup: str, unit: str) -> None:
    assert stale.unit_of(cgroup) == unit


@pytest.mark.parametrize(
    ("unit", "kept"),
    [
        ("dbus.service", True),
        ("systemd-logind.service", True),
        ("getty@tty1.service", True),
        ("haproxy.service", False),
        ("postgresql@15-main.service", False),
        ("dbus-test.service", False),
    ],
)
def test_is_kept(unit: str, kept: bool) -> None:
    assert stale.is_kept(unit) == kept


@pytest.mark.parametrize(
    ("active", "enabled", "died"),
    [
        ("active", "enabled", False),
        ("failed", "static", True),
        ("inactive", "enabled", True),
        ("inactive", "static", False),
        ("activating", "enabled", False),
    ],
)
def test_has_died(active: str, enabled: str, died: bool) -> None:
    assert has_died({"ActiveState": active, "UnitFileState": enabled}) == died


def test_differences() -> None:
    before = {"a": "1", "b": "1", "c": "1", "a:amd64": "1"}
    after = {"a": "2", "b": "1", "d": "3", "a:amd64": "2"}
    assert differences(before, after) == ["a 1 → 2", "c 1 gone", "d 3 new"]


APT = """#!/bin/sh
cd "${0%/*}/../fake"
echo "$@" >> asked
case " $* " in
*" -s "*) cat simulated; exit $(cat code) ;;
*" update "*) cat update; exit 0 ;;
*" install "*)
    touch ready; while ! test -e go; do sleep 0.02; done
    "${0%/*}/../usr/sbin/policy-rc.d" d.service restart && echo allowed > policy
    "${0%/*}/../usr/sbin/policy-rc.d" other.service start || echo denied >> policy
    sed 's/haproxy\t1/haproxy\t2/' packages > new; mv new packages ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
cd "${0%/*}/../fake"
test "$1" = show || echo "$@" >> systemctl
case "$1" in
list-units) echo "d.service loaded active running a daemon" ;;
show) echo Type=notify; echo "ActiveState=$(cat active)"; echo UnitFileState=enabled; echo InvocationID=1 ;;
restart) cat after > active; rm -rf ../proc/77 ;;
esac
"""


@pytest.fixture
def fake(agents: Agents) -> Path:
    """A host with one package, one service, and an apt that waits for `go` while it installs."""
    folder = agents.root / "fake"
    for name in ("fake", "proc", "usr/sbin"):
        (agents.root / name).mkdir(parents=True)
    texts = {"simulated": SIMULATED, "code": "0", "update": "", "active": "active", "after": "active", "go": ""}
    for name, text in {**texts, "packages": "haproxy\t1\tii \n"}.items():
        (folder / name).write_text(text)
    programs = {
        "apt-get": APT,
        "systemctl": SYSTEMCTL,
        "dpkg-query": '#!/bin/sh\ncat "${0%/*}/../fake/packages"\n',
        "apt-mark": "#!/bin/sh\ntest $1 = showauto || echo $@ >> ${0%/*}/../fake/asked\n",
        "journalctl": "#!/bin/sh\necho its last words\n",
    }
    for name, script in programs.items():
        (agents.root / "bin" / name).write_text(script)
        (agents.root / "bin" / name).chmod(0o755)
    return folder


def runs_replaced_code(agents: Agents, pid: int = 77, unit: str = "d.service") -> None:
    agents.write(f"/proc/{pid}/cgroup", f"0::/system.slice/{unit}\n" if pid > 1 else "0::/init.scope\n")
    agents.write(f"/proc/{pid}/maps", "55bd-55be r-xp 0004f000 00:27 15507 /usr/sbin/d (deleted)\n")


def asked(fake: Path, program: str = "asked") -> list[str]:
    return (fake / program).read_text().splitlines() if (fake / program).exists() else []


def test_upkeep(agents: Agents, fake: Path) -> None:
    agents.write("/run/reboot-required", "")
    agents.write("/run/reboot-required.pkgs", "linux-image-amd64\nlibc6\nlibc6\n")
    agents.write("/boot/vmlinuz-999.1-" + os.uname().release.partition("-")[2], "")
    for pid, unit in ((1, ""), (5, "dbus.service"), (77, "d.service")):
        runs_replaced_code(agents, pid, unit)
    with agents.client(lock=False) as client:
        found = client.upkeep(lambda _: None, refresh=False)
    assert found.reboot[0] == "asked for by linux-image-amd64, libc6"
    assert found.reboot[1].startswith("kernel 999.1-")
    assert found.reboot[2:] == ("process 1 runs replaced code: d", "dbus.service runs replaced code")
    assert found.restart == ("d.service",)
    assert found.upgrades[1] == Upgrade("haproxy", "2.6.12-1+deb12u3", "2.6.12-1+deb12u4", security=True)
    assert asked(fake) == ["-s -q upgrade --with-new-pkgs"]


def test_a_container_runs_no_kernel_of_its_own(agents: Agents, fake: Path) -> None:
    del fake
    agents.write("/run/systemd/container", "systemd-nspawn")
    agents.write("/boot/vmlinuz-999.1-" + os.uname().release.partition("-")[2], "")
    with agents.client(lock=False) as client:
        assert client.upkeep(lambda _: None, refresh=False).reboot == ()


@pytest.mark.parametrize("said", ["E: Failed to fetch http://x/  no", "W: Failed to fetch http://x/  no"])
def test_sources_that_can_not_be_read_are_an_error(agents: Agents, fake: Path, said: str) -> None:
    (fake / "update").write_text(f"Hit:1 http://y\n{said}\n")
    with (
        agents.client(lock=False) as client,
        pytest.raises(AgentGone, match="sources of this host can't be read") as got,
    ):
        client.upkeep(lambda _: None, refresh=True)
    assert said in str(got.value)


def test_an_apt_that_can_not_tell_stops_only_who_needs_it(agents: Agents, fake: Path) -> None:
    (fake / "code").write_text("100")
    (fake / "simulated").write_text("E: Unmet dependencies. Try 'apt --fix-broken install'\n")
    notes: list[str] = []
    with agents.client(lock=False) as client:
        assert client.upkeep(lambda event: notes.append(event.text), refresh=False).upgrades == ()
        with pytest.raises(AgentGone, match="can't tell what it would upgrade"):
            client.upkeep(lambda _: None, refresh=True)
    assert "Unmet dependencies" in notes[0]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(living, "LIVES", 0.1)


@pytest.mark.usefixtures("quick")
def test_an_upgrade(agents: Agents, fake: Path) -> None:
    runs_replaced_code(agents)
    notes: list[str] = []
    with agents.client() as client:
        summary, error = client.upgrade([("haproxy", "2")], lambda event: notes.append(event.text))
    assert error is None
    assert summary == ("haproxy 1 → 2", "restarted d.service, which ran replaced code")
    assert notes == ["apt-get brings 1 package to other versions", "restarting d.service, which runs replaced code"]
    (line,) = asked(fake)
    assert line.endswith("install --no-install-recommends --no-remove --allow-downgrades -- haproxy=2")
    assert "--force-confold" in line
    assert asked(fake, "policy") == ["allowed", "denied"]
    assert list((agents.root / "usr/sbin").iterdir()) == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("active", "message"),
    [
        ("failed", "d.service ran before the upgrade and does not now"),
        ("inactive", "d.service ran before the upgrade and does not now"),
    ],
)
def test_a_service_that_does_not_come_back_is_told(agents: Agents, fake: Path, active: str, message: str) -> None:
    runs_replaced_code(agents)
    (fake / "after").write_text(active)
    with agents.client() as client:
        _, error = client.upgrade([], lambda _: None)
    assert error is not None
    assert (error.message, error.output) == (message, "its journal, which may quote secrets:  journalctl -u d.service")


def test_an_apt_that_does_not_end_makes_no_package_manual(
    agents: Agents, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "PATIENCE", 0.5)
    (fake / "go").unlink()
    (fake / "auto").write_text("haproxy\n")
    marks = agents.root / "bin/apt-mark"
    marks.write_text(
        '#!/bin/sh\ncd "${0%/*}/../fake"\ntest $1 = showauto || { echo $@ >> marked; exit; }\ncat auto; : > auto\n'
    )
    with agents.client() as client:
        _, error = client.upgrade([("haproxy", "2")], lambda _: None)
    assert error is not None
    assert error.message.startswith("apt-get install did not end within")
    assert asked(fake, "marked") == ["-q auto haproxy"]


def test_a_version_that_does_not_come_is_told_and_nothing_restarts(agents: Agents, fake: Path) -> None:
    runs_replaced_code(agents)
    (agents.root / "bin/apt-get").write_text(
        "#!/bin/sh\necho \"E: Version '9' for 'haproxy' was not found\"; exit 100\n"
    )
    with agents.client() as client:
        summary, error = client.upgrade([("haproxy", "9")], lambda _: None)
    assert summary == ()
    assert error is not None
    assert error.message.endswith("bring haproxy to the wanted version: Version '9' for 'haproxy' was not found")
    assert [line for line in asked(fake, "systemctl") if line.startswith("restart")] == []


@pytest.mark.parametrize(
    "pair", [("-x", "1"), ("a b", "1"), ("a", ""), ("a", "1 2"), ("", "1"), ("a=b", "1"), ("a", "-1")]
)
def test_what_is_no_package_is_refused(agents: Agents, fake: Path, pair: tuple[str, str]) -> None:
    with agents.client() as client, pytest.raises(AgentGone, match="no package and version"):
        client.upgrade([pair], lambda _: None)
    assert asked(fake) == []


@pytest.mark.parametrize("op", ["upgrade", "reboot"])
def test_nothing_is_done_without_the_lock(agents: Agents, fake: Path, op: str) -> None:
    with agents.client(lock=False) as client, pytest.raises(AgentGone, match=f"{op} without the host's lock"):
        client.upgrade([("a", "1")], lambda _: None) if op == "upgrade" else client.reboot()
    assert asked(fake) == asked(fake, "systemctl") == []


@pytest.mark.parametrize("how", ["hang up", "signal"])
def test_an_upgrade_whose_controller_is_gone_completes_the_transaction_and_no_more(
    agents: Agents, fake: Path, how: str
) -> None:
    (fake / "go").unlink()
    runs_replaced_code(agents)
    request: dict[str, Any] = {"op": "upgrade", "packages": [["haproxy", "2"]]}
    with agents.client() as client:
        channel = client._channel
        assert isinstance(channel, ForkChannel)
        channel.send(frames.encode(request, frames.TO_HOST))
        _wait_for(fake / "ready")
        if how == "signal":
            os.kill(channel.pid, signal.SIGTERM)
        else:
            channel.hang_up()
        (fake / "go").touch()
        assert channel.exit_status(10) == 0
    assert (fake / "packages").read_text() == "haproxy\t2\tii \n"
    assert [line for line in asked(fake, "systemctl") if line.startswith("restart")] == []
    assert list((agents.root / "usr/sbin").iterdir()) == []


def test_a_reboot_leaves_no_lock_behind(agents: Agents, fake: Path) -> None:
    with agents.client() as client:
        assert (agents.state / "lock").read_text()
        client.reboot()
        assert (agents.state / "lock").read_text() == ""
    assert asked(fake, "systemctl") == ["reboot --no-block"]


def test_a_reboot_that_is_refused_is_told(agents: Agents, fake: Path) -> None:
    del fake
    (agents.root / "bin/systemctl").write_text("#!/bin/sh\necho no >&2; exit 1\n")
    with agents.client() as client, pytest.raises(AgentGone, match="reboot: systemctl failed with exit 1"):
        client.reboot()


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
