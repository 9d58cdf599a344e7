"""What a run knows of its site's groups."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from hakit.agent.probes import Probe
from hakit.components.base import RedundancyGroup, Serving
from hakit.engine.run import Scope
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from hakit.components.base import Component


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("10.0.0.100:80", True),
        ("http://10.0.0.100:80/healthz", True),
        ("[2001:db8::1]:443", True),
        ("http://[2001:db8::1]:443/", True),
        ("web1:80", True),
        ("10.0.0.101:80", False),
        ("http://10.0.0.101:80/10.0.0.100:80/", False),
    ],
)
def test_a_service_is_asked_only_where_the_site_keeps_its_address_alive(target: str, asked: bool) -> None:
    """A component that keeps addresses alive may leave the inventory: then nobody promises them any more."""
    group = RedundancyGroup("pool", "haproxy", ("web1", "web2"), service=(Probe(kind="tcp", target=target),))
    kept = [Serving(address, ("web1",), 1.0, ()) for address in ("10.0.0.100", "2001:db8::1")]
    component = cast("Component", SimpleNamespace(groups=lambda _: [group], serves=lambda _: kept))
    scope = Scope(site(host("web1")), {"haproxy": component}, ("web1",), None, lambda _: None, "")  # type: ignore[arg-type, return-value]  # nobody is reached
    (found,) = scope.groups()
    assert bool(found.service) == asked
