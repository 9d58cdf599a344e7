"""What a run knows of its site's groups."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from hakit.agent.probes import Probe
from hakit.agent.resources.files import File, Files
from hakit.agent.resources.package import Package
from hakit.agent.resources.paths import Directory
from hakit.agent.resources.sysctl import Sysctl
from hakit.agent.wire import Text
from hakit.components.base import RedundancyGroup, Serving
from hakit.engine.compile import HostResources
from hakit.engine.run import Scope
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from hakit.agent.resources.base import Resource
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


@pytest.mark.parametrize("only", [None, frozenset({"haproxy"}), frozenset({"system"})])
def test_what_the_other_components_declare_is_known_by_all_its_names(only: frozenset[str] | None) -> None:
    web1 = host("web1")
    scope = Scope(site(web1), {}, ("web1",), only, lambda _: None, "")  # type: ignore[arg-type, return-value]  # nobody is reached
    system: tuple[Resource, ...] = (
        Package(package="haproxy", component="system"),
        Directory(path="/srv", component="system"),
        Sysctl(label="x", values=(("net.a", "1"), ("net.b", "1")), component="system"),
    )
    content = Text("")
    files = Files(
        label="set", files=(File(path="/etc/a", content=content), File(path="/b", content=content)), component="haproxy"
    )
    declared = HostResources(web1, {one.key: one for one in (*system, files)})
    names = {
        "haproxy": {"package:haproxy", "directory:/srv", "/srv", "sysctl:x", "net.a", "net.b"},
        "system": {"files:set", "/etc/a", "/b"},
    }
    assert set(scope.elsewhere(declared)) == (names[next(iter(only))] if only else set())
