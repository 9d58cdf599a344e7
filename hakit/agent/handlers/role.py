"""How roles are read, made and mended; passwords reach the server as verifiers alone."""

from __future__ import annotations

from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure
from hakit.agent.handlers.objects import Objects, texts
from hakit.agent.postgres import scram
from hakit.agent.postgres.place import USER
from hakit.agent.postgres.quoting import among, elements, identifier, literal, parameter, parameter_value
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.postgres.client import Connection
    from hakit.agent.resources.postgres import Role
    from hakit.agent.work import Work

FLAGS = {
    "LOGIN": "rolcanlogin",
    "SUPERUSER": "rolsuper",
    "CREATEDB": "rolcreatedb",
    "CREATEROLE": "rolcreaterole",
    "REPLICATION": "rolreplication",
    "INHERIT": "rolinherit",
    "BYPASSRLS": "rolbypassrls",
}
"""Options of CREATE ROLE that are true or false, with their column of `pg_authid`."""
LIMIT = "CONNECTION LIMIT"
RESERVED = {"public", "none"}

# Everything by which a statement gets into the server's log, the statistics or another session's view.
QUIET = (
    "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_duration_sample = -1; "
    "SET log_transaction_sample_rate = 0; SET log_min_error_statement = 'panic'; SET track_activities = off; "
    "SET debug_print_parse = off; SET debug_print_rewritten = off; SET debug_print_plan = off; "
    "SET pg_stat_statements.track = 'none'"
)


class State(Declaration):
    """A role as the server has it; `others` are those of its declared `member_of` that exist."""

    there: bool = False
    options: tuple[tuple[str, str], ...] = ()
    verifier: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    member_of: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


class Roles(Objects):
    """The handler of `Role`."""

    what = "role"

    def look(self, resources: list[Role], connection: Connection, work: Work) -> dict[str, State]:
        """The roles as they are."""
        del work
        names = [one.role for one in resources]
        groups = [group for one in resources for group in one.member_of]
        mine = among("r.rolname", names)
        columns = ", ".join(f"r.{column}" for column in FLAGS.values())
        roles, settings, members, others = map(
            texts,
            connection.results(
                f"SELECT r.rolname, r.rolpassword, r.rolconnlimit, {columns} FROM pg_authid r WHERE {mine}; "  # noqa: S608 - quoted
                "SELECT r.rolname, one FROM pg_db_role_setting s JOIN pg_authid r ON r.oid = s.setrole "
                f"CROSS JOIN unnest(s.setconfig) one WHERE s.setdatabase = 0 AND {mine}; "
                "SELECT r.rolname, g.rolname FROM pg_auth_members m JOIN pg_authid r ON r.oid = m.member "
                f"JOIN pg_authid g ON g.oid = m.roleid WHERE {mine}; "
                f"SELECT rolname FROM pg_authid WHERE {among('rolname', groups)}"
            ),
        )
        found = {}
        for row in roles:
            name, verifier, limit, *flags = row
            options = [(flag, "true" if value == "t" else "false") for flag, value in zip(FLAGS, flags)]  # noqa: B905 - Python 3.9
            found[name] = State(
                there=True,
                options=(*options, (LIMIT, limit)),
                verifier=verifier,
                settings=tuple(_pair(one) for role, one in settings if role == name),
                member_of=tuple(group for role, group in members if role == name),
            )
        there = tuple(name for (name,) in others)
        return {one.key: found.get(one.role, State()).replace(others=there) for one in resources}

    def compare(self, resource: Role, state: State, work: Work) -> Change:
        """What is to be made or mended. Raises Failure for what a role can't be."""
        name = identifier(resource.role)
        _check(resource, state)
        actual = dict(state.options)
        options = [(option, value) for option, value in resource.options if _value(option, value) != actual.get(option)]
        statements, lines = [], []
        if not state.there:
            statements.append(" ".join([f"CREATE ROLE {name}", *(_option(*one) for one in resource.options)]))
            lines.append("create")
        elif options:
            statements.append(" ".join([f"ALTER ROLE {name}", *(_option(*one) for one in options)]))
            lines += [f"{option.lower()} {actual[option]} → {_value(option, value)}" for option, value in options]
        for setting, value in _settings(resource, state):
            statements.append(f"ALTER ROLE {name} SET {parameter(setting)} TO {parameter_value(setting, value)}")
            lines.append(f"{setting} = {value}")
        groups = [group for group in resource.member_of if group not in state.member_of]
        if groups:
            statements.append(f"GRANT {', '.join(map(identifier, groups))} TO {name}")
            lines.append(f"join {', '.join(groups)}")
        steps = ["; ".join(statements)] if statements else []
        word, verifier = _password(resource, state)
        if word:
            steps += [QUIET, f"ALTER ROLE {name} PASSWORD {literal(verifier)}"]
            lines.append(word)
        lost = [group for group in groups if group not in state.others]
        after = f"known after {work.require(resource, f'there is no role {lost[0]}')}" if lost else ""
        return Change(
            summary=tuple(lines),
            impact=resource.impact if lines else "none",
            steps=tuple(steps),
            after=after,
            new=not state.there,
        )


def _check(role: Role, state: State) -> None:
    """Refuse what the server would make something else of, or what would lock hakit out. Raises Failure."""
    if not state.there and (role.role in RESERVED or role.role.startswith("pg_")):
        raise Failure(f"{role.role} can't be a role: PostgreSQL keeps public, none and names that begin with pg_")
    for option, value in role.options:
        wanted = _value(option, value)
        if role.role == USER and wanted == "false" and option in {"LOGIN", "SUPERUSER"}:
            raise Failure(
                f"{USER} is the role that hakit and the server's own programs work as: it has to keep {option}. "
                f"Declare it with {option.lower()}, or leave it out"
            )
    if role.password is not None and not role.password.reveal():
        raise Failure("its password is empty, which PostgreSQL takes for none")


def _value(option: str, value: str) -> str:
    """The value of an option, checked: nothing else may reach the statement. Raises Failure."""
    if option == LIMIT:
        try:
            return str(int(value))
        except ValueError:
            raise Failure(f"{LIMIT} takes a number, not {value}") from None
    if option not in FLAGS:
        raise Failure(f"a role has no option {option}; there are {', '.join((*FLAGS, LIMIT))}")
    if value.lower() not in {"true", "false"}:
        raise Failure(f"{option} is true or false, not {value}")
    return value.lower()


def _option(option: str, value: str) -> str:
    """An option as CREATE ROLE and ALTER ROLE write it."""
    if option == LIMIT:
        return f"{LIMIT} {_value(option, value)}"
    return option if _value(option, value) == "true" else f"NO{option}"


def _pair(one: str) -> tuple[str, str]:
    name, _, value = one.partition("=")
    return name, value


def _settings(role: Role, state: State) -> list[tuple[str, str]]:
    """The declared parameters that are not set so; names of parameters have no case."""
    actual = {name.lower(): elements(name, value) for name, value in state.settings}
    return [(name, value) for name, value in role.settings if actual.get(name.lower()) != elements(name, value)]


def _password(role: Role, state: State) -> tuple[str, str]:
    """What happens to the password, and its new verifier; empty where the one that is there fits."""
    if role.password is None:
        return "", ""
    clear = role.password.reveal()
    if scram.fits(state.verifier, clear):
        return "", ""
    word = "set password"
    if state.verifier:
        word = "change password" + (", from md5 to SCRAM" if state.verifier.startswith("md5") else "")
    return word, scram.verifier(clear)
