"""How privileges are read from the access lists in the catalogs, and granted; none is ever revoked.

Source: PostgreSQL documentation, "Privileges", "GRANT", "ALTER DEFAULT PRIVILEGES", "System Information Functions".
"""

from __future__ import annotations

from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure
from hakit.agent.handlers.objects import Objects, texts, unknown
from hakit.agent.postgres.quoting import identifier, literal
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from hakit.agent.postgres.client import Connection
    from hakit.agent.resources.postgres import Grant
    from hakit.agent.work import Work

ALL = "ALL "
KINDS = {
    "DATABASE": "d",
    "SCHEMA": "n",
    "FUNCTION": "f",
    "ALL TABLES IN SCHEMA": "r",
    "ALL SEQUENCES IN SCHEMA": "s",
    "ALL FUNCTIONS IN SCHEMA": "f",
}
"""What privileges are granted on, with the server's letter for its access lists (`acldefault`)."""
PUBLIC = "public"
ALIASES = {"TEMP": "TEMPORARY"}
EVERYTHING = {"ALL", "ALL PRIVILEGES"}

# `who` are the grants asked for, `thing` is every object that each is about. `want` and `creates` come before.
_WHO = """, who AS (
  SELECT want.*,
    CASE WHEN role = 'public' THEN 0 ELSE (SELECT oid FROM pg_authid WHERE rolname::text = role) END AS grantee,
    CASE WHEN kind = 'FUNCTION' THEN to_regprocedure(target) END AS function,
    CASE WHEN kind LIKE '%SCHEMA' THEN (SELECT oid FROM pg_namespace WHERE nspname::text = target) END AS schema
  FROM want
), thing AS (
  SELECT i, d.oid, datdba AS owner, datacl AS acl FROM who JOIN pg_database d ON datname::text = target
    WHERE kind = 'DATABASE'
  UNION ALL
  SELECT i, n.oid, nspowner, nspacl FROM who JOIN pg_namespace n ON n.oid = schema WHERE kind = 'SCHEMA'
  UNION ALL
  SELECT i, p.oid, proowner, proacl FROM who JOIN pg_proc p ON p.oid = function
  UNION ALL
  SELECT i, p.oid, proowner, proacl FROM who JOIN pg_proc p ON pronamespace = schema
    WHERE kind = 'ALL FUNCTIONS IN SCHEMA' AND prokind <> 'p'
  UNION ALL
  SELECT i, c.oid, relowner, relacl FROM who JOIN pg_class c ON relnamespace = schema
    WHERE kind = 'ALL TABLES IN SCHEMA' AND relkind IN ('r', 'v', 'm', 'f', 'p')
       OR kind = 'ALL SEQUENCES IN SCHEMA' AND relkind = 'S'
)"""
# 10 is the bootstrap superuser: the owner's default list of a kind holds every privilege that there is on it.
_KNOWN = """
SELECT i, grantee IS NOT NULL, function::regprocedure::text, schema IS NOT NULL,
  (SELECT string_agg(privilege_type, ',' ORDER BY privilege_type) FROM aclexplode(acldefault(letter::"char", 10))
   WHERE grantee = 10),
  (SELECT count(*) FROM thing WHERE thing.i = who.i)
FROM who"""
_HELD = """
SELECT i, e.privilege_type, count(DISTINCT thing.oid) FROM thing JOIN who USING (i)
CROSS JOIN aclexplode(coalesce(acl, acldefault(letter::"char", thing.owner))) e
WHERE e.grantee = who.grantee GROUP BY 1, 2"""
_CREATORS = """
SELECT i, r.rolname FROM who JOIN pg_namespace n ON n.oid = schema JOIN pg_authid r ON r.oid <> coalesce(grantee, 0)
  AND (r.rolname = current_user OR r.oid = n.nspowner
    OR r.oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
    OR r.oid IN (SELECT e.grantee FROM aclexplode(n.nspacl) e WHERE e.privilege_type = 'CREATE')
    OR (target, r.rolname::text) IN (SELECT within, creator FROM creates))
WHERE kind LIKE 'ALL %' AND NOT starts_with(r.rolname::text, 'pg_') ORDER BY 1, 2"""
_DEFAULTS = """
SELECT i, r.rolname, e.privilege_type FROM who
JOIN pg_default_acl d ON defaclnamespace = schema AND lower(defaclobjtype::text) = letter
JOIN pg_authid r ON r.oid = defaclrole CROSS JOIN aclexplode(defaclacl) e
WHERE kind LIKE 'ALL %' AND e.grantee = who.grantee"""


class Privileges(Declaration):
    """What a grant is about, as the database has it.

    `known` are the privileges that there are on such a thing, `count` the number of things, `held` by privilege the
    number of those on which the role has it. `creators` make things in the schema; `defaults` are pairs of a creator
    and a privilege that the role gets on what he makes there. `function` is the server's own name for it.
    """

    role: bool
    schema: bool
    function: str
    known: tuple[str, ...]
    count: int
    held: tuple[tuple[str, int], ...] = ()
    creators: tuple[str, ...] = ()
    defaults: tuple[tuple[str, str], ...] = ()


class Grants(Objects):
    """The handler of `Grant`.

    With `future` the privileges hold for what these make later: the owners of the database and of the schema, the
    superuser, and who has CREATE on the schema by name. The server knows default privileges by maker alone.
    """

    what = "grant"

    def database(self, resource: Grant) -> str:
        """Where it is."""
        return resource.database

    def look(self, resources: list[Grant], connection: Connection, work: Work) -> dict[str, Privileges]:
        """The privileges as they are."""
        for one in resources:
            if one.kind not in KINDS:
                raise Failure(f"hakit grants nothing on {one.kind}; it knows {', '.join(KINDS)}")
        rows = ((str(number), one.role, one.kind, KINDS[one.kind], one.target) for number, one in enumerate(resources))
        base = (
            f"WITH want(i, role, kind, letter, target) AS ({_values(rows)}), "
            f"creates(within, creator) AS ({_values(_creates(resources[0].database, work))}){_WHO}"
        )
        parts = (_KNOWN, _HELD, _CREATORS, _DEFAULTS)
        answer = connection.results("; ".join(base + part for part in parts))
        known, held, creators, defaults = map(texts, answer)
        found = {}
        for i, role, function, schema, names, count in known:
            found[resources[int(i)].key] = Privileges(
                role=role == "t",
                schema=schema == "t",
                function=function,
                known=tuple(names.split(",")),
                count=int(count),
                held=tuple((name, int(number)) for one, name, number in held if one == i),
                creators=tuple(name for one, name in creators if one == i),
                defaults=tuple((maker, name) for one, maker, name in defaults if one == i),
            )
        return found

    def compare(self, resource: Grant, state: Privileges, work: Work) -> Change:
        """What is to be granted. Raises Failure for what is not there, and for privileges that are none."""
        privileges = _privileges(resource, state)
        lost = _lost(resource, state)
        if lost:
            return unknown(resource, lost, work)
        held = dict(state.held)
        lacking = [one for one in privileges if held.get(one, 0) < state.count]
        role = "PUBLIC" if resource.role == PUBLIC else identifier(resource.role)
        steps, lines = [], []
        if lacking:
            steps.append(f"GRANT {', '.join(lacking)} ON {resource.kind} {_target(resource, state)} TO {role}")
            some = min(held.get(one, 0) for one in lacking)
            of = f" ({state.count - some} of {state.count} lack it)" if state.count > 1 else ""
            lines.append(f"grant {', '.join(lacking)} on {resource.kind.lower()} {resource.target}{of}")
        if resource.future and resource.kind.startswith(ALL):
            things = resource.kind.split()[1]
            for creator in state.creators:
                coming = [one for one in privileges if (creator, one) not in state.defaults]
                if coming:
                    steps.append(
                        f"ALTER DEFAULT PRIVILEGES FOR ROLE {identifier(creator)} IN SCHEMA "
                        f"{identifier(resource.target)} GRANT {', '.join(coming)} ON {things} TO {role}"
                    )
                    lines.append(f"{', '.join(coming)} on {things.lower()} that {creator} makes there later")
        impact = resource.impact if lines else "none"
        return Change(summary=tuple(lines), impact=impact, steps=("; ".join(steps),) if steps else ())


def _creates(database: str, work: Work) -> list[tuple[str, str]]:
    """Schemas of a database, and who is declared to create in them: then it is known before that is granted."""
    declared: list[Any] = [one for one in work.declared.values() if one.type == "grant"]
    found = [
        (one.target, one.role)
        for one in declared
        if one.kind == "SCHEMA"
        and one.database == database
        and {"CREATE", *EVERYTHING}.intersection(map(_upper, one.privileges))
    ]
    return found or [("", "")]


def _upper(privilege: str) -> str:
    return " ".join(privilege.upper().split())


def _privileges(grant: Grant, state: Privileges) -> list[str]:
    """The declared privileges by the server's names, each one of those it knows. Raises Failure."""
    found: list[str] = []
    for one in map(_upper, grant.privileges):
        names = state.known if one in EVERYTHING else (ALIASES.get(one, one),)
        for name in names:
            if name not in state.known:
                kind = grant.kind.lower()
                raise Failure(f"there is no privilege {one} on {kind}; there are {', '.join(state.known)} and ALL")
            if name not in found:
                found.append(name)
    return found


def _lost(grant: Grant, state: Privileges) -> str:
    """What is not there; empty when everything is."""
    if not state.role:
        return f"there is no role {grant.role}"
    if grant.kind.endswith("SCHEMA") and not state.schema:
        return f"there is no schema {grant.target} in database {grant.database}; hakit makes none"
    if not grant.kind.startswith(ALL) and not state.count:
        return f"there is no {grant.kind.lower()} {grant.target} in database {grant.database}"
    return ""


def _target(grant: Grant, state: Privileges) -> str:
    return state.function if grant.kind == "FUNCTION" else identifier(grant.target)


def _values(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows of texts as SQL."""
    return "VALUES " + ", ".join("({})".format(", ".join(map(_typed, row))) for row in rows)


def _typed(text: str) -> str:
    return f"{literal(text)}::text"
