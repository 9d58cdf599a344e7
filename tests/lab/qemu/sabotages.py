"""What is done to a change of a network so that it can't be kept: declarations that are wrong, and who is killed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.lab.conftest import LabHandle
    from tests.lab.qemu.running import Running

ADDRESSES = {"one": "10.79.0.11", "two": "10.79.0.12"}
MANAGERS = {"one": "systemd-networkd", "two": "ifupdown"}
GATEWAY = "10.79.0.1"
PATIENCE = 900.0
"""Seconds for what a machine does in five at most when nothing competes with it, and for a boot."""
SABOTEUR = """
import os, re, sys, time
from glob import glob
where, moment, deed, *victims = sys.argv[1:]

def text(name):
    try:
        with open(f"/var/lib/hakit/network/{name}") as file:
            return file.read()
    except OSError:
        return ""

def found():
    for path in glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read().decode(errors="replace").replace(chr(0), " ")
        except OSError:
            continue
        if any(words.startswith(victim) for victim in victims):
            yield int(path.split("/")[2])

while not (text("armed.json") and re.search(moment, text(where))):
    time.sleep(0.02)
for pid in found():
    os.kill(pid, {"kill": 9, "stop": 19}[deed])
    with open("/run/sabotaged", "a") as file:
        file.write(f"{deed} {pid} ")
"""
"""Waits on the host itself for a line of what a change writes, and strikes at once: `FILE PATTERN DEED VICTIM…`."""
AGENT = "/usr/bin/python3 -I -S -E -X utf8 -c"
CHANGE = "/usr/bin/python3 -I -S -E -B /usr/local/lib/hakit-network change"
MIDST = "systemctl restart systemd-networkd|ifup bond0"
"""The network of before is gone, the one that comes is not there yet."""


def right(host: str) -> dict[str, Any]:
    """The network that each host has, and is to have again: two plain NICs."""
    plain = {"eth0": {"addresses": [f"{ADDRESSES[host]}/24"], "gateway": GATEWAY}, "eth1": {}}
    return {"manager": MANAGERS[host], "nics": plain}


def bonded(host: str, mask: int = 24, **options: Any) -> dict[str, Any]:
    """The address moves to a bond over both NICs, which would work unless options make it wrong."""
    bond = {"mode": "active-backup", "members": ["eth0", "eth1"], "addresses": [f"{ADDRESSES[host]}/{mask}"]}
    given = {"gateway": GATEWAY, **options}
    return {
        "manager": MANAGERS[host],
        "bonds": {"bond0": {**bond, **{k: v for k, v in given.items() if v is not None}}},
    }


def _gateway(host: str) -> dict[str, Any]:
    return bonded(host, gateway="10.79.0.99")


def _netmask(host: str) -> dict[str, Any]:
    """Without a gateway nothing leads to the controller, which is outside of this network."""
    return bonded(host, mask=29, gateway=None)


def _vlan(host: str) -> dict[str, Any]:
    """A VLAN in which nobody is."""
    bond = {"mode": "active-backup", "members": ["eth0", "eth1"]}
    vlan = {"addresses": [f"{ADDRESSES[host]}/24"], "gateway": GATEWAY}
    return {"manager": MANAGERS[host], "bonds": {"bond0": bond}, "vlans": {"bond0.99": vlan}}


def _lacp(host: str) -> dict[str, Any]:
    """The lab's bridge speaks no LACP."""
    return bonded(host, mode="802.3ad", lag=True)


@contextmanager
def _unplugged(lab: LabHandle) -> Iterator[None]:
    """Without eth1's cable; it had answered for the address of eth0 too, and neighbours keep that for a minute."""
    for host in MANAGERS:
        lab.lab.link(host, "eth1", up=False)
    lab.lab.run(["ip", "neigh", "flush", "all"], check=True)
    yield
    for host in MANAGERS:
        lab.lab.link(host, "eth1", up=True)


@contextmanager
def _failing_services(lab: LabHandle) -> Iterator[None]:
    """Neither manager can bring anything up: what it had in its hands before must come back all the same."""
    drop_in = "/etc/systemd/system/systemd-networkd.service.d"
    text = "[Service]\\nExecStart=\\nExecStart=/bin/false\\n"
    script = "/etc/network/if-pre-up.d/00-sabotage"
    shell(lab, "one", f"mkdir {drop_in}; printf '{text}' >{drop_in}/sabotage.conf; systemctl daemon-reload")
    shell(lab, "two", f"printf '#!/bin/sh\\nexit 1\\n' >{script}; chmod 755 {script}")
    yield
    shell(lab, "two", f"rm {script}")
    shell(lab, "one", f"rm -r {drop_in}; systemctl daemon-reload; systemctl reset-failed systemd-networkd")
    shell(lab, "one", "systemctl restart systemd-networkd")


def shell(lab: LabHandle, host: str, script: str, *, given: str = "") -> str:
    """What a script says that succeeds inside a host, without its network."""
    done = lab.lab.exec(host, ["sh", "-ec", script], input=given)
    assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
    return done.stdout


def _struck(*words: str) -> Callable[[LabHandle], AbstractContextManager[None]]:
    """A saboteur waits on each host."""

    @contextmanager
    def waiting(lab: LabHandle) -> Iterator[None]:
        for host in MANAGERS:
            shell(lab, host, "rm -f /run/sabotaged; cat >/run/saboteur.py", given=SABOTEUR)
            start = ["systemd-run", "--quiet", "--collect", "--unit=saboteur", "python3", "/run/saboteur.py", *words]
            assert lab.lab.exec(host, start).returncode == 0
        yield
        for host in MANAGERS:
            lab.lab.exec(host, ["systemctl", "stop", "saboteur"])

    return waiting


def _is_struck(lab: LabHandle, host: str) -> bool:
    return lab.lab.exec(host, ["test", "-s", "/run/sabotaged"]).returncode == 0


def _is_done(lab: LabHandle, host: str) -> bool:
    """Whether the new network is in place; nobody can confirm it yet."""
    words = ["grep", "-Eq", '"done": ?[1-9]', "/var/lib/hakit/network/armed.json"]
    return lab.lab.exec(host, words).returncode == 0


def _seen_striking(lab: LabHandle, run: Running) -> None:
    for host in MANAGERS:
        run.wait_for(lambda host=host: _is_struck(lab, host), f"{host} is struck")  # type: ignore[misc]


def _reset_amid(lab: LabHandle, run: Running) -> None:
    """The change holds still where it was struck, until the power goes."""
    for host in MANAGERS:
        run.wait_for(lambda host=host: _is_struck(lab, host), f"{host} is struck")  # type: ignore[misc]
        lab.lab.power(host, "pull")
    _power_on(lab)


def _reset_after(lab: LabHandle, run: Running) -> None:
    for host in MANAGERS:
        run.wait_for(lambda host=host: _is_done(lab, host), f"{host} has its new network")  # type: ignore[misc]
        lab.lab.power(host, "pull")
    _power_on(lab)


def _power_on(lab: LabHandle) -> None:
    """Both boot at once."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda host: lab.lab.power(host, "on"), MANAGERS))


def _controller_killed(lab: LabHandle, run: Running) -> None:
    del lab
    for host in MANAGERS:
        run.wait_for(lambda host=host: f"{host}  network changed; reaching" in run.said, f"{host} changes")  # type: ignore[misc]
    run.process.kill()


def _intact(_: LabHandle) -> AbstractContextManager[None]:
    return nullcontext()


def _nothing(lab: LabHandle, run: Running) -> None:
    del lab, run


@dataclass(frozen=True)
class Sabotage:
    """One way to spoil a change that is under way on both hosts.

    `declared` is what is applied, `arranged` is entered before that and left when the old network is back, `during`
    acts while hakit runs. `why` is a pattern of what the host, and hakit, say that it was. `boots`: the host is reset;
    `killed`: hakit is. `short` ones are in `make test`.
    """

    id: str
    why: str
    declared: Callable[[str], dict[str, Any]] = bonded
    arranged: Callable[[LabHandle], AbstractContextManager[None]] = _intact
    during: Callable[[LabHandle, Running], None] = _nothing
    boots: bool = False
    killed: bool = False
    short: bool = False


IN_TIME = "it was not confirmed in time"
RESTARTED = "the host was restarted before it was confirmed"
SABOTAGES = (
    Sabotage("wrong-gateway", r"the gateway 10\.79\.0\.99 does not answer", _gateway, short=True),
    Sabotage("wrong-netmask", IN_TIME, _netmask),
    Sabotage("member-without-carrier", "eth1: member of bond0 without a carrier", arranged=_unplugged),
    Sabotage("wrong-vlan", IN_TIME, _vlan),
    Sabotage("lacp-without-partner", "bond0: no LACP partner answers", _lacp),
    Sabotage(
        "agent-killed-in-mid-change",
        IN_TIME,
        arranged=_struck("log", MIDST, "kill", CHANGE, AGENT),
        during=_seen_striking,
    ),
    Sabotage("controller-killed-in-transit", IN_TIME, during=_controller_killed, killed=True),
    Sabotage(
        "reset-in-mid-change",
        RESTARTED,
        arranged=_struck("log", MIDST, "stop", CHANGE),
        during=_reset_amid,
        boots=True,
        short=True,
    ),
    Sabotage("reset-before-the-confirmation", RESTARTED, arranged=_unplugged, during=_reset_after, boots=True),
    Sabotage(
        "service-that-fails",
        "(systemctl restart systemd-networkd.service|ifup bond0) failed with exit",
        arranged=_failing_services,
        short=True,
    ),
)
