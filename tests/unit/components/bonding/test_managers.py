"""What is rendered for a manager is what its own program reads there, whatever the network."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from hakit.agent.resources.network import Network
from hakit.components.base import Facts
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.inventory import load
from hakit.lint import findings
from tests.unit.components.bonding import judges
from tests.unit.components.bonding.arbitrary_networks import inventories
from tests.unit.components.bonding.random_networks import networks
from tests.unit.components.random_sites import judged as refused_or_not
from tests.unit.components.random_sites import sound
from tests.unit.components.sites import COMPONENTS, site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.inventory.model import Site

CASES = Path(__file__).parents[1] / "cases"
MANAGERS = ("systemd-networkd", "ifupdown", "netplan")
HOOKS = {"BOND": Path("/etc/network/if-pre-up.d/ifenslave"), "BRIDGE": Path("/lib/bridge-utils/ifupdown.sh")}
NETPLANS_OWN = "Scope= is specified for IPv6 route. It will be ignored."
"""netplan writes so for each route without a router, whatever it was told."""
SEED = int(os.environ.get("HAKIT_SEED", "20"))
BOUNDED = settings(
    max_examples=15,
    deadline=None,
    database=None,
    # Shrinking starts the judges hundreds of times; a network of this size reads well enough.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def written(site: Site, name: str, root: Path) -> Network:
    """The network that is declared for a host, its files written below a folder."""
    declared = declare(site, COMPONENTS, site.hosts[name], Facts(), Templates(site))
    network = declared.resources["network:network"]
    assert isinstance(network, Network)
    for file in network.files:
        path = root / file.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content.reveal(), encoding="utf-8")
        path.chmod(file.mode)
    return network


def judged(network: Network, root: Path) -> judges.Told:
    """What the manager's program makes of the files; an assertion where it does not take them as they are."""
    if network.manager == "systemd-networkd":
        folder = root / "etc/systemd/network"
        if judges.CAN_JUDGE:
            assert judges.networkd_complains(folder) == []
        return judges.read_networkd(folder, "10-hakit-")
    if network.manager == "ifupdown":
        file = root / "etc/network/interfaces"
        assert judges.unknown_to_hooks(file.read_text(encoding="utf-8"), HOOKS) == set()
        return judges.ifupdown(file)
    told = judges.netplan(root)
    if judges.CAN_JUDGE:
        complaints = judges.networkd_complains(judges.netplan_folder(root))
        assert [one for one in complaints if NETPLANS_OWN not in one] == []
    return told


def declared(network: Network) -> judges.Told:
    """What is declared, in the judges' words."""
    return judges.Told(
        addresses={(link.name, address) for link in network.links for address in link.addresses},
        ports={link.name: link.master for link in network.links if link.master},
        vlans={link.name: (link.on, link.id) for link in network.links if link.kind == "vlan"},
        routes={
            (route.to.removesuffix("6") if "default" in route.to else route.to, route.via, route.link)
            for route in network.routes
        },
        mtus={link.name: link.mtu for link in network.links if link.mtu},
        macs={link.name: link.mac for link in network.links if link.mac},
    )


def hold(network: Network, root: Path) -> None:
    """The manager reads what is declared, and nothing else."""
    told, wanted = judged(network, root), declared(network)
    assert told.addresses == wanted.addresses
    assert told.ports == wanted.ports
    assert told.vlans == wanted.vlans
    assert told.routes == wanted.routes
    assert told.macs == wanted.macs
    # A bond gives its members its MTU, so that nothing is said of them.
    bonds = {link.name for link in network.links if link.kind == "bond"}
    bonded = {link.name for link in network.links if link.master in bonds}
    assert told.mtus == {name: mtu for name, mtu in wanted.mtus.items() if name not in bonded}


def cases() -> Iterator[tuple[str, str]]:
    for case in ("bonding-managers", "bonding-lacp"):
        yield from ((case, host) for host in ("networkd", "ifupdown", "netplan"))


@pytest.mark.parametrize(("case", "host"), list(cases()))
def test_a_case_is_read_as_it_is_meant(case: str, host: str, tmp_path: Path) -> None:
    loaded = load(CASES / case / "inventory.yml", {name: one.Settings for name, one in COMPONENTS.items()})
    hold(written(loaded, host, tmp_path), tmp_path)


def everywhere(folder: Path, bonding: Mapping[str, Any]) -> None:
    """The same network, for each manager."""
    for manager in MANAGERS:
        root = folder / manager
        root.mkdir()
        loaded = site(root, {"a": {"bonding": {**bonding, "manager": manager}}})
        errors = [problem.text() for problem in findings(loaded, COMPONENTS) if problem.severity == "error"]
        assert errors == []
        hold(written(loaded, "a", root), root)


@seed(SEED)
@BOUNDED
@given(bonding=networks())
def test_a_random_network_is_read_as_it_is_meant(bonding: dict[str, Any]) -> None:
    note(f"HAKIT_SEED={SEED} {json.dumps(bonding)}")
    with tempfile.TemporaryDirectory() as folder:
        everywhere(Path(folder), bonding)


def accepted(folder: Path, inventory: dict[str, Any]) -> None:
    """What is left of an inventory when everything that hakit refuses is taken out is taken by each manager."""
    left, _ = sound(inventory, folder)
    bonding = left["all"]["hosts"]["a"].get("hakit", {}).get("bonding")
    for manager in MANAGERS if bonding else ():
        root = folder / manager
        root.mkdir()
        bonding["manager"] = manager
        verdict = refused_or_not(left, root)
        assert verdict.site is not None, verdict.problems
        judged(written(verdict.site, "a", root), root)


@seed(SEED)
@settings(BOUNDED, max_examples=8)
@given(inventory=inventories())
def test_arbitrary_settings_are_refused_with_their_place_or_accepted(inventory: dict[str, Any]) -> None:
    note(f"HAKIT_SEED={SEED} {json.dumps(inventory)}")
    with tempfile.TemporaryDirectory() as folder:
        accepted(Path(folder), inventory)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(BOUNDED, max_examples=int(os.environ.get("HAKIT_EXAMPLES", "200")))
@given(inventory=inventories())
def test_arbitrary_settings_by_the_hundred(inventory: dict[str, Any]) -> None:
    note(json.dumps(inventory))
    with tempfile.TemporaryDirectory() as folder:
        accepted(Path(folder), inventory)


@pytest.mark.long
@pytest.mark.timeout(3600)
@settings(BOUNDED, max_examples=int(os.environ.get("HAKIT_EXAMPLES", "200")))
@given(bonding=networks())
def test_random_networks_by_the_hundred(bonding: dict[str, Any]) -> None:
    note(json.dumps(bonding))
    with tempfile.TemporaryDirectory() as folder:
        everywhere(Path(folder), bonding)


@pytest.mark.skipif(not judges.CAN_JUDGE, reason="systemd-networkd is started in a namespace of its own, as root")
def test_the_judge_sees_what_systemd_networkd_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "a.network").write_text("[Match]\nName=eth0\n[Network]\nBond=bond0\nPrimary=yes\n", encoding="utf-8")
    complaints = judges.networkd_complains(tmp_path)
    assert any("a.network:5: Unknown key" in one and "'Primary'" in one for one in complaints)
