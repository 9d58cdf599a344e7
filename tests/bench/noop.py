"""What an apply that finds nothing to do costs: CPU of the controller and of the hosts, per host.

    python tests/bench/noop.py [HOSTS [RUNS]]

Makes a lab of its own, applies once, then measures applies that change nothing. The controller's CPU is that of the
hakit process as the kernel accounts it; a host's is that of its whole control group, less what it
burns when left alone.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hakit.cli import options
from hakit.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable

RESOURCES = 30
MILLI = 1000.0


def inventory(hosts: int) -> str:
    """Hosts with thirty resources each: files, packages, users, kernel parameters, units."""
    files = {f"/etc/bench/{number:02}.conf": {"content": f"value = {number}\n" * 20} for number in range(20)}
    settings = {
        "system": {
            "hosts_file": False,
            "directories": {"/etc/bench": {}},
            "packages": ["procps", "sudo", "openssh-server"],
            "users": {f"bench{number}": {} for number in range(4)},
            "sysctl": {"net.ipv4.ip_nonlocal_bind": 1},
            "files": files,
            "units": {"ssh.service": {}},
        },
        "lab": {"driver": "nspawn", "network": "10.78.0.0/24"},
    }
    names = {f"h{number:02}": {"ansible_host": f"10.78.0.{number + 10}"} for number in range(hosts)}
    return json.dumps({"all": {"vars": {"hakit": settings}, "hosts": names}})


def burnt(lab: Lab, hosts: list[str]) -> float:
    """CPU seconds that all hosts have used so far."""
    total = 0.0
    for host in hosts:
        shown = lab.exec(host, ["cat", "/sys/fs/cgroup/cpu.stat"], capture_output=True, check=True).stdout
        total += int(shown.split()[1]) / 1e6
    return total


def cpu_of(action: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of the children that an action waits for, and wall seconds."""
    before, began = os.times(), time.monotonic()
    action()
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used, time.monotonic() - began


def main() -> None:
    """Measure and print one line per figure."""
    hosts = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hosts.yml"
        path.write_text(inventory(hosts))
        lab = Lab.of(options.load(path)[0])
        names = [f"h{number:02}" for number in range(hosts)]
        apply = [sys.executable, "-m", "hakit", "apply", "-i", str(path), "--yes", "--json", "--forks", "20"]

        def once() -> dict[str, object]:
            done = subprocess.run(apply, check=True, capture_output=True, text=True)
            found: dict[str, object] = json.loads(done.stdout)["hosts"]
            return found

        try:
            lab.up()
            once()
            rows = []
            for _ in range(runs):
                idle_from = burnt(lab, names)
                time.sleep(2.0)  # what hosts burn by themselves in two seconds
                idle = (burnt(lab, names) - idle_from) / 2.0
                before = burnt(lab, names)
                controller, wall = cpu_of(once)
                rows.append((controller, burnt(lab, names) - before - idle * wall, wall))
        finally:
            lab.down()
    controller, remote, wall = (statistics.median(column) for column in zip(*rows, strict=True))
    sys.stdout.write(
        f"{hosts} hosts, {RESOURCES} resources each, nothing to do, median of {runs}:\n"
        f"  controller  {controller * MILLI / hosts:6.1f} ms CPU per host ({controller:.2f} s in all)\n"
        f"  host        {remote * MILLI / hosts:6.1f} ms CPU per host\n"
        f"  together    {(controller + remote) * MILLI / hosts:6.1f} ms CPU per host, {wall:.2f} s wall\n"
    )


if __name__ == "__main__":
    main()
