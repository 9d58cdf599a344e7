"""Names and values as SQL writes them, so that none of them can be read as anything else.

Source: PostgreSQL documentation, "Lexical Structure" (identifiers, string constants with C-style escapes).
"""

from __future__ import annotations

from hakit.agent.errors import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 63
"""Bytes of an identifier; the server cuts a longer one without a word (NAMEDATALEN)."""
LISTS = frozenset(
    {"local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries"}
    | {"temp_tablespaces", "unix_socket_directories"}
)
"""Parameters whose value is a list of names, each quoted by itself (GUC_LIST_QUOTE in the server's guc_tables)."""


def identifier(name: str) -> str:
    """A name in double quotes. Raises Failure for what can't be one."""
    if not name:
        raise Failure("a name in PostgreSQL can't be empty")
    if len(_encoded(name)) > LONGEST:
        raise Failure(f"{name} is longer than {LONGEST} bytes, the most that a name in PostgreSQL has")
    return '"{}"'.format(name.replace('"', '""'))


def literal(text: str) -> str:
    """A text in single quotes, whatever `standard_conforming_strings` is. Raises Failure for what can't be one."""
    _encoded(text)
    quoted = text.replace("'", "''")
    if "\\" in quoted:
        return "E'{}'".format(quoted.replace("\\", "\\\\"))
    return f"'{quoted}'"


def among(column: str, names: Iterable[str]) -> str:
    """The condition that a column of names is one of these; compared as text, for a `name` would cut a long one."""
    values = ", ".join(literal(name) for name in dict.fromkeys(names))
    return f"{column}::text IN ({values})" if values else "false"


def parameter(name: str) -> str:
    """The name of a parameter, `work_mem` or `app.tenant`, each part in double quotes. Raises Failure."""
    return ".".join(identifier(part) for part in name.split("."))


def parameter_value(name: str, value: str) -> str:
    """The value of a parameter behind SET … TO: one literal, or one for each name of a list. Raises Failure."""
    return ", ".join(literal(part) for part in elements(name, value)) or "''"


def elements(name: str, value: str) -> tuple[str, ...]:
    """What a parameter's value consists of: itself, or the names of a list as the server reads them."""
    return _names(value) if name.lower() in LISTS else (value,)


def _names(value: str) -> tuple[str, ...]:
    """The names of a list such as `"$user", public`: in small letters where not quoted. Raises Failure."""
    import re

    found = []
    rest = value.strip()
    while rest:
        match = re.match(r'\s*(?:"((?:[^"]|"")*)"|([^",]+?))\s*(?:,|$)', rest)
        if match is None:
            raise Failure(f"no list of names: {value}")
        found.append(match[1].replace('""', '"') if match[2] is None else match[2].lower())
        rest = rest[match.end() :]
    return tuple(found)


def _encoded(text: str) -> bytes:
    if "\0" in text:
        raise Failure("PostgreSQL takes no NUL character")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Failure("that is no Unicode text") from None
