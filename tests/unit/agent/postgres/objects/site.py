"""A member of a cluster, and what is declared to be in it."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from hakit.agent.resources.postgres import Database, Extension, Grant, Role
from hakit.agent.wire import Text
from hakit.agent.work import Work
from tests.unit.agent.agent_support import Agents
from tests.unit.agent.postgres.servers import PROGRAMS

if TYPE_CHECKING:
    from hakit.agent.answers import Item
    from hakit.agent.resources.base import Resource
    from tests.unit.agent.agent_support import Applied
    from tests.unit.agent.postgres.servers import Server

COMPONENT = "postgresql"


def secret(text: str, name: str = "password") -> Text:
    """A secret as it reaches a host."""
    return Text(text, f"<secret:{name}>")


class Site:
    """The host of one member, with nothing declared so far."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.place = server.place
        self.agents = Agents(server.root)
        shutil.rmtree(self.agents.state, ignore_errors=True)

    def role(self, name: str, **fields: Any) -> Role:
        return Role(place=self.place, role=name, component=COMPONENT, **fields)

    def database(self, name: str, **fields: Any) -> Database:
        return Database(place=self.place, database=name, component=COMPONENT, **fields)

    def extension(self, database: str, name: str, **fields: Any) -> Extension:
        return Extension(place=self.place, database=database, extension=name, component=COMPONENT, **fields)

    def grant(self, database: str, role: str, privileges: str, kind: str, target: str, **fields: Any) -> Grant:
        return Grant(
            place=self.place, database=database, role=role, privileges=tuple(privileges.split(", ")), kind=kind,
            target=target, component=COMPONENT, **fields,
        )  # fmt: skip

    def plan(self, *resources: Resource) -> tuple[Item, ...]:
        return self.agents.plan(*resources)

    def only(self, resource: Resource) -> Item:
        """The plan of one resource."""
        return next(item for item in self.plan(resource) if item.key == resource.key)

    def refused(self, resource: Resource) -> str:
        """Why one resource is refused."""
        error = self.only(resource).error
        assert error is not None
        return error.message

    def apply(self, *resources: Resource) -> Applied:
        return self.agents.apply(*resources)

    def settle(self, *resources: Resource) -> tuple[tuple[str, ...], ...]:
        """Apply; a second plan must find nothing more to do. What was done, in the order of the resources."""
        applied = self.apply(*resources)
        errors = {event.key: event.error for event in applied.events if event.ev == "failed"}
        assert not errors
        assert {item.key: item.summary for item in self.plan(*resources) if item.status != "same"} == {}
        done = {event.key: tuple(event.summary or ()) for event in applied.events if event.ev == "done"}
        return tuple(done.get(one.key, ()) for one in resources)

    def work(self, *resources: Resource) -> Work:
        """A session's view of this host, in this very process."""
        work = Work(str(self.server.root), lambda _: None)
        work.declare(resources)
        return work

    def rows(self, sql: str, database: str = "postgres") -> list[tuple[str | None, ...]]:
        return self.server.query(sql, database)

    def value(self, sql: str, database: str = "postgres") -> str | None:
        return self.server.value(sql, database)

    def logs_in(self, role: str, password: str) -> bool:
        """Whether a client gets in over TCP."""
        argv = [str(PROGRAMS / "psql"), "-XAtc", "SELECT 1", "-h", self.server.address, "-p", str(self.place.port)]
        argv += ["-U", role, "postgres"]
        env = {"PGPASSWORD": password, "LC_ALL": "C.UTF-8", "PGCLIENTENCODING": "UTF8"}
        done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        return done.returncode == 0
