"""What an agent session costs: code cached on the host against code sent each time. See docs/performance.md.

Usage: python tests/bench/agent_start.py INVENTORY [RUNS], with the lab of INVENTORY up; its first host is used. The
host's CPU time is that of its cgroup (sshd and systemd included), the controller's that of this process.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hakit.agent.client import Client
from hakit.agent.resources.command import Command
from hakit.agent.resources.files import File, Files
from hakit.agent.resources.package import Package
from hakit.agent.resources.paths import Directory
from hakit.agent.resources.unit import Unit
from hakit.agent.wire import Text
from hakit.cli import options
from hakit.cli.reach import connector, target
from hakit.lab.cgroup import cgroup_root

if TYPE_CHECKING:
    from hakit.agent.resources.base import Resource
    from hakit.ssh import Connection

LINES = "a line of a configuration file\n" * 100


def declared() -> tuple[Resource, ...]:
    """Thirty resources: ten packages, ten files, five directories, three units, two commands."""
    packages = ("bash", "coreutils", "dash", "grep", "gzip", "sed", "tar", "util-linux", "dpkg", "apt")
    return (
        *(Package(package=name) for name in packages),
        *(Files(label=f"f{n}", files=(File(path=f"/srv/bench/{n}.conf", content=Text(LINES)),)) for n in range(10)),
        *(Directory(path=path) for path in ("/etc", "/usr", "/var", "/opt", "/srv")),
        *(
            Unit(unit=name, enabled=None)
            for name in ("ssh.service", "systemd-journald.service", "systemd-tmpfiles-clean.timer")
        ),
        *(Command(label=path, argv=("true",), creates=path) for path in ("/etc/passwd", "/etc/group")),
    )


def session(connection: Connection) -> bool:
    """One no-op: start, facts, plan, bye. Whether the code was sent."""
    client = Client.start(connection.exec, sudo=connection.user != "root")
    client.hello(run="bench", who="bench", lock=True, packages=("systemd", "openssh-server"))
    items = client.plan(declared(), None)
    assert {item.status for item in items} == {"same"}, items
    client._channel.send(b"\0\0\0\x0c" + b'{"op":"bye"}')
    assert client._channel.exit_status(10) == 0
    client.close()
    return client.sent_code


def host_cpu(group: Path) -> float:
    """Seconds of CPU that the host has used."""
    text = (group / "cpu.stat").read_text(encoding="ascii")
    return int(text.split()[1]) / 1e6


def main() -> None:
    site = options.load(Path(sys.argv[1]))[0]
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 25
    host = next(iter(site.hosts.values()))
    group = max(cgroup_root().glob(f"**/{host.name}"), key=lambda path: path.stat().st_mtime)
    with connector(site) as reach:
        connection = reach.connect(target(host))
        client = Client.start(connection.exec, sudo=False)
        client.hello(run="bench", who="bench", lock=True, packages=())
        files = [one for one in declared() if one.type == "files"]
        client.plan(files, None)
        client.apply([one.key for one in files], [], lambda _: None)
        client.close()
        for way, prepare in (
            ("cached", "rm -rf /var/lib/hakit/agent"),
            ("sent", "rm -rf /var/lib/hakit/agent; touch /var/lib/hakit/agent"),
        ):
            figures: list[tuple[float, float, float]] = []
            connection.run(prepare, 10)
            session(connection)
            for _ in range(runs):
                before = (time.perf_counter(), time.process_time(), host_cpu(group))
                assert session(connection) == (way == "sent")
                after = (time.perf_counter(), time.process_time(), host_cpu(group))
                figures.append((after[0] - before[0], after[1] - before[1], after[2] - before[2]))
            medians = [statistics.median(column) * 1000 for column in zip(*figures, strict=True)]
            print(f"{way:8} wall {medians[0]:6.1f} ms  controller {medians[1]:6.1f} ms  host {medians[2]:6.1f} ms")  # noqa: T201 - its figures are what it is for
        connection.run("rm -r /srv/bench /var/lib/hakit/agent", 10)
        connection.close()


if __name__ == "__main__":
    main()
