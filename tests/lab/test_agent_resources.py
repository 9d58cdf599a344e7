"""What the agent does on a real Debian host: packages, units, accounts, kernel parameters, and its own discipline."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from hakit.agent.client import Client
from hakit.agent.frames import TO_HOST, encode
from hakit.agent.probes import Probe
from hakit.agent.resources.account import Group, User
from hakit.agent.resources.command import Command
from hakit.agent.resources.package import Package
from hakit.agent.resources.sysctl import Sysctl
from hakit.agent.resources.unit import Unit
from hakit.agent.starting import AgentGone
from hakit.agent.wire import Text
from tests.lab.agent_host import AgentHost, apply_with, file

if TYPE_CHECKING:
    from hakit.agent.resources.base import Resource
    from tests.lab.conftest import LabHandle

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKXPvTN3Pq5xP1KvHqGPMxX3xX1d2P1zv3n8YkYw0a0b ops@example"
DAEMON = "/etc/systemd/system/sleeper.service"
CONF = "/etc/sleeper.conf"
# A daemon that shows what it has loaded: it copies its configuration at start and at reload.
UNIT = f"""[Service]
Type=simple
ExecStart=/bin/sh -c 'cp {CONF} /run/loaded; exec sleep 1000000'
ExecReload=/bin/cp {CONF} /run/loaded
"""


def sleeper(conf: str = "one\n", unit: str = UNIT) -> tuple[Resource, ...]:
    after = (f"files:{DAEMON}", f"files:{CONF}")
    service = Unit(
        unit="sleeper.service", enabled=None, reload_on=(CONF,), restart_on=(DAEMON,), component="test", after=after
    )
    return file(DAEMON, unit), file(CONF, conf), service


def test_packages_come_in_one_transaction_and_start_nothing(host: AgentHost) -> None:
    both = (Package(package="haproxy", component="test"), Package(package="keepalived", component="test"))
    assert host.apply(*both).result.changed == 2
    assert host.run("systemctl is-active haproxy keepalived || true").split() == ["inactive", "inactive"]
    assert host.run("test -e /usr/sbin/policy-rc.d && echo left || echo clean") == "clean"
    assert host.apply(*both).result.changed == 0
    starts = host.run("grep -c ^Start-Date /var/log/apt/history.log")
    gone = host.apply()
    assert [event.ev for event in gone.events if event.ev != "begin"] == ["done", "done"]
    assert host.run("dpkg-query -W -f '${db:Status-Abbrev}' haproxy keepalived").split() == ["rc", "rc"]
    assert int(host.run("grep -c ^Start-Date /var/log/apt/history.log")) == int(starts) + 1


def test_a_foreign_policy_stays_and_nothing_starts(host: AgentHost) -> None:
    host.run("printf '#!/bin/sh\\nexit 0\\n' > /usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d")
    try:
        assert host.apply(Package(package="haproxy", component="test")).result.changed == 1
        assert host.run("systemctl is-active haproxy || true") == "inactive"
        assert host.run("cat /usr/sbin/policy-rc.d").splitlines()[-1] == "exit 0"
    finally:
        host.run("rm /usr/sbin/policy-rc.d")


def test_an_unknown_package_fails_alone(host: AgentHost) -> None:
    done = host.apply(
        Package(package="no-such-package-here", component="test"), Package(package="keepalived", component="test")
    )
    assert (done.result.changed, done.result.failed) == (1, 1)
    assert "no source of this host has the package" in done.error("package:no-such-package-here")


def test_dpkgs_lock_is_waited_for_and_its_holder_named(host: AgentHost) -> None:
    hold = (
        "import fcntl,time; f=open('/var/lib/dpkg/lock-frontend','w'); fcntl.lockf(f,fcntl.LOCK_EX);"
        "print('held',flush=True); time.sleep(1000)"
    )
    with host.connection() as connection, host.client() as client:
        channel = connection.exec(f'exec python3 -c "{hold}"')
        assert channel.recv(100, 10) == b"held\n"
        notes: list[str] = []
        released = threading.Event()

        def on_note(text: str) -> None:
            notes.append(text)
            if not released.is_set():
                released.set()
                channel.close()
                connection.close()
                host.run("pkill -f [l]ock-frontend")

        package = Package(package="keepalived", component="test")
        client.plan([package], None)
        result = client.apply([package.key], [], lambda event: on_note(event.text) if event.ev == "note" else None)
    assert result.changed == 1
    assert "held by process" in notes[0]
    assert "(python3)" in notes[0]


def test_an_interrupted_dpkg_is_completed_first(host: AgentHost) -> None:
    host.apply(Package(package="keepalived", component="test"))
    host.run("cd /var/cache/apt/archives && apt-get download -q keepalived && dpkg --unpack keepalived*.deb")
    done = host.apply(Package(package="keepalived", component="test"), Package(package="haproxy", component="test"))
    assert done.result.failed == 0
    assert host.run("dpkg --audit") == ""


def test_a_package_with_other_users_is_kept(host: AgentHost) -> None:
    host.run("apt-get autoremove -y -q")  # what earlier tests brought along
    host.apply(Package(package="libnl-3-200", component="test"))
    host.run("apt-get install -y -q --no-install-recommends keepalived")
    gone = host.apply()
    assert gone.summary("package:libnl-3-200")[0].startswith("keep it: keepalived")
    assert host.run("dpkg-query -W -f '${db:Status-Abbrev}' libnl-3-200").strip() == "ii"
    host.run("apt-get remove -y -q keepalived")


def test_a_unit_starts_reloads_restarts_and_goes(host: AgentHost) -> None:
    assert host.apply(*sleeper()).result.failed == 0
    assert host.run("systemctl is-active sleeper") == "active"
    assert host.apply(*sleeper()).result.changed == 0
    pid = host.run("systemctl show -P MainPID sleeper")
    assert host.apply(*sleeper("two\n")).summary("unit:sleeper.service") == ("reload (sleeper.conf changed)",)
    assert host.run("cat /run/loaded; systemctl show -P MainPID sleeper").split() == ["two", pid]
    changed = sleeper("two\n", UNIT + "Environment=A=1\n")
    assert host.apply(*changed).summary("unit:sleeper.service") == ("restart (sleeper.service changed)",)
    assert host.run("systemctl show -P MainPID sleeper") != pid
    assert host.run("systemctl show -P NeedDaemonReload sleeper") == "no"
    assert host.apply(*changed).result.changed == 0
    host.apply()
    assert host.run("systemctl show -P LoadState -P ActiveState sleeper").split() == ["not-found", "inactive"]


def test_a_unit_that_was_started_anew_is_not_reloaded_again(host: AgentHost) -> None:
    host.apply(*sleeper("one\n"))
    host.apply(*sleeper("two\n"))
    host.run("systemctl restart sleeper")
    assert {item.status for item in host.plan(*sleeper("two\n"))} == {"same"}


def test_a_restart_that_a_run_forgot_is_made_up_for(host: AgentHost) -> None:
    """The files are replaced, then the run dies before the unit's turn."""
    host.apply(*sleeper("one\n"))
    with host.client() as client:
        client.plan(sleeper("two\n"), None)
        client.apply([f"files:{CONF}"], [], lambda _: None)
    assert host.run("cat /run/loaded") == "one"
    assert host.apply(*sleeper("two\n")).summary("unit:sleeper.service") == ("reload (sleeper.conf changed)",)
    assert host.run("cat /run/loaded") == "two"


DROP_IN = "/etc/systemd/system/sleeper.service.d/50-test.conf"
# A systemctl that kills the agent once, where it is told to.
DEADLY = """#!/bin/sh
[ "$1" = WHERE ] && mkdir /run/deadly && { kill -9 $PPID; exit 1; }
exec /usr/bin/systemctl "$@"
"""


@pytest.mark.parametrize("killed_at", ["", "daemon-reload", "restart"])
def test_a_drop_in_that_leaves_restarts_its_unit(host: AgentHost, killed_at: str) -> None:
    """Also where somebody has restarted the unit since, and where the run dies between the removal and the restart."""
    environment = "tr '\\0' '\\n' < /proc/$(systemctl show -P MainPID sleeper)/environ | grep ^ROUND= || echo none"
    unit, conf, service = sleeper()
    more = service.replace(restart_on=(DAEMON, DROP_IN), after=(*service.after, f"files:{DROP_IN}"))
    host.apply(unit, conf, file(DROP_IN, "[Service]\nEnvironment=ROUND=1\n"), more)
    host.run("systemctl restart sleeper")
    assert host.run(environment) == "ROUND=1"
    gone, restart = host.plan(*sleeper())[0], host.plan(*sleeper())[-1]
    assert (gone.key, gone.status) == (f"files:{DROP_IN}", "remove")
    assert (restart.summary, restart.impact) == (("restart (50-test.conf removed)",), "disruptive")
    if killed_at:
        host.run(f"cat > /usr/local/bin/systemctl <<'EOF'\n{DEADLY.replace('WHERE', killed_at)}EOF\n")
        host.run("chmod 755 /usr/local/bin/systemctl")
        try:
            with pytest.raises(AgentGone):
                host.apply(*sleeper())
            assert host.run("rmdir /run/deadly && echo it died") == "it died"
        finally:
            host.run("rm /usr/local/bin/systemctl")
        assert host.run(f"test -e {DROP_IN} || echo gone; {environment}").split() == ["gone", "ROUND=1"]
        assert host.plan(*sleeper())[-1].summary == ("restart (50-test.conf removed)",)
    assert host.apply(*sleeper()).result.failed == 0
    assert host.run(environment) == "none"
    assert host.run("systemctl show -P NeedDaemonReload sleeper") == "no"
    assert host.apply(*sleeper()).result.changed == 0


def test_a_file_that_reloads_a_unit_reloads_it_when_it_leaves(host: AgentHost) -> None:
    """Although the unit leaves with the file that named it: hakit did not start it, and does not stop it."""
    host.run(f"cat > {DAEMON} <<'EOF'\n{UNIT}EOF\necho none > {CONF}; systemctl daemon-reload; systemctl start sleeper")
    pid = host.run("systemctl show -P MainPID sleeper")
    named = Unit(unit="sleeper.service", enabled=None, running=None, reload_on=(CONF,), component="test")
    host.apply(file(CONF, "ours\n"), named.replace(after=(f"files:{CONF}",)))
    assert host.run("cat /run/loaded") == "ours"
    (item,) = (one for one in host.plan() if one.key.startswith("unit:"))
    assert (item.status, item.summary, item.impact) == ("remove", ("reload (sleeper.conf restored)",), "reload")
    assert host.apply().result.failed == 0
    assert host.run("cat /run/loaded; systemctl show -P MainPID sleeper").split() == ["none", pid]
    assert host.plan() == ()
    host.run(f"systemctl stop sleeper; rm {DAEMON} {CONF}; systemctl daemon-reload")


def test_a_unit_that_dies_fails_with_its_journal(host: AgentHost) -> None:
    dying = "[Service]\nExecStart=/bin/sh -c 'sleep 0.5; echo the reason; exit 1'\n"
    done = host.apply(*sleeper("one\n", dying))
    assert "died after start" in done.error("unit:sleeper.service")
    assert "the reason" in done.error("unit:sleeper.service")
    assert host.apply(*sleeper()).result.failed == 0


def test_a_masked_unit_is_refused(host: AgentHost) -> None:
    host.run("systemctl mask nothing-here.service")
    (item,) = host.plan(Unit(unit="nothing-here.service", component="test"))
    host.run("systemctl unmask nothing-here.service")
    assert item.status == "refused"
    assert item.error is not None
    assert "systemctl unmask nothing-here.service" in item.error.message


def test_a_mask_that_is_older_than_the_package_is_shown_and_goes(host: AgentHost) -> None:
    """As one that hides a unit which is there: what is declared to run is unmasked, and the plan says so."""
    package = Package(package="keepalived", component="test")
    both = (package, Unit(unit="keepalived.service", running=None, component="test", after=(package.key,)))
    host.run("systemctl mask keepalived.service")
    item = host.plan(*both)[-1]
    assert (item.status, item.summary) == ("unknown", ("unmask", "enable"))
    assert item.after == "known after package:keepalived"
    done = host.apply(*both)
    assert done.result.failed == 0
    assert host.run("systemctl is-enabled keepalived") == "enabled"
    assert host.apply(*both).result.changed == 0


def test_an_unknown_unit_is_refused(host: AgentHost) -> None:
    (item,) = host.plan(Unit(unit="nothing-here.service", component="test"))
    assert item.error is not None
    assert item.error.message == "there is no unit nothing-here.service on this host"


def test_accounts_come_and_go_and_homes_stay(host: AgentHost) -> None:
    group = Group(group="deploy", gid=3000, component="test")
    user = User(  # noqa: S604 - a declared value, not a call of ours
        user="ops",
        uid=3001,
        group="deploy",
        groups=("adm",),
        shell="/bin/bash",
        comment="Ops",
        authorized_keys=(KEY,),
        password_hash=Text("$6$salt$hash", "<secret:ops>"),
        component="test",
        after=("group:deploy",),
    )
    assert host.apply(group, user).result.changed == 2
    assert host.apply(group, user).result.changed == 0
    assert host.run("id -un 3001; id -gn ops; id -Gn ops").split() == ["ops", "deploy", "deploy", "adm"]
    assert host.run("getent shadow ops").split(":")[1] == "$6$salt$hash"
    assert host.run("stat -c '%a %U' ~ops/.ssh ~ops/.ssh/authorized_keys").split() == ["700", "ops", "600", "ops"]
    assert host.run("cat ~ops/.ssh/authorized_keys") == KEY
    changed = host.apply(group, user.replace(shell="/bin/sh", authorized_keys=()))  # noqa: S604 - a declared value, not a call of ours
    assert changed.summary("user:ops") == ("shell /bin/bash → /bin/sh", "authorized_keys: 0 keys")
    assert "its home /home/ops stays" in host.apply().summary("user:ops")
    assert host.run("getent passwd ops || echo none; test -d /home/ops && echo home").split() == ["none", "home"]
    host.run("rm -r /home/ops")


def test_no_password_means_a_locked_one_and_no_link_of_a_user_is_followed(host: AgentHost) -> None:
    user = User(user="eve", component="test", authorized_keys=(KEY,))
    host.apply(user)
    assert host.run("getent shadow eve").split(":")[1] == "!"
    host.run("rm -r ~eve/.ssh; ln -s /root/.ssh ~eve/.ssh")
    before = host.run("cat /root/.ssh/authorized_keys")
    (item,) = host.plan(user)
    assert item.status == "refused"
    assert host.run("cat /root/.ssh/authorized_keys") == before
    host.run("rm ~eve/.ssh")
    host.apply()
    host.run("rm -r /home/eve")


def test_kernel_parameters_are_set_kept_and_put_back(host: AgentHost) -> None:
    before = host.run("cat /proc/sys/net/ipv4/ip_nonlocal_bind")
    wanted = Sysctl(label="test", values=(("net.ipv4.ip_nonlocal_bind", "1"), ("net.ipv4.tcp_rmem", "4096 1 2")))
    assert host.apply(wanted.replace(component="test")).result.changed == 1
    assert host.run("cat /proc/sys/net/ipv4/ip_nonlocal_bind") == "1"
    assert "net.ipv4.ip_nonlocal_bind = 1" in host.run("cat /etc/sysctl.d/60-hakit-test.conf")
    assert host.apply(wanted.replace(component="test")).result.changed == 0
    host.run("echo 0 > /proc/sys/net/ipv4/ip_nonlocal_bind")
    assert host.apply(wanted.replace(component="test")).summary("sysctl:test") == ("net.ipv4.ip_nonlocal_bind 0 → 1",)
    host.apply()
    assert host.run("cat /proc/sys/net/ipv4/ip_nonlocal_bind") == before
    assert host.run("ls /etc/sysctl.d | grep -c hakit || true") == "0"


@pytest.mark.parametrize("values", [(("net.ipv4.no_such_thing", "1"),), (("net.ipv4.ip_nonlocal_bind", "x"),)])
def test_a_parameter_that_the_kernel_refuses_is_told(host: AgentHost, values: tuple[tuple[str, str], ...]) -> None:
    done = host.apply(Sysctl(label="bad", values=values, component="test"))
    refused = [item.error.message for item in done.items if item.error]
    failed = [event.error.message for event in done.events if event.error]
    assert [values[0][0] in text for text in refused + failed] == [True]


def test_the_lock_names_its_holder_and_dies_with_it(host: AgentHost) -> None:
    with host.client(), host.connection() as connection:
        second = Client.start(connection.exec, sudo=False)
        hello = second.hello(run="second", who="bob@elsewhere", lock=True, packages=())
        assert hello.lock is not None
        assert (hello.lock.who, hello.lock.run) == ("tests", "test")
        second.close()
    with host.connection() as connection:
        dying = Client.start(connection.exec, sudo=False)
        dying.hello(run="dying", who="carol", lock=True, packages=())
        pid = json.loads(host.run("cat /var/lib/hakit/lock"))["pid"]
        host.run(f"kill -9 {pid}")
        with pytest.raises(AgentGone):
            dying.plan([], None)
    with host.connection() as connection:
        third = Client.start(connection.exec, sudo=False)
        after = third.hello(run="third", who="dave", lock=True, packages=())
        assert after.taken_over is not None
        assert after.taken_over.run == "dying"
        third.close()


def test_dpkg_is_not_torn_apart_when_the_controller_goes_away(lab: LabHandle, host: AgentHost) -> None:
    package = Package(package="haproxy", component="test")
    with host.connection() as connection:
        client = Client.start(connection.exec, sudo=False)
        client.hello(run="r", who="w", lock=True, packages=())
        client.plan([package], None)
        client._channel.send(encode({"op": "apply", "keys": [package.key]}, TO_HOST))
        lab.eventually(lambda: host.run("pgrep -x dpkg || true") != "", "dpkg runs", 60)
        connection.close()
    lab.eventually(lambda: host.run("flock -n /var/lib/hakit/lock echo free || true") == "free", "the agent ended", 60)
    assert host.run("dpkg --audit") == ""
    assert host.run("dpkg-query -W -f '${db:Status-Abbrev}' haproxy").strip() == "ii"
    assert host.apply(package).result.changed == 0


def test_probes_tell_what_serves(host: AgentHost) -> None:
    questions = {
        Probe(kind="tcp", target="127.0.0.1:22"): True,
        Probe(kind="tcp", target="127.0.0.1:9"): False,
        Probe(kind="http", target="http://127.0.0.1:22/", timeout=0.3): False,
        Probe(kind="unit", target="ssh.service"): True,
        Probe(kind="unit", target="nothing.service"): False,
        Probe(kind="address", target="10.77.0.11"): True,
        Probe(kind="address", target="10.77.0.99"): False,
        Probe(kind="address", target="::1"): True,
        Probe(kind="omen", target="raven"): False,
    }
    with host.client(lock=False) as client:
        answers = client.probe(list(questions))
    assert [answer.ok for answer in answers] == list(questions.values()), answers


def test_a_no_op_needs_one_connection_and_one_exec(host: AgentHost) -> None:
    """As the host's own sshd tells it, not as we count."""
    host.apply(*sleeper())
    host.run("journalctl --rotate -q; journalctl --vacuum-time=1s -q")
    with host.client() as client:
        assert apply_with(client, sleeper()).result.changed == 0
    log = host.run("journalctl -u ssh --no-pager -o cat")
    assert log.count("Starting session: command") == 2  # ours, and the one that reads this log
    assert log.count("Accepted publickey") == 2


def test_commands_are_guarded(host: AgentHost) -> None:
    guarded = Command(label="mark", argv=("touch", "/run/mark"), unless=("test", "-e", "/run/mark"))
    assert [host.apply(guarded).result.changed for _ in range(2)] == [1, 0]
    host.run("rm /run/mark")
