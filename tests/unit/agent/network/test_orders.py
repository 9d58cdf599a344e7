"""What is asked of a host, in which order: to change its network, and to put the old one back."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

import pytest

from hakit.agent import process
from hakit.agent.network import bringing, interfaces
from tests.unit.agent.network.simulated import BEGAN, bonded_network, plain_network
from tests.unit.agent.network.test_transaction import begin, change, give_up, host_with

if TYPE_CHECKING:
    from hakit.agent.resources.network import Network

NETWORKD, IFUPDOWN = "systemd-networkd", "ifupdown"
NETWORKD_UNITS = "systemd-networkd.service systemd-networkd.socket"


class Case(NamedTuple):
    """A change from one network to another, and what is asked for it."""

    old: tuple[str, str]
    new: tuple[str, str]
    there: tuple[str, ...]
    back: tuple[str, ...]


CASES = {
    "a bond over the NIC": Case(
        (NETWORKD, "plain"),
        (NETWORKD, "bonded"),
        (
            "ip -4 route delete default via 10.0.0.1 dev eth0",
            "ip address delete 10.0.0.5/24 dev eth0",
            "systemctl is-active --quiet systemd-networkd.service",
            "networkctl reload",
            "networkctl reconfigure bond0",
            "networkctl reconfigure eth0",
            "networkctl reconfigure eth1",
        ),
        (
            "ip link delete dev bond0",
            "systemctl is-active --quiet systemd-networkd.service",
            "networkctl reload",
            "networkctl reconfigure eth0",
        ),
    ),
    "a bond made anew, for networkd changes none": Case(
        (NETWORKD, "bonded"),
        (NETWORKD, "lacp"),
        ("ip link delete dev bond0", "systemctl restart systemd-networkd.service"),
        ("ip link delete dev bond0", "systemctl restart systemd-networkd.service"),
    ),
    "a VLAN goes": Case(
        (NETWORKD, "vlan"),
        (NETWORKD, "bonded"),
        (
            "ip link delete dev bond0.20",
            "systemctl is-active --quiet systemd-networkd.service",
            "networkctl reload",
        ),
        (
            "systemctl is-active --quiet systemd-networkd.service",
            "networkctl reload",
            "networkctl reconfigure bond0.20",
        ),
    ),
    "stanzas, the upper ones later": Case(
        (IFUPDOWN, "plain"),
        (IFUPDOWN, "vlan"),
        ("ifdown eth0", "ifup bond0", "ifup bond0.20"),
        ("ifdown bond0.20", "ifdown bond0", "ifup eth0"),
    ),
    "a VLAN comes, the bond is left alone": Case(
        (IFUPDOWN, "bonded"), (IFUPDOWN, "vlan"), ("ifup bond0.20",), ("ifdown bond0.20",)
    ),
    "a bond changes below a VLAN that goes": Case(
        (IFUPDOWN, "vlan"),
        (IFUPDOWN, "lacp"),
        ("ifdown bond0.20", "ifdown bond0", "ifup bond0"),
        ("ifdown bond0", "ifup bond0", "ifup bond0.20"),
    ),
    "to networkd": Case(
        (IFUPDOWN, "plain"),
        (NETWORKD, "bonded"),
        (
            "ifdown eth0",
            "systemctl stop networking.service",
            "systemctl restart systemd-networkd.service",
            "systemctl disable networking.service",
            f"systemctl enable {NETWORKD_UNITS}",
        ),
        (
            f"systemctl stop {NETWORKD_UNITS}",
            "ip link delete dev bond0",
            "ifup eth0",
            "systemctl start networking.service",
            f"systemctl disable {NETWORKD_UNITS}",
            "systemctl enable networking.service",
        ),
    ),
    "to ifupdown": Case(
        (NETWORKD, "vlan"),
        (IFUPDOWN, "plain"),
        (
            f"systemctl stop {NETWORKD_UNITS}",
            "ip link delete dev bond0.20",
            "ip link delete dev bond0",
            "ifup eth0",
            "systemctl start networking.service",
            f"systemctl disable {NETWORKD_UNITS}",
            "systemctl enable networking.service",
        ),
        (
            "ifdown eth0",
            "systemctl stop networking.service",
            "systemctl restart systemd-networkd.service",
            "systemctl disable networking.service",
            f"systemctl enable {NETWORKD_UNITS}",
        ),
    ),
    "to netplan, which writes for networkd": Case(
        (NETWORKD, "plain"),
        ("netplan", "bonded"),
        (
            "netplan generate",
            "ip -4 route delete default via 10.0.0.1 dev eth0",
            "ip address delete 10.0.0.5/24 dev eth0",
            "systemctl is-active --quiet systemd-networkd.service",
            "networkctl reload",
            "networkctl reconfigure bond0",
            "networkctl reconfigure eth0",
            "networkctl reconfigure eth1",
        ),
        (
            "netplan generate",
            "ip link delete dev bond0",
            "systemctl is-active --quiet systemd-networkd.service",
            "networkctl reload",
            "networkctl reconfigure eth0",
        ),
    ),
}
STOPPED = (
    "systemctl kill --signal=SIGKILL hakit-network-change.service",
    "systemctl stop hakit-network-change.service",
)
UNGUARDED = ("systemctl stop hakit-network-return.timer",)


def network(which: tuple[str, str], before: str = "") -> Network:
    manager, kind = which
    made = plain_network(manager) if kind == "plain" else bonded_network(
        manager, mode="802.3ad" if kind == "lacp" else "active-backup", vlan=kind == "vlan"
    )  # fmt: skip
    return made.replace(before=before if before != manager else "")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_order(memory: Path, monkeypatch: pytest.MonkeyPatch, case: Case) -> None:
    monkeypatch.setattr(bringing, "SETTLED", 0.0)
    monkeypatch.setattr(process, "PATH", f"{memory}/host/bin:{process.PATH}")
    host = host_with(memory / "host", network(case.old))
    begin(host, network(case.new, case.old[0]))
    host.put(asked=[])
    change(host)
    assert tuple(host.get("asked")) == case.there
    host.put(asked=[])
    give_up(host)
    assert tuple(host.get("asked")) == (*STOPPED, *case.back, *UNGUARDED)


def test_who_holds_on_to_links_is_reloaded_there_and_back(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "PATH", f"{memory}/host/bin:{process.PATH}")
    host = host_with(memory / "host", network((IFUPDOWN, "plain")))
    host.put(active=[*host.get("active"), "runs.service"])
    begin(host, network((IFUPDOWN, "bonded")).replace(reload=("runs.service", "rests.service")))
    for turn, link in ((change, "bond0"), (give_up, "eth0")):
        host.put(asked=[])
        turn(host)
        asked = host.get("asked")
        assert asked.index(f"ifup {link}") < asked.index("systemctl reload-or-restart runs.service")
        assert "systemctl reload-or-restart rests.service" not in asked


def test_networkd_is_started_anew_where_no_bus_leads_to_it(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bringing, "SETTLED", 0.0)
    monkeypatch.setattr(process, "PATH", f"{memory}/host/bin:{process.PATH}")
    host = host_with(memory / "host", network((NETWORKD, "vlan")))
    Path(host.at(bringing.BUS)).unlink()
    begin(host, network((NETWORKD, "bonded")))
    host.put(asked=[])
    change(host)
    assert host.get("asked") == ["ip link delete dev bond0.20", "systemctl restart systemd-networkd.service"]


def test_a_beginning_asks_for_a_guard_that_is_fresh_before_the_change(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PATH", f"{memory}/host/bin:{process.PATH}")
    host = host_with(memory / "host", network((NETWORKD, "plain")))
    earliest = monotonic()
    begin(host, network((NETWORKD, "bonded")))
    asked = host.get("asked")
    armed = host.record.armed()
    assert armed is not None
    timer = Path(host.at("/etc/systemd/system/hakit-network-return.timer")).read_text(encoding="utf-8")
    due = BEGAN / 1e6 + float(timer.partition("OnStartupSec=")[2].split()[0])
    assert earliest - 0.1 < due - armed.timeout < monotonic() + 0.1, "counted from systemd's own start"
    assert asked[:-1] == [
        "systemctl show --property=UserspaceTimestampMonotonic --value",
        "systemctl daemon-reload",
        "systemctl stop hakit-network-return.timer",
        "systemctl start hakit-network-return.timer",
        "systemctl is-active hakit-network-return.timer",
    ]
    assert asked[-1].endswith("/usr/local/lib/hakit-network change /var/lib/hakit/network")
    assert "--property=KillMode=process" in asked[-1]


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("iface bond0.20 inet manual\niface bond0 inet manual\n bond-slaves eth1\niface eth1 inet manual\n",
         ("eth1", "bond0", "bond0.20")),
        ("iface br0 inet manual\n bridge_ports eth0 \\\n eth1\niface eth1 inet manual\n", ("eth1", "br0")),
        ("iface a inet manual\n vlan-raw-device b\niface b inet manual\n vlan-raw-device a\n", ("a", "b")),
        ("iface eth0 inet static\n address 1.2.3.4/24\niface eth0 inet6 auto\nallow-hotplug eth1\n", ("eth0",)),
    ],
)  # fmt: skip
def test_stanzas_come_up_after_what_they_stand_on(memory: Path, text: str, order: tuple[str, ...]) -> None:
    host = host_with(memory / "template", plain_network(NETWORKD))
    host.write("/etc/network/interfaces", text)
    assert interfaces.ordered(interfaces.read(host)) == order
