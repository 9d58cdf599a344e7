"""Actions, upkeep, upgrades and reboots on a real Debian host."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING

import pytest

from hakit.agent.actions import Action, Mark
from hakit.agent.answers import Upgrade
from hakit.agent.frames import TO_HOST, encode
from hakit.agent.probes import Probe
from hakit.agent.resources.package import Package
from hakit.agent.resources.unit import Unit
from hakit.agent.starting import AgentGone
from hakit.errors import HakitError
from tests.lab.agent_host import AgentHost, file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakit.agent.answers import Upkeep
    from hakit.agent.starting import Channel
    from tests.lab.conftest import LabHandle

MARK = Mark(host="one", kind="rolling", who="tests", since="2026-11-22T16:03:11Z", run="r1")
UNIT = "/etc/systemd/system/sleeper.service"
# A package whose daemon is a program of its own, so that an upgrade leaves replaced code running.
BUILD = r"""
set -e
mkdir -p /srv/repo; cd /srv/repo
rm -rf tree; mkdir -p tree/DEBIAN tree/usr/lib/napper tree/usr/lib/systemd/system
about='Architecture: all\nMaintainer: tests <tests@example.org>\nDescription: naps'
printf "Package: napper\nVersion: VERSION\n$about\n" > tree/DEBIAN/control
cp /bin/sleep tree/usr/lib/napper/napper
printf '[Service]\nExecStart=/usr/lib/napper/napper 1000000\n[Install]\nWantedBy=multi-user.target\n' \
    > tree/usr/lib/systemd/system/napper.service
printf '#!/bin/sh\nset -e\n%s\n' 'POSTINST' > tree/DEBIAN/postinst; chmod 755 tree/DEBIAN/postinst
dpkg-deb -Zgzip --build tree napper_VERSION.deb > /dev/null
: > Packages
for deb in *.deb; do
    dpkg-deb -f $deb; echo "Filename: ./$deb"
    echo "Size: $(stat -c %s $deb)"; echo "SHA256: $(sha256sum $deb | cut -d' ' -f1)"; echo
done >> Packages
printf 'Origin: Tests\nLabel: Tests-Security\nSuite: stable-security\nDate: %s\nSHA256:\n %s %s Packages\n' \
    "$(date -Ru)" "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" > Release
echo 'deb [trusted=yes] file:/srv/repo ./' > /etc/apt/sources.list.d/tests.list
"""


def offer(host: AgentHost, version: str, postinst: str = ":") -> None:
    """Have a repository on the host hold a version of the package."""
    host.run(BUILD.replace("VERSION", version).replace("POSTINST", postinst))


@pytest.fixture
def napper(host: AgentHost) -> Iterator[AgentHost]:
    """The host with version 1 of the package, its daemon running, and version 2 on offer."""
    offer(host, "1")
    host.run("apt-get update -q && apt-get install -y -q napper && systemctl enable -q --now napper")
    host.run("apt-mark auto napper")
    offer(host, "2")
    yield host
    host.run("rm -f /run/go /run/ready; dpkg --configure -a; systemctl disable -q --now napper")
    host.run("apt-get purge -y -q napper; rm -r /srv/repo; systemctl daemon-reload")
    host.run("rm /etc/apt/sources.list.d/tests.list; apt-get update -q; systemctl reset-failed")


def upkeep(host: AgentHost) -> Upkeep:
    with host.client(lock=False) as client:
        return client.upkeep(lambda _: None, refresh=False)


def upgrade(host: AgentHost, *packages: tuple[str, str]) -> tuple[tuple[str, ...], str]:
    """What was done, and what failed."""
    with host.client() as client:
        summary, error = client.upgrade(packages, lambda _: None)
    return summary, "" if error is None else f"{error.message}\n{error.output}"


def test_a_stopped_unit_stays_down_over_a_reboot_and_comes_back_enabled(host: AgentHost, lab: LabHandle) -> None:
    unit = "[Service]\nExecStart=/bin/sleep 1000000\n[Install]\nWantedBy=multi-user.target\n"
    host.apply(file(UNIT, unit), Unit(unit="sleeper.service", component="test", after=(f"files:{UNIT}",)))
    with host.client() as client:
        assert client.act([Action(kind="stop", target="sleeper.service")], MARK)[0].ok
        before = client.hello(run="r", who="w", lock=True, packages=[]).boot
        client.reboot()
    boot = rebooted(host, lab, before)
    assert host.run("systemctl is-active sleeper || true; systemctl is-enabled sleeper || true").split() == [
        "inactive",
        "disabled",
    ]
    with host.client() as client:
        hello = client.hello(run="r", who="w", lock=True, packages=[])
        assert (hello.marks, hello.boot, hello.taken_over) == ((MARK,), boot, None)
        assert client.act([Action(kind="start", target="sleeper.service")], MARK.replace(kind=""))[0].ok
        assert client.hello(run="r", who="w", lock=True, packages=[]).marks == ()
    assert host.run("systemctl is-active sleeper; systemctl is-enabled sleeper").split() == ["active", "enabled"]


def rebooted(host: AgentHost, lab: LabHandle, before: str) -> str:
    """Wait until the host has booted again; what tells this boot from others."""
    boots: list[str] = []

    def is_up() -> bool:
        try:
            with host.client(lock=False) as client:
                boots.append(client.hello(run="r", who="w", lock=False, packages=[]).boot)
        except (HakitError, AgentGone, TimeoutError):
            return False
        return boots[-1] != before

    lab.eventually(is_up, "the host has booted again", 60)
    return boots[-1]


HAPROXY = """
global
    stats socket /run/haproxy/test.sock mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen web
    bind 127.0.0.1:8080
    server one 127.0.0.1:1
"""


def test_haproxy_is_spoken_to_over_its_socket(host: AgentHost) -> None:
    host.apply(Package(package="haproxy", component="test"), file("/etc/haproxy/haproxy.cfg", HAPROXY))
    host.run("systemctl start haproxy")
    socket = "/run/haproxy/test.sock"

    def say(text: str) -> Action:
        return Action(kind="socket", target=socket, text=text)

    def asks(match: str) -> Probe:
        return Probe(kind="socket", target=socket, text="show stat", match=match)

    with host.client() as client:
        drain, nonsense = client.act([say("set server web/one state drain"), say("set server web/none state drain")])
        assert (drain.ok, drain.detail) == (True, "")
        assert (nonsense.ok, nonsense.detail) == (False, "No such server.")
        drained, up = client.probe([asks("^web,one,.*,DRAIN,"), asks("^web,one,.*,UP,")])
        assert (drained.ok, up.ok) == (True, False)
        assert drained.detail.startswith("# pxname,svname,")
        assert client.act([say("set server web/one state ready")])[0].ok
        assert client.probe([asks("^web,one,.*,no check,")])[0].ok
    host.run("systemctl stop haproxy")


@pytest.mark.parametrize("restart", ["no", "always"])
def test_a_unit_that_dies_after_some_seconds_fails(host: AgentHost, restart: str) -> None:
    unit = f"[Service]\nRestart={restart}\nRestartSec=0\nExecStart=/bin/sh -c 'sleep 4.5; echo gave up; exit 1'\n"
    done = host.apply(
        file(UNIT, unit),
        Unit(unit="sleeper.service", enabled=None, component="test", after=(f"files:{UNIT}",)),
        file("/etc/other.conf", "x\n"),
    )
    assert (done.result.changed, done.result.failed) == (2, 1)
    assert "sleeper.service died within 6 s after its start" in done.error("unit:sleeper.service")
    assert "gave up" in done.error("unit:sleeper.service")


def test_an_upgrade_is_offered_done_and_taken_back(napper: AgentHost) -> None:
    notes: list[str] = []
    with napper.client(lock=False) as client:
        found = client.upkeep(lambda event: notes.append(event.text), refresh=True)
    assert notes == ["apt-get update"]
    (offered,) = [one for one in found.upgrades if one.package == "napper"]
    assert offered == Upgrade("napper", "1", "2", security=True)
    for old, new in (("1", "2"), ("2", "1")):
        pid = napper.run("systemctl show -P MainPID napper")
        summary, error = upgrade(napper, ("napper", new))
        assert error == ""
        assert summary == (f"napper {old} → {new}", "restarted napper.service, which ran replaced code")
        assert napper.run("systemctl show -P MainPID napper") != pid
        assert napper.run("apt-mark showauto napper; test -e /usr/sbin/policy-rc.d || echo clean").split() == [
            "napper",
            "clean",
        ]


def test_what_was_stopped_stays_stopped_and_what_ran_may_be_started_by_its_package(napper: AgentHost) -> None:
    for verb, state in (("stop", "inactive"), ("start", "active")):
        napper.run(f"systemctl {verb} napper")
        version = {"stop": "2", "start": "3"}[verb]
        offer(napper, version, "deb-systemd-invoke restart napper.service; systemctl show -P MainPID napper > /run/pid")
        napper.run("apt-get update -q")
        assert upgrade(napper, ("napper", version)) == ((f"napper {int(version) - 1} → {version}",), "")
        assert napper.run("systemctl is-active napper || true") == state
        assert napper.run("cat /run/pid") == napper.run("systemctl show -P MainPID napper")


@pytest.mark.parametrize(
    ("postinst", "why"),
    [
        ("exit 1", "apt-get could not"),
        ("systemctl stop napper", "napper.service ran before the upgrade and does not now"),
    ],
)
def test_an_upgrade_that_goes_wrong_says_so(napper: AgentHost, postinst: str, why: str) -> None:
    offer(napper, "2", postinst)
    napper.run("apt-get update -q")
    assert why in upgrade(napper, ("napper", "2"))[1]
    offer(napper, "3")
    napper.run("apt-get update -q")
    assert upgrade(napper, ("napper", "3"))[1] == ""


def test_a_version_that_nobody_has_changes_nothing(napper: AgentHost) -> None:
    summary, error = upgrade(napper, ("napper", "99"))
    assert summary == ()
    assert error.startswith(
        "apt-get could not bring napper to the wanted version: Version '99' for 'napper' was not found"
    )
    assert napper.run("dpkg-query -W -f '${Version}' napper") == "1"


def test_sources_that_can_not_be_read_are_told(napper: AgentHost) -> None:
    napper.run("mv /srv/repo /srv/gone")
    try:
        with napper.client(lock=False) as client, pytest.raises(Exception, match="sources of this host can't be read"):
            client.upkeep(lambda _: None, refresh=True)
    finally:
        napper.run("mv /srv/gone /srv/repo")


def begin(channel: Channel, host: AgentHost) -> None:
    """Send an upgrade and wait until its package is being configured."""
    request = {"op": "upgrade", "packages": [["napper", "2"]]}
    channel.send(encode(request, TO_HOST))
    poll(lambda: host.run("test -e /run/ready && echo yes || true") == "yes", "the package is being configured")


def poll(state: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not state():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.parametrize("signal", ["TERM", "KILL", "hang up"])
def test_an_upgrade_that_lost_its_agent_is_completed(napper: AgentHost, signal: str) -> None:
    """dpkg is never torn apart; no restart is begun by an agent without a controller; the next upgrade does it."""
    offer(napper, "2", "touch /run/ready; while ! test -e /run/go; do sleep 0.1; done")
    napper.run("apt-get update -q")
    pid = napper.run("systemctl show -P MainPID napper")
    with napper.client() as client:
        channel = client._channel
        begin(channel, napper)
        agent = napper.run('python3 -c \'import json; print(json.load(open("/var/lib/hakit/lock"))["pid"])\'')
        if signal == "hang up":
            channel.close()
        else:
            napper.run(f"kill -{signal} {agent}")
        napper.run("touch /run/go")
        poll(lambda: napper.run("dpkg-query -W -f '${Version} ${db:Status-Abbrev}' napper") == "2 ii", "dpkg is done")
        poll(lambda: napper.run(f"kill -0 {agent} 2>/dev/null || echo gone") == "gone", "the agent has ended")
    assert napper.run("systemctl show -P MainPID napper") == pid
    assert upkeep(napper).restart == ("napper.service",)
    summary, error = upgrade(napper)
    assert error == ""
    assert summary == ("restarted napper.service, which ran replaced code",)


def test_reasons_for_a_reboot(host: AgentHost) -> None:
    assert upkeep(host).reboot == ()
    host.run(
        textwrap.dedent("""
        printf 'linux-image-amd64\\nlibc6\\n' > /run/reboot-required.pkgs; touch /run/reboot-required
        cp /bin/sleep /usr/lib/dbus-test
        systemd-run -q --unit=dbus.service --service-type=exec /usr/lib/dbus-test 1000000
        cp /bin/sleep /usr/lib/dbus-new; mv /usr/lib/dbus-new /usr/lib/dbus-test
    """)
    )
    try:
        assert upkeep(host).reboot == (
            "asked for by linux-image-amd64, libc6",
            "dbus.service runs replaced code",
        )
        told, error = upgrade(host)
        assert "dbus.service still runs replaced code: it waits for a reboot" in told
        assert error == ""
    finally:
        host.run("systemctl stop dbus.service; rm -f /run/reboot-required* /usr/lib/dbus-test")
