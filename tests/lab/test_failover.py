"""Failover through each address: a client asks every 20 ms over a new connection; hosts and daemons die in every way.

A gap is the time between two successes. The limits are those that the site promises with adverts every 100 ms.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.errors import LabError
from tests.lab.conftest import DATABASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.conftest import LabFactory, LabHandle

pytestmark = pytest.mark.timed

INVENTORY = Path(__file__).parents[2] / "inventories" / "lab"
ADDRESSES = {"10.77.0.100": "lb1", "10.77.0.101": "lb2"}
"""Each address and the host that prefers it."""
OTHER = {"lb1": "lb2", "lb2": "lb1"}
MEDIAN, WORST, FROZEN = 0.5, 1.0, 2.0
"""Seconds."""


@dataclass(frozen=True)
class Fault:
    """How a host stops serving, and how it is mended; `limit` is the longest gap allowed, in seconds.

    `lasting`: it serves no more until it is mended.
    """

    name: str
    strike: Callable[[LabHandle, str], object]
    mend: Callable[[LabHandle, str], object]
    limit: float = WORST
    lasting: bool = True


def sh(script: str) -> Callable[[LabHandle, str], object]:
    return lambda lab, host: lab.lab.exec(host, ["sh", "-c", script], check=True, capture_output=True)


def nothing(lab: LabHandle, host: str) -> None:
    del lab, host


NO_RESTART = "/run/systemd/system/haproxy.service.d/99-test.conf"
KILL_HAPROXY = "systemctl kill --signal=KILL --kill-whom=all haproxy.service"
FAULTS = [
    Fault("power pulled", lambda lab, host: lab.lab.power(host, "pull"), lambda lab, host: lab.lab.power(host, "on")),
    Fault(
        "cable pulled",
        lambda lab, host: lab.lab.link(host, None, up=False),
        lambda lab, host: lab.lab.link(host, None, up=True),
    ),
    Fault("keepalived stopped", sh("systemctl stop keepalived"), sh("systemctl start keepalived")),
    Fault(
        "keepalived killed",
        sh("systemctl kill --signal=KILL --kill-whom=all keepalived.service"),
        nothing,
        lasting=False,
    ),
    Fault("haproxy killed", sh(KILL_HAPROXY), nothing, lasting=False),
    Fault(
        "haproxy killed for good",
        sh(
            f"mkdir -p $(dirname {NO_RESTART}); printf '[Service]\\nRestart=no\\n' > {NO_RESTART}; "
            f"systemctl daemon-reload; {KILL_HAPROXY}"
        ),
        sh(f"rm {NO_RESTART}; systemctl daemon-reload; systemctl reset-failed haproxy; systemctl start haproxy"),
    ),
    Fault(
        "haproxy frozen",
        sh("systemctl kill --signal=STOP --kill-whom=all haproxy.service"),
        sh("systemctl kill --signal=CONT --kill-whom=all haproxy.service"),
        limit=FROZEN,
    ),
]


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    handle = lab_factory(INVENTORY, without=DATABASE)
    hurry_home(handle)
    done = handle.hakit("apply", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    return handle


def hurry_home(handle: LabHandle) -> None:
    """Have hosts take their addresses back after a second: it is the way out that is measured."""
    balancers = handle.inventory / "group_vars" / "balancers.yml"
    balancers.write_text(balancers.read_text().replace(", track:", ", preempt_delay: 1s, track:"))


def holders(lab: LabHandle, address: str) -> list[str]:
    """The balancers that have an address now."""
    found = []
    for host in OTHER:
        try:
            shown = lab.lab.exec(host, ["ip", "-o", "-4", "address", "show"], capture_output=True, check=False)
        except LabError:
            continue
        if f" {address}/" in shown.stdout:
            found.append(host)
    return found


def at_home(lab: LabHandle) -> None:
    """Wait until every address is where it belongs and answers there."""
    for address, home in ADDRESSES.items():
        lab.eventually(lambda a=address, h=home: holders(lab, a) == [h], f"{address} on {home} alone", timeout=30)  # type: ignore[misc]  # defaults bind the loop's values


def strike(lab: LabHandle, fault: Fault, address: str) -> float:
    """One failover of an address; returns the longest gap in seconds, after it was checked who holds the address."""
    home = ADDRESSES[address]
    at_home(lab)
    with lab.prober(address) as prober:
        prober.run_for(0.5)
        try:
            fault.strike(lab, home)
            prober.run_for(fault.limit + 1.5)
            seen = prober.stop()
            lab.eventually(lambda: len(holders(lab, address)) == 1, f"one holder of {address}", timeout=5)
            if fault.lasting:
                assert holders(lab, address) == [OTHER[home]]
        finally:
            fault.mend(lab, home)
    at_home(lab)
    assert seen.successes[-1][0] - seen.successes[0][0] > fault.limit + 1.0, "the service did not come back"
    return seen.longest_gap


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_an_address_survives(lab: LabHandle, fault: Fault, address: str, record_property: Callable[..., None]) -> None:
    gap = strike(lab, fault, address)
    record_property("gap", round(gap, 3))
    assert gap <= fault.limit


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_median_of_many_failovers(lab: LabHandle, fault: Fault, record_property: Callable[..., None]) -> None:
    gaps = [strike(lab, fault, address) for address in ADDRESSES for _ in range(5)]
    record_property("gaps", [round(gap, 3) for gap in gaps])
    assert max(gaps) <= fault.limit
    assert statistics.median(gaps) <= (MEDIAN if fault.limit == WORST else fault.limit)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("unit", ["haproxy", "keepalived"])
def test_a_reload_loses_no_request(lab: LabHandle, unit: str, address: str) -> None:
    at_home(lab)
    with lab.prober(address) as prober:
        for _ in range(3):
            prober.run_for(0.5)
            sh(f"systemctl reload {unit}.service")(lab, ADDRESSES[address])
        prober.run_for(1.0)
        seen = prober.stop()
    assert seen.failures == ()
    assert len(seen.successes) > 50
    assert holders(lab, address) == [ADDRESSES[address]]
