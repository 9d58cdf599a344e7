"""Random settings of PostgreSQL clusters: parameters from the servers' own lists, rows, roles, sites, standbys."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from hakit.components.postgresql import parameters
from hakit.components.postgresql.members import VERSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakit.components.postgresql.parameters import Parameter

TEXTS = st.sampled_from(["", "it's", "a\\b", "%m [%p] ", '"$user", public', "# none", "ä€", "/bin/cp %p /x/%f", "on"])
"""Values of parameters that hold any text."""
ANY_TEXT = frozenset(
    {
        "application_name",
        "archive_command",
        "archive_cleanup_command",
        "log_line_prefix",
        "recovery_end_command",
        "restore_command",
        "syslog_ident",
    }
)
OF_THE_MACHINE = frozenset(
    {
        "bonjour",  # not in Debian's build
        "debug_discard_caches",
        "effective_io_concurrency",  # what the kernel offers
        "maintenance_io_concurrency",
        "huge_page_size",
        "max_stack_depth",  # the limit of this process
        "tcp_keepalives_count",  # systems differ in what they take
        "tcp_keepalives_idle",
        "tcp_keepalives_interval",
        "tcp_user_timeout",
    }
)
"""Parameters whose values depend on more than the server's list tells: a host judges them with the files staged."""
KNOWN: dict[str, Parameter] = {
    name: row
    for version in VERSIONS.values()
    for name, row in parameters.known(version).items()
    if name not in OF_THE_MACHINE and (row.kind != "string" or name in ANY_TEXT)
}
UNITS = ("", "B", "kB", "MB", "GB", "TB", "us", "ms", "s", "min", "h", "d", "mb", "y")


def _bounds(row: Parameter) -> st.SearchStrategy[Any]:
    least, most = float(row.least), float(row.most)
    near = [least, most, least - 1, most + 1, 0, 1, 100, (least + most) / 2]
    whole = st.sampled_from([int(one) for one in near])
    return st.one_of(
        whole,
        whole.map(str),
        st.sampled_from([least, most, 0.5, 1.4]),
        st.builds("{}{}".format, st.sampled_from([1, 16, 64, 1024, 2.5]), st.sampled_from(UNITS)),
        st.builds("{} {}".format, whole, st.sampled_from(UNITS)),
    )


def _values(row: Parameter) -> st.SearchStrategy[Any]:
    if row.kind in ("integer", "real"):
        return _bounds(row)
    if row.kind == "string":
        return TEXTS
    truth = st.sampled_from([True, False, "on", "off", "YES", "f", "2", ""])
    return truth if row.kind == "bool" else st.sampled_from(row.values) | truth


NAMED = st.sampled_from(sorted(KNOWN))
ASSIGNED = NAMED.flatmap(lambda name: st.tuples(st.just(KNOWN[name].name), _values(KNOWN[name])))
PARAMETERS = st.lists(
    ASSIGNED
    | st.sampled_from(
        [
            ("max_connections", 200),
            ("MAX_CONNECTIONS", "100"),
            ("max_wal_senders", 3),
            ("hot_standby_feedback", True),
            ("wal_level", "minimal"),
            ("synchronous_commit", "local"),
            ("max_slot_wal_keep_size", -1),
            ("port", 5433),
            ("shared_bufers", "1GB"),
            ("pg_stat_statements.max", 1000),
            ("x.y", "it's"),
        ]
    ),
    max_size=6,
).map(dict)
LINES = st.one_of(
    st.sampled_from(
        [
            "",
            "# a comment",
            "work_mem = 16MB",
            "work_mem 16MB # much",
            "work_mem = '16 MB'",
            "log_line_prefix = 'it''s'",
            "log_line_prefix = 'a\\'b'",
            "log_line_prefix = it's",
            "max_connections = 50",
            "port = 1",
            "nonsense",
            "include_if_exists '/etc/x.conf'",
            "x.y = 1",
            "= 1",
            "'work_mem' = 1MB",
        ]
    ),
    st.builds("{0[0]} = {0[1]}".format, ASSIGNED),
)
ROWS = st.sampled_from(
    [
        "",
        "# a comment",
        "local all all peer",
        "local all all peer map=x",
        "host all all 10.9.0.0/16 scram-sha-256",
        "host all all 10.9.0.0 255.255.0.0 scram-sha-256",
        "hostssl all all all cert",
        "host replication all 0.0.0.0/0 md5",
        "host replication all samenet trust",
        'host "a b" "c d",e 10.0.0.1/32 reject',
        "host all all fd00::/8 password",
        "host all all .example.org scram-sha-256",
        "host all +group 10.0.0.0/8 scram-sha-256",
        "host all all 10.0.0.0/33 scram-sha-256",
        "host all all 10.0.0.0 scram-sha-256",
        "host all all 10.0.0.0/8 peer",
        "host all all 10.0.0.0/8 cert",
        "host all all 10.0.0.0/8 ldap",
        "local all all ident",
        "local all all cert",
        "local all all scram-sha-256 extra",
        "hostx all all all reject",
        "host all all",
        "include /etc/x",
    ]
)
PRIVILEGES = st.sampled_from(["SELECT", "INSERT", "USAGE", "ALL", "CONNECT", "select", "EXECUTE", "FLY"])
SIZES = st.sampled_from(["16MB", "1GB", "1MB", "512kB", "64MB", "0kB", "999999999TB", "3MB"])
FIELDS: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("PostgresqlSettings", "cluster"): st.just("main"),
    ("PostgresqlSettings", "primary"): st.just("pg1"),
    ("PostgresqlSettings", "listen"): st.lists(st.sampled_from(["*", "10.77.0.21", "::1", "localhost"]), max_size=2),
    ("PostgresqlSettings", "parameters"): PARAMETERS,
    ("PostgresqlSettings", "extra"): st.lists(LINES, max_size=3),
    ("PostgresqlSettings", "hba_extra"): st.lists(ROWS, max_size=3),
    ("PostgresqlSettings", "packages"): st.lists(st.sampled_from(["postgresql-15-cron", "x", "libc6"]), max_size=1),
    ("Data", "wal_segment"): SIZES,
    ("Replication", "slot_limit"): SIZES,
    ("Replication", "rate"): SIZES,
    ("RoleSettings", "settings"): PARAMETERS,
    ("GrantSettings", "privileges"): st.lists(PRIVILEGES, min_size=1, max_size=2),
    ("Fence", "command"): st.lists(st.sampled_from(["/bin/true", "{host}", "{address}", "{x}", "{"]), min_size=1),
}


def is_address(text: str) -> bool:
    """Whether a host is known by an address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def shared(draw: st.DrawFn, settings: dict[str, Any], name: str, members: list[str]) -> dict[str, Any]:
    """What all members of a cluster say: one of theirs made it, and commits wait for some of them, or for nobody."""
    settings["cluster"], settings["primary"] = name, draw(_one_of(members))
    for key in ("upstream", "delay", "promotable"):  # these are a member's own
        settings.pop(key, None)
    settings["synchronous"] = draw(
        st.one_of(
            st.none(),
            st.builds(lambda count: {"any": count}, st.integers(1, len(members))),
            st.builds(lambda count: {"first": count}, st.integers(1, len(members))),
            st.builds(
                lambda count, standbys, method: {method: count, "standbys": standbys, "single": True},
                st.integers(1, 2),
                st.lists(_one_of(members), max_size=4),
                st.sampled_from(["any", "first"]),
            ),
        )
    )
    if draw(st.integers(0, 2)):
        _name_roles(draw, settings)
    return {key: value for key, value in settings.items() if value is not None}


def _name_roles(draw: st.DrawFn, settings: dict[str, Any]) -> None:
    """Have grants, owners and rows speak of roles that there are."""
    roles = st.sampled_from([*settings.get("roles", {}), "postgres"])
    for role in settings.get("roles", {}).values():
        role.pop("member_of", None)
    for database in settings.get("databases", {}).values():
        database["owner"] = draw(roles)
        for grant in database.get("grants", ()):
            grant["role"] = draw(roles)
    for access in settings.get("access", ()):
        access["roles"] = [draw(roles)]
        access.pop(draw(st.sampled_from(["group", "network"])), None)
        if not {"group", "network"} & set(access):
            access["group"] = "web"


def own(draw: st.DrawFn, members: list[str], name: str, primary: str) -> dict[str, Any]:
    """What one member says beside that: whom it follows, how late it is, where it stands."""
    found: dict[str, Any] = {}
    if not draw(st.integers(0, 3)):
        found["upstream"] = draw(_one_of(members))
    if not draw(st.integers(0, 5)) and name != primary:
        found["delay"] = draw(st.sampled_from(["1h", "500ms", "0.4ms", "30d"]))
    if not draw(st.integers(0, 3)):
        found["site"] = draw(st.sampled_from(["near", "far"]))
    if not draw(st.integers(0, 5)) and name != primary:
        found["promotable"] = draw(st.booleans())
    if not draw(st.integers(0, 7)):
        found["parameters"] = draw(PARAMETERS)
    return found


def _one_of(members: Iterable[str]) -> st.SearchStrategy[str]:
    """A member, nearly always."""
    known = st.sampled_from(list(members))
    return st.integers(0, 29).flatmap(lambda odd: known if odd else st.just("stranger"))
