"""The client by which failovers are judged must itself be right."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab.conftest import LabHandle

pytestmark = pytest.mark.timed

PORT = 8080


@pytest.fixture(scope="module")
def served(lab: LabHandle) -> LabHandle:
    """A host that serves a page with its name."""
    page = "mkdir -p /srv/page && echo one >/srv/page/index.html"
    unit = f"systemd-run --unit=page python3 -m http.server --directory /srv/page {PORT}"
    assert lab.hakit("lab", "ssh", "one", f"{page} && {unit}").returncode == 0
    return lab


def answers(lab: LabHandle) -> bool:
    try:
        lab.lab.dial("10.77.0.11", PORT, 0.3).close()
    except OSError:
        return False
    return True


def test_a_service_that_stays_away_is_an_outage_until_the_end(served: LabHandle) -> None:
    with served.prober("10.77.0.11", PORT) as prober:
        served.lab.link("one", "eth0", up=False)
        prober.run_for(1)
        seen = prober.stop()
    served.lab.link("one", "eth0", up=True)
    served.eventually(lambda: answers(served), "the service answers again")
    assert seen.longest_gap > 0.9


def test_an_undisturbed_service_has_no_failures(served: LabHandle) -> None:
    with served.prober("10.77.0.11", PORT) as prober:
        prober.run_for(1)
        seen = prober.stop()
    assert seen.failures == ()
    assert {text for _, text in seen.successes} == {"one"}
    assert 40 <= len(seen.successes) <= 60, "a request each 20 ms, whatever the answers take"
    assert seen.longest_gap < 0.2


def test_an_outage_is_measured(served: LabHandle) -> None:
    with served.prober("10.77.0.11", PORT) as prober:
        prober.run_for(0.3)
        start = time.monotonic()
        served.lab.link("one", "eth0", up=False)
        prober.run_for(1)
        served.lab.link("one", "eth0", up=True)
        outage = time.monotonic() - start
        served.eventually(lambda: answers(served), "the service answers again")
        prober.run_for(0.5)
        seen = prober.stop()
    assert {text for _, text in seen.failures} == {"timeout"}
    # A second more at most: this client's own ARP is asked again each second (neigh/*/retrans_time_ms).
    assert outage - 0.1 <= seen.longest_gap <= outage + 1.3


def test_a_wrong_answer_and_a_refused_connection_are_failures(served: LabHandle) -> None:
    with served.prober("10.77.0.11", PORT) as prober:
        assert served.lab.exec("one", ["rm", "-r", "/srv/page"]).returncode == 0
        prober.run_for(0.3)
        assert served.lab.exec("one", ["systemctl", "stop", "page"]).returncode == 0
        prober.run_for(0.3)
        seen = prober.stop()
    reasons = [text for _, text in seen.failures]
    assert any(" 404 " in text for text in reasons)
    assert "refused" in reasons[-1]
