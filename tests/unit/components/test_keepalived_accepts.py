"""What lint lets through, the real keepalived accepts; what keepalived can't read, it names with its place."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from hakit.components.base import Facts
from hakit.components.keepalived.paths import CONFIG
from hakit.components.keepalived.resources import VALIDATOR
from hakit.components.registry import discover
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.inventory import load
from hakit.lint import findings
from tests.unit.components.programs import program

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Site

COMPONENTS = discover()
# keepalived refuses loopback interfaces and looks each one up, so it is asked in a network of its own.
NETWORK = "ip link add eth0 type veth peer name eth1 && exec keepalived -t -f"


def judge(config: Path) -> subprocess.CompletedProcess[str]:
    """`keepalived -t` in a network namespace with eth0 and eth1, checks made runnable, as the validator does."""
    program("keepalived")
    text = config.read_text()
    for pattern, replacement in VALIDATOR.swap:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    config.write_text(re.sub(r'(?m)^(    (?:script|notify) ")[^"]*', r"\1/bin/true", text))
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    argv = [*root, "unshare", "--net", "sh", "-c", f"PATH=$PATH:/usr/sbin; {NETWORK} {config}"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)


def sited(inventory: dict[str, Any], folder: Path) -> Site:
    path = folder / "hosts.yml"
    path.write_text(json.dumps(inventory))
    return load(path, {name: one.Settings for name, one in COMPONENTS.items()})


def configuration(site: Site, host: str) -> str:
    found = declare(site, COMPONENTS, site.hosts[host], Facts(), Templates(site))
    return found.contents()[CONFIG].reveal()


addresses = st.integers(20, 250).map(lambda last: f"10.77.0.{last}/24") | st.integers(1, 0xFFFF).map(
    lambda last: f"{ipaddress.ip_address('fd00:77::') + last}/64"
)
names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,15}", fullmatch=True)


@st.composite
def instances(draw: st.DrawFn, router_id: int) -> dict[str, Any]:
    version = draw(st.sampled_from([2, 3, 3]))
    own = f"10.77.0.{100 + router_id}/24"
    more = draw(st.lists(addresses, max_size=4, unique=True)) if version != 2 else []
    instance: dict[str, Any] = {
        "interface": draw(st.sampled_from(["eth0", "eth1"])),
        "virtual_router_id": router_id,
        "addresses": draw(st.permutations([own, *(address for address in more if address != own)])),
        "version": version,
        "advert_interval": draw(st.sampled_from(["1s", "2s"] if version == 2 else ["50ms", "100ms", "1s", "2.5s"])),
        "unicast": draw(st.booleans()),
        "preempt": draw(st.booleans()),
        "preempt_delay": draw(st.sampled_from(["0s", "5s", "2.5s", "1000s"])),
        "prefer": draw(st.sampled_from(["lb1", "lb2"])),
        "track": draw(st.sampled_from([[], ["haproxy"]])),
        "track_interfaces": draw(st.sampled_from([[], ["eth1"]])),
        "track_scripts": draw(st.sampled_from([[], ["own"]])),
        "track_files": draw(st.sampled_from([[], ["own-file"]])),
        "garp": {"repeat": draw(st.integers(1, 5)), "refresh": draw(st.sampled_from(["0s", "60s"]))},
    }
    return instance


@st.composite
def inventories(draw: st.DrawFn) -> dict[str, Any]:
    found = draw(st.lists(names, min_size=1, max_size=3, unique=True))
    keepalived: dict[str, Any] = {
        "instances": {name: draw(instances(number)) for number, name in enumerate(found, 1)},
        "scripts": {
            "own": {
                "command": draw(st.sampled_from(["/bin/true", "/bin/sh -c 'exit 0'", "/usr/bin/test a = a"])),
                "interval": draw(st.sampled_from(["1s", "30s"])),
                "weight": draw(st.sampled_from([0, 0, -60, 60])),
            }
        },
        "files": {"own-file": {"path": "/etc/hostname", "weight": 0}},
        "startup_delay": draw(st.sampled_from(["0s", "2s", "5.5s"])),
        "nice": draw(st.integers(-20, 19)),
    }
    hosts = {name: {"ansible_host": f"10.77.0.{last}"} for name, last in (("lb1", 11), ("lb2", 12))}
    return {"all": {"hosts": hosts, "vars": {"hakit": {"keepalived": keepalived, "haproxy": {}}}}}


@settings(
    max_examples=40,
    deadline=None,
    # Shrinking runs the daemon hundreds of times; an inventory of this size reads well enough.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(inventory=inventories(), host=st.sampled_from(["lb1", "lb2"]))
def test_what_lint_lets_through_keepalived_accepts(tmp_path: Path, inventory: dict[str, Any], host: str) -> None:
    config = tmp_path / "keepalived.conf"
    site = sited(inventory, tmp_path)
    assume(not any(problem.severity == "error" for problem in findings(site, COMPONENTS)))
    config.write_text(configuration(site, host))
    config.chmod(0o644)
    result = judge(config)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("bogus_word 1", "Unknown keyword 'bogus_word'"),
        ("priority 999", "number '999' outside range [1, 255]"),
        ("virtual_router_id nine", "invalid number 'nine'"),
    ],
)
def test_a_refusal_names_the_line(tmp_path: Path, line: str, message: str) -> None:
    front = {"interface": "eth0", "virtual_router_id": 1, "addresses": ["10.77.0.100/24"], "extra": [line]}
    hosts = {name: {"ansible_host": f"10.77.0.{last}"} for name, last in (("lb1", 11), ("lb2", 12))}
    keepalived = {"instances": {"front": front}}
    inventory = {"all": {"hosts": hosts, "vars": {"hakit": {"keepalived": keepalived}}}}
    config = tmp_path / "keepalived.conf"
    text = configuration(sited(inventory, tmp_path), "lb1")
    config.write_text(text)
    result = judge(config)
    assert result.returncode not in VALIDATOR.ok
    places = [re.match(VALIDATOR.place, one) for one in result.stderr.splitlines()]
    found = {(int(place["line"]), place["message"]) for place in places if place}
    assert (text.splitlines().index(f"    {line}") + 1, message) in found
