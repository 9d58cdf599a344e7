"""Roles, databases, extensions and grants: what the primary holds, and its standbys with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.agent.resources.postgres import Database, Extension, Grant, Role
from hakit.components.postgresql.hba import REWOUND
from hakit.components.postgresql.parameters import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.postgres.place import Place
    from hakit.agent.resources.base import Resource
    from hakit.components.base import HostContext
    from hakit.components.postgresql.settings import DatabaseSettings, GrantSettings, PostgresqlSettings, RoleSettings

REWIND = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)
"""What a role that is no superuser must be allowed to call for pg_rewind (PostgreSQL documentation, pg_rewind)."""
KINDS = {
    "tables": "ALL TABLES IN SCHEMA",
    "sequences": "ALL SEQUENCES IN SCHEMA",
    "functions": "ALL FUNCTIONS IN SCHEMA",
}


def objects(ctx: HostContext, settings: PostgresqlSettings, place: Place) -> Iterator[Resource]:
    """Everything the inventory wants in the cluster, each after what it needs."""
    after = (f"unit:{place.unit}",)
    replicator = str(settings.replication.user)
    yield Role(
        place=place,
        role=replicator,
        options=(("LOGIN", "true"), ("REPLICATION", "true")),
        password=ctx.templates.literal(settings.replication.password),
        after=after,
        component=ctx.component,
    )
    for function in REWIND:
        yield Grant(
            place=place,
            database=REWOUND,
            role=replicator,
            privileges=("EXECUTE",),
            kind="FUNCTION",
            target=f"pg_catalog.{function}",
            after=(f"role:{replicator}",),
            component=ctx.component,
        )
    for name, role in settings.roles.items():
        yield _role(ctx, place, str(name), role, after)
    for name, database in settings.databases.items():
        yield from _database(ctx, place, str(name), database, after)


def _role(ctx: HostContext, place: Place, name: str, role: RoleSettings, after: tuple[str, ...]) -> Role:
    flags = (
        ("LOGIN", role.login),
        ("SUPERUSER", role.superuser),
        ("CREATEDB", role.createdb),
        ("CREATEROLE", role.createrole),
        ("REPLICATION", role.replication),
    )
    return Role(
        place=place,
        role=name,
        options=(
            *((option, "true" if value else "false") for option, value in flags),
            ("CONNECTION LIMIT", str(int(role.connections))),
        ),
        member_of=tuple(map(str, role.member_of)),
        settings=tuple((str(key), shown(value)) for key, value in role.settings.items()),
        password=ctx.templates.literal(role.password) if role.password else None,
        after=(*after, *(f"role:{group}" for group in role.member_of)),
        component=ctx.component,
    )


def _database(
    ctx: HostContext, place: Place, name: str, database: DatabaseSettings, after: tuple[str, ...]
) -> Iterator[Resource]:
    made = Database(
        place=place,
        database=name,
        owner=str(database.owner or ""),
        template=str(database.template or ""),
        encoding=str(database.encoding or ""),
        locale=str(database.locale or ""),
        after=(*after, f"role:{database.owner}", f"database:{database.template}"),
        component=ctx.component,
    )
    yield made
    for extension in database.extensions:
        yield Extension(
            place=place, database=name, extension=str(extension), after=(made.key,), component=ctx.component
        )
    extensions = tuple(f"extension:{name}/{extension}" for extension in database.extensions)
    for grant in database.grants:
        yield _grant(ctx, place, name, grant, (made.key, f"role:{grant.role}", *extensions))


def _grant(ctx: HostContext, place: Place, database: str, grant: GrantSettings, after: tuple[str, ...]) -> Grant:
    if grant.objects == "database":
        kind, target = "DATABASE", database
    elif grant.objects == "schema":
        kind, target = "SCHEMA", str(grant.in_schema)
    else:
        kind, target = KINDS[grant.objects], str(grant.in_schema)
    return Grant(
        place=place,
        database=database,
        role=str(grant.role),
        privileges=tuple(map(str, grant.privileges)),
        kind=kind,
        target=target,
        future=grant.future and grant.objects in KINDS,
        after=after,
        component=ctx.component,
    )
