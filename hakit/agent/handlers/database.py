"""How databases and the extensions in them are read and made."""

from __future__ import annotations

from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure
from hakit.agent.handlers.objects import Objects, texts
from hakit.agent.postgres.quoting import among, identifier, literal
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.postgres.client import Connection
    from hakit.agent.resources.postgres import Database, Extension
    from hakit.agent.work import Work

INVALID = "-2"  # datconnlimit of a database whose removal was begun and did not end
PRISTINE = "template0"
PACKAGES = {
    "pg_cron": "postgresql-{version}-cron",
    "pg_partman": "postgresql-{version}-partman",
    "pg_repack": "postgresql-{version}-repack",
    "plperl": "postgresql-plperl-{version}",
    "plperlu": "postgresql-plperl-{version}",
    "plpython3u": "postgresql-plpython3-{version}",
    "pltcl": "postgresql-pltcl-{version}",
    "pltclu": "postgresql-pltcl-{version}",
    "postgis": "postgresql-{version}-postgis-3",
    "vector": "postgresql-{version}-pgvector",
}
"""Debian's packages of extensions that are not called postgresql-<version>-<extension> (packages.debian.org)."""


class Found(Declaration):
    """A database as the server has it; `roles` and `databases` are those of the declared ones that exist."""

    there: bool = False
    owner: str = ""
    encoding: str = ""
    locales: tuple[str, ...] = ()
    limit: str = ""
    encodings: tuple[tuple[str, str], ...] = ()
    roles: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()


class Databases(Objects):
    """The handler of `Database`."""

    what = "database"

    def look(self, resources: list[Database], connection: Connection, work: Work) -> dict[str, Found]:
        """The databases as they are."""
        del work
        names = [*(one.database for one in resources), *(one.template for one in resources if one.template)]
        encodings = ", ".join(literal(one.encoding) for one in resources)
        rows, known, roles = map(
            texts,
            connection.results(
                "SELECT datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datconnlimit, "  # noqa: S608 - quoted
                f"datcollate, datctype FROM pg_database WHERE {among('datname', names)}; "
                "SELECT one, pg_encoding_to_char(pg_char_to_encoding(one::name)) "
                f"FROM unnest(ARRAY[{encodings}]::text[]) one; "
                f"SELECT rolname FROM pg_authid WHERE {among('rolname', (one.owner for one in resources if one.owner))}"
            ),
        )
        found = {
            name: Found(there=True, owner=owner, encoding=encoding, limit=limit, locales=tuple(locales))
            for name, owner, encoding, limit, *locales in rows
        }
        common = {
            "encodings": tuple((given, real) for given, real in known),
            "roles": tuple(name for (name,) in roles),
            "databases": tuple(name for name in found),
        }
        return {one.key: found.get(one.database, Found()).replace(**common) for one in resources}

    def compare(self, resource: Database, state: Found, work: Work) -> Change:
        """What is to be made. Raises Failure where it is there and another than declared."""
        name = identifier(resource.database)
        encoding = dict(state.encodings).get(resource.encoding, "")
        if resource.encoding and not encoding:
            raise Failure(f"PostgreSQL has no encoding {resource.encoding}")
        if state.there:
            _check(resource, state, encoding)
            if resource.owner in {"", state.owner}:
                return Change()
            statement = f"ALTER DATABASE {name} OWNER TO {identifier(resource.owner)}"
            lines = [f"owner {state.owner} → {resource.owner}"]
        else:
            statement = f"CREATE DATABASE {name}{_options(resource, encoding)}"
            lines = ["create" + (f", owned by {resource.owner}" if resource.owner else "")]
        return Change(
            summary=tuple(lines),
            impact=resource.impact,
            steps=(statement,),
            after=_after(resource, state, work),
            new=not state.there,
        )


def _check(database: Database, state: Found, encoding: str) -> None:
    """What holds since a database was made can't be changed. Raises Failure."""
    if state.limit == INVALID:
        raise Failure("its removal was begun and did not end: drop it yourself, then apply again")
    pairs = [("encoding", state.encoding, encoding)]
    if any(_plain(locale) != _plain(database.locale) for locale in state.locales):
        pairs.append(("locale", " and ".join(dict.fromkeys(state.locales)), database.locale))
    for what, actual, wanted in pairs:
        if wanted and wanted != actual:
            raise Failure(
                f"its {what} is {actual}, not {wanted}, and holds since it was made: declare {actual}, or make the "
                "database anew yourself and copy what is in it"
            )


def _plain(locale: str) -> str:
    """A locale by which equal ones are equal: glibc takes `en_US.UTF-8` and `en_US.utf8` for the same."""
    language, dot, codeset = locale.partition(".")
    return language + dot + codeset.lower().replace("-", "")


def _options(database: Database, encoding: str) -> str:
    # Another encoding or locale than template1's is taken with the pristine template alone.
    template = database.template or (PRISTINE if database.encoding or database.locale else "")
    words = [
        f" OWNER {identifier(database.owner)}" if database.owner else "",
        f" TEMPLATE {identifier(template)}" if template else "",
        f" ENCODING {literal(encoding)}" if encoding else "",
        f" LOCALE {literal(database.locale)}" if database.locale else "",
    ]
    return "".join(words)


def _after(database: Database, state: Found, work: Work) -> str:
    """What must be there first; empty when everything is. Raises Failure when that is not to come."""
    reason = ""
    if database.owner and database.owner not in state.roles:
        reason = f"there is no role {database.owner}"
    elif not state.there and database.template and database.template not in state.databases:
        reason = f"there is no database {database.template}"
    return f"known after {work.require(database, reason)}" if reason else ""


class Inside(Declaration):
    """An extension as the database has it: its schema, or empty; whether the host has it; what it needs beside."""

    schema: str = ""
    available: bool = False
    needs: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()


class Extensions(Objects):
    """The handler of `Extension`."""

    what = "extension"

    def database(self, resource: Extension) -> str:
        """Where it is."""
        return resource.database

    def look(self, resources: list[Extension], connection: Connection, work: Work) -> dict[str, Inside]:
        """The extensions as they are; what the host has to offer is asked only where one is missing."""
        del work
        names = [one.extension for one in resources]
        rows = texts(
            connection.query(
                "SELECT e.extname, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace "  # noqa: S608 - quoted
                f"WHERE {among('e.extname', names)}"
            )
        )
        found = {name: Inside(schema=schema) for name, schema in rows}
        missing = [one for one in resources if one.extension not in found]
        if missing:
            wanted = among("a.name", (one.extension for one in missing))
            named = among("nspname", (one.schema for one in missing if one.schema))
            offered, needed, schemas = map(
                texts,
                connection.results(
                    f"SELECT a.name FROM pg_available_extensions a WHERE {wanted}; "  # noqa: S608 - quoted
                    "SELECT a.name, need FROM pg_available_extensions a JOIN pg_available_extension_versions v "
                    "ON v.name = a.name AND v.version = a.default_version CROSS JOIN unnest(v.requires) need "
                    f"WHERE {wanted} AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = need); "
                    f"SELECT nspname FROM pg_namespace WHERE {named}"
                ),
            )
            for (name,) in offered:
                found[name] = Inside(
                    available=True,
                    needs=tuple(need for one, need in needed if one == name),
                    schemas=tuple(schema for (schema,) in schemas),
                )
        return {one.key: found.get(one.extension, Inside()) for one in resources}

    def compare(self, resource: Extension, state: Inside, work: Work) -> Change:
        """Whether it is to be made. Raises Failure where the host has none, or where it is in another schema."""
        if state.schema:
            if resource.schema in {"", state.schema}:
                return Change()
            raise Failure(
                f"it is in schema {state.schema}, not {resource.schema}: moving it could break those who use it; "
                f"declare {state.schema}, or move it yourself (ALTER EXTENSION … SET SCHEMA)"
            )
        name = identifier(resource.extension)
        if not state.available:
            version = resource.place.version
            reason = (
                f"the host has no extension {resource.extension} for PostgreSQL {version}: add its package to "
                f"`packages`{_guess(resource.extension, version)}"
            )
            return Change(summary=("create",), after=f"known after {work.require(resource, reason)}", new=True)
        if resource.schema and resource.schema not in state.schemas:
            raise Failure(f"there is no schema {resource.schema} in database {resource.database}; hakit makes none")
        beside = f" (and {', '.join(state.needs)}, which it needs)" if state.needs else ""
        # Without a schema of its own it goes where one made by hand would go.
        where = f" SCHEMA {identifier(resource.schema)}" if resource.schema else ""
        statement = f"SET search_path = public; CREATE EXTENSION {name}{where} CASCADE"
        return Change(summary=(f"create{beside}",), impact=resource.impact, steps=(statement,), new=True)


def _guess(extension: str, version: int) -> str:
    """The package of an extension, as far as it can be guessed."""
    plain = extension.replace("_", "-")
    if not all(one.isascii() and (one.islower() or one.isdigit() or one == "-") for one in plain):
        return ""
    package = PACKAGES.get(extension, f"postgresql-{{version}}-{plain}")
    return f" (perhaps {package.format(version=version)})"
