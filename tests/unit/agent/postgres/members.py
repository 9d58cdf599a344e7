"""The agent's code on members with real servers; the unit is a stand-in for systemd that starts and stops them."""

from __future__ import annotations

import json
import os
import pwd
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent import process
from hakit.agent.postgres.tasks import carry_out
from hakit.agent.resources.postgres import Cluster
from hakit.agent.work import Work
from tests.unit.agent.agent_support import Agents
from tests.unit.agent.postgres.servers import PROGRAMS, REPLICATOR, account, until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.agent.postgres.servers import Server

# One unit: the server below this root.
SYSTEMCTL = """#!/bin/sh
root=$(realpath "${0%/*}/..")
data=$root/var/lib/postgresql/15/main
alive() { read -r pid < "$data/postmaster.pid" && kill -0 "$pid"; } 2> /dev/null
for word; do case $word in
show)
    echo LoadState=loaded; echo Type=forking; echo UnitFileState=enabled
    if alive; then echo ActiveState=active; else echo ActiveState=inactive; fi ;;
start)
    echo start >> "$root/asked"
    alive && continue
    setsid DROP PROGRAMS/postgres -D "$data" -c config_file="$root/etc/postgresql/15/main/postgresql.conf" \\
        < /dev/null >> "$root/log" 2>&1 &
    started=$!
    until alive || ! kill -0 $started 2> /dev/null; do sleep 0.02; done ;;
stop)
    echo stop >> "$root/asked"
    alive && kill -INT "$pid" ;;
esac; done
exit 0
"""


class Host:
    """One member's host: tasks, plans and applies below its root."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.place = server.place
        self.agents = Agents(server.root)
        self.notes: list[str] = []
        self._lay_out()

    def _lay_out(self) -> None:
        root = self.server.root
        uid, gid, _ = account()
        rows = {"passwd": f"postgres:x:{uid}:{gid}::/:/bin/sh\n", "group": f"postgres:x:{gid}:\n"}
        for name, row in rows.items():
            with (root / "etc" / name).open("a") as file:
                file.write(row)
        program = root / "bin/systemctl"
        drop = f"setpriv --reuid={uid} --regid={gid} --clear-groups" if os.geteuid() == 0 else ""
        program.write_text(SYSTEMCTL.replace("DROP", drop).replace("PROGRAMS", str(PROGRAMS)))
        program.chmod(0o755)

    @property
    def work(self) -> Work:
        """A session's view of this host."""
        return Work(str(self.server.root), self.notes.append)

    def do(self, verb: str, **arguments: Any) -> dict[str, Any]:
        """Carry a task out, within `timeout` seconds."""
        timeout = float(arguments.pop("timeout", 30.0))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(process, "PATH", f"{self.server.root}/bin:{process.PATH}")
            return carry_out(verb, self.place, arguments, self.work, timeout)

    def cluster(self, **fields: Any) -> Cluster:
        """The declaration of its data directory."""
        return Cluster(place=self.place, component="postgresql", user=REPLICATOR, **fields)

    def asked(self) -> list[str]:
        """What was asked of the unit."""
        file = self.server.root / "asked"
        return file.read_text().split() if file.exists() else []

    def beside(self) -> set[str]:
        """The names in the folder of the data directory."""
        return {path.name for path in self.server.data.parent.iterdir()}

    def query(self, sql: str) -> list[tuple[str | None, ...]]:
        """The rows of a query."""
        return self.server.query(sql)

    def decide(self, primary: str, epoch: int) -> None:
        """Tell it a decision."""
        self.do("decide", record=json.dumps({"epoch": epoch, "primary": primary, "kind": "switchover"}))


def owner_of(path: Path) -> str:
    """Who owns a file."""
    return pwd.getpwuid(path.stat().st_uid).pw_name


__all__ = ["Host", "owner_of", "until"]
