"""Changes of whole machines' networks that can't be kept: the old network returns, exactly, and nobody has to act.

Each sabotage meets both hosts in one run: one has its network from systemd-networkd, the other from ifupdown. As all is
as before afterwards, the tests follow each other on the same machines. At last nobody interferes, and the change stays.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.qemu.rungs import RUNGS, assert_it_outlives_pulled_plugs, assert_it_stands, climb
from tests.lab.qemu.running import Running
from tests.lab.qemu.sabotages import ADDRESSES, MANAGERS, PATIENCE, SABOTAGES, right, shell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.lab.conftest import LabFactory, LabHandle
    from tests.lab.qemu.sabotages import Sabotage

pytestmark = pytest.mark.timeout(3600)
"""Emulated machines on a busy computer boot in minutes."""

PLAIN = """
all:
  vars:
    hakit:
      lab: {driver: qemu, network: 10.79.0.0/24}
  hosts:
    one: {ansible_host: 10.79.0.11, hakit: {nics: {eth1: null}}}
    two: {ansible_host: 10.79.0.12, hakit: {nics: {eth1: null}}}
"""
SHORTEST = 90
"""Seconds for a confirmation where the machines are quick at first: a fifth of it must do for four looks at a host when
they are not any more."""
MARGIN = 3.0
"""Times as long as a change takes that is confirmed at once: who finds fault with a network needs time to say so."""
FIRST = 400
"""Seconds for the first one: to another manager it takes ten times as long as what follows."""
LOOK = r"""
ip -json -details address
printf '\0'
ip -json -4 route show table main
printf '\0'
ip -json -6 route show table main
printf '\0'
cd /etc
{
    set +e
    find network systemd/network netplan resolv.conf -printf '%p %y %m %u:%g %l\n' 2>/dev/null
    find network systemd/network netplan resolv.conf -type f -exec sha256sum {} + 2>/dev/null
    find systemd/system rc?.d -type l -printf '%p -> %l\n'
    for unit in systemd-networkd.service networking.service; do echo $unit $(systemctl is-active $unit); done
    ls /proc/net/bonding 2>/dev/null
    systemctl is-active ssh.service
} | LC_ALL=C sort
"""
LOG = "/var/lib/hakit/network/log"
STARTS = "the host starts: the old network's files are put back"
BACK = "the old network is put back: "


@dataclass(frozen=True)
class Seen:
    """A host's network: what the kernel has, files, what the boot starts, and who has it in hand."""

    links: dict[str, tuple[Any, ...]]
    routes: frozenset[tuple[Any, ...]]
    rest: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """The machines, how they are when nothing is amiss, and the seconds that a confirmation gets."""

    lab: LabHandle
    beginning: dict[str, Seen]
    timeout: int


@pytest.fixture(scope="module")
def stage(lab_factory: LabFactory) -> Stage:
    lab = lab_factory(PLAIN)
    declare(lab, right)
    done = lab.hakit("apply", "--yes", "--no-diff", "--confirm-timeout", f"{FIRST}", timeout=2 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    # What follows takes as long as for the host that stays with its manager; the other one moves but this once.
    told = re.search(r"^two  network confirmed over .*, after ([\d.]+) s", done.stderr, re.MULTILINE)
    assert told, done.stdout + done.stderr
    timeout = max(SHORTEST, ceil(MARGIN * float(told[1])))
    return Stage(lab, {host: look(lab, host) for host in MANAGERS}, timeout)


def declare(lab: LabHandle, network: Callable[[str], dict[str, Any]]) -> None:
    """Declare a network for each host."""
    hosts = {
        host: {
            "ansible_host": ADDRESSES[host],
            "hakit": {"nics": {"eth1": None}, "system": {"packages": ["ifenslave"]}, "bonding": network(host)},
        }
        for host in MANAGERS
    }
    site = {"all": {"vars": {"hakit": {"lab": {"driver": "qemu", "network": "10.79.0.0/24"}}}, "hosts": hosts}}
    # JSON is YAML.
    (lab.inventory / "hosts.yml").write_text(json.dumps(site), encoding="utf-8")


def look(lab: LabHandle, host: str) -> Seen:
    """A host's network now; link-local addresses of IPv6, and their routes, are the kernel's own."""
    links, four, six, rest = shell(lab, host, LOOK).split("\0")
    return Seen(
        dict(_link(one) for one in json.loads(links)),
        frozenset(_route(one) for text in (four, six) for one in json.loads(text) if one["dst"] != "fe80::/64"),
        tuple(rest.splitlines()),
    )


def _link(one: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    kind = one.get("linkinfo", {}).get("info_kind")
    addresses = sorted((found["local"], found["prefixlen"]) for found in one["addr_info"] if found["scope"] != "link")
    up = "UP" in one["flags"]
    return one["ifname"], (kind, one.get("master"), up, one["mtu"], one["address"], tuple(addresses))


def _route(one: dict[str, Any]) -> tuple[Any, ...]:
    words = ("dst", "gateway", "dev", "protocol", "scope", "prefsrc", "metric")
    return tuple(one.get(word) for word in words)


def log(lab: LabHandle, host: str) -> list[str]:
    """A host's own log of the last change."""
    return shell(lab, host, f"cat {LOG}").splitlines()


def is_settled(lab: LabHandle, host: str) -> bool:
    """Whether no change waits, and nothing of its guard is left."""
    script = """
    ! test -e /var/lib/hakit/network/armed.json
    ! test -e /etc/systemd/system/sysinit.target.wants/hakit-network-boot.service
    ! systemctl --quiet is-active hakit-network-return.timer hakit-network-return.service hakit-network-change.service
    flock --nonblock /var/lib/hakit/lock true
    flock --nonblock /var/lib/hakit/network/lock true
    """
    return lab.lab.exec(host, ["sh", "-c", " && ".join(script.split("\n")[1:-1])]).returncode == 0


def assert_begun_in_time(lines: list[str], timeout: float) -> None:
    """The old network is put back once the time is over, or sooner; a busy machine is late."""
    armed = next(line for line in lines if " armed by " in line)
    back = next(line for line in lines if BACK in line)
    late = (_time(back) - _time(armed)).total_seconds() - timeout
    assert late < timeout, lines


def _time(line: str) -> datetime:
    return datetime.fromisoformat(line.split(maxsplit=1)[0])


def assert_put_back_before_the_network(lab: LabHandle, host: str) -> None:
    """The boot that followed a reset found the old files in place, and did nothing a second time."""
    lines = log(lab, host)
    assert sum(STARTS in line for line in lines) == 1, lines
    assert not any(BACK in line for line in lines), lines
    told = shell(lab, host, "journalctl --boot --no-pager --output=cat _PID=1").splitlines()

    def when(word: str, unit: str) -> list[int]:
        return [number for number, line in enumerate(told) if line.startswith(f"{word} {unit}")]

    ready = when("Finished", "hakit-network-boot.service")
    network = when("Starting", f"{'networking' if MANAGERS[host] == 'ifupdown' else MANAGERS[host]}.service")
    assert len(ready) == 1, told
    assert len(network) == 1, told
    assert ready < network, told
    assert not when("Starting", "hakit-network-return.service"), told


@pytest.mark.parametrize(
    "sabotage", [pytest.param(one, id=one.id, marks=() if one.short else pytest.mark.long) for one in SABOTAGES]
)
def test_the_old_network_returns_by_itself(stage: Stage, sabotage: Sabotage, tmp_path: Path) -> None:
    lab = stage.lab
    for host in MANAGERS:
        assert look(lab, host) == stage.beginning[host], "what the test before has left"
    declare(lab, sabotage.declared)
    with sabotage.arranged(lab):
        words = ("--yes", "--no-diff", "--confirm-timeout", f"{stage.timeout}")
        run = Running(lab.inventory, tmp_path / "said", "apply", *words)
        sabotage.during(lab, run)
        code = run.end(PATIENCE)
        for host in MANAGERS:
            lab.eventually(lambda host=host: is_settled(lab, host), f"{host} is settled", PATIENCE)  # type: ignore[misc]
    for host, before in stage.beginning.items():
        assert look(lab, host) == before
        lines = log(lab, host)
        assert re.search(f"returned: .*{sabotage.why}", "\n".join(lines)), lines
        if sabotage.boots:
            assert_put_back_before_the_network(lab, host)
        else:
            assert_begun_in_time(lines, stage.timeout)
    if not sabotage.killed:
        assert code == 1, run.said
        for host in MANAGERS:
            assert re.search(rf"{host}  ✗ network:network  the old network is back: .*{sabotage.why}", run.said), (
                run.said
            )
        assert run.said.count(" armed by ") == len(MANAGERS), "the host's own log"
    assert_told(lab)


def assert_told(lab: LabHandle) -> None:
    """The next plan tells what became of the change, and the network that was declared before has nothing to do."""
    plan = lab.hakit("plan", timeout=PATIENCE)
    said = plan.stdout + plan.stderr
    assert said.count("the last change of the network was put back at") == len(MANAGERS), said
    declare(lab, right)
    again = lab.hakit("apply", "--yes", timeout=PATIENCE)
    assert f"0 hosts changed, {len(MANAGERS)} unchanged" in again.stdout, again.stdout + again.stderr


def test_without_sabotage_the_change_stays_and_outlives_a_pulled_plug(stage: Stage) -> None:
    bond = RUNGS[0]
    climb(stage.lab, bond)
    assert_it_stands(stage.lab, bond)
    assert_it_outlives_pulled_plugs(stage.lab, bond)
