"""What a run tells of hosts whose network changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def assert_one_in_transit_at_a_time(output: str, hosts: Collection[str]) -> None:
    """Each host's change is confirmed before the next one's begins."""
    told = [
        line.split()[:3]
        for line in output.splitlines()
        if line.split()[1:3] in (["network", "changed;"], ["network", "confirmed"])
    ]
    assert sorted(host for host, _, _ in told[::2]) == sorted(hosts), output
    assert len(told) == 2 * len(hosts), output
    for begun, ended in zip(told[::2], told[1::2], strict=True):
        assert (begun[0], begun[2], ended[2]) == (ended[0], "changed;", "confirmed"), output
