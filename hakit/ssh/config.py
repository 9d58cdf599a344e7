"""Reads ssh_config files as ssh_config(5) describes them, as far as hakit needs them.

A value counts from the first place that sets it; `IdentityFile` and `CertificateFile` add up. `Include` is followed
(globs, nested, relative to ~/.ssh or /etc/ssh), `Host` and `Match` blocks apply as in OpenSSH. Keywords that hakit has
no use for are skipped.
"""

from __future__ import annotations

import getpass
import os
import re
import shlex
import socket
import subprocess
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from hakit.errors import ConnectError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_DEPTH = 16  # OpenSSH's READCONF_MAX_DEPTH
_EXEC_TIMEOUT = 10.0
_TOKEN = re.compile(r"%(.)")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_ASSIGNMENT = re.compile(r"(\w+)(?:\s*=\s*|\s+)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a keyword and the place that set it, `file:line`."""

    text: str
    place: str


@dataclass(frozen=True, slots=True)
class Proxy:
    """A ProxyJump or ProxyCommand in force: its value with tokens expanded, the same as it is written, its place."""

    keyword: str
    text: str
    written: str
    place: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """What ssh_config says of one host, tokens expanded."""

    host: str
    user: str | None = None
    port: int | None = None
    identity_files: tuple[Path, ...] = ()
    identities_only: bool = False
    agent: str | None = None
    alias: str | None = None
    user_known_hosts: tuple[Path, ...] | None = None
    global_known_hosts: tuple[Path, ...] | None = None
    certificates: tuple[Path, ...] = ()
    proxy: Proxy | None = None


@dataclass(frozen=True, slots=True)
class _Statement:
    """A keyword (lower case) with its arguments; an Include holds what the files it names say."""

    keyword: str
    arguments: tuple[str, ...]
    place: str
    included: tuple[tuple[_Statement, ...], ...] = ()


@dataclass(slots=True)
class _Found:
    """The values gathered so far for one host."""

    alias: str
    user: str | None
    values: dict[str, Value] = field(default_factory=dict)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    identities: list[str] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)

    def host(self) -> str:
        """The name that `Match host` compares: HostName once it is set."""
        name = self.values.get("hostname")
        return _expand(name.text, {"h": self.alias}) if name else self.alias


class Config:
    """The ssh_config files of a run, read once. Immutable, so threads may share it."""

    def __init__(self, user: Path | None = None, system: Path | None = None, home: Path | None = None) -> None:
        """Read the files; one that does not exist says nothing. Raises ConnectError when one is broken."""
        self._home = home or Path.home()
        self.local_user = _local_user()
        self._statements: tuple[tuple[_Statement, ...], ...] = (
            *((_read(user, self._home / ".ssh", ()),) if user else ()),
            *((_read(system, Path("/etc/ssh"), ()),) if system else ()),
        )

    def lookup(self, alias: str, user: str | None = None, port: int | None = None) -> Lookup:
        """What the files say of a host; a user and port known already win and count for `Match user`.

        Raises ConnectError for a value that makes no sense.
        """
        found = _Found(alias, user)
        for statements in self._statements:
            self._apply(statements, found)
        host = found.host()
        user = user or _text(found, "user") or self.local_user
        port = port or _port(found)
        tokens = self._tokens(alias, host, user, port or 22, _text(found, "hostkeyalias"))
        agent = _text(found, "identityagent")
        return Lookup(
            host=host,
            user=_text(found, "user"),
            port=port,
            identity_files=self._paths([name for name in found.identities if name.lower() != "none"], tokens),
            identities_only=_text(found, "identitiesonly") == "yes",
            agent=_agent(agent, tokens, self._home),
            alias=_text(found, "hostkeyalias"),
            user_known_hosts=self._files(found, "userknownhostsfile", tokens),
            global_known_hosts=self._files(found, "globalknownhostsfile", tokens),
            certificates=self._paths([name for name in found.certificates if name.lower() != "none"], tokens),
            proxy=_proxy(found, tokens),
        )

    def expand(self, command: str, alias: str, user: str, port: int) -> str:
        """A ProxyCommand that stands elsewhere, with its tokens expanded for a host."""
        return _expand(command, self._tokens(alias, self.lookup(alias, user, port).host, user, port, None))

    def _tokens(self, alias: str, host: str, user: str, port: int, key_alias: str | None) -> dict[str, str]:
        """The tokens of ssh_config(5), TOKENS."""
        return {
            "%": "%",
            "d": str(self._home),
            "h": host,
            "i": str(os.getuid()),
            "k": key_alias or alias,
            "L": socket.gethostname().partition(".")[0],
            "l": socket.gethostname(),
            "n": alias,
            "p": str(port),
            "r": user,
            "u": self.local_user,
        }

    def _files(self, found: _Found, keyword: str, tokens: Mapping[str, str]) -> tuple[Path, ...] | None:
        names = found.lists.get(keyword)
        return None if names is None else self._paths([name for name in names if name.lower() != "none"], tokens)

    def _paths(self, names: Sequence[str], tokens: Mapping[str, str]) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(Path(_expand_path(name, tokens, self._home)) for name in names))

    def _apply(self, statements: Sequence[_Statement], found: _Found) -> None:
        """Gather what applies; a block inside an included file never applies when the Include itself does not."""
        here = True
        for statement in statements:
            if statement.keyword == "host":
                here = _matches(statement.arguments, found.alias)
            elif statement.keyword == "match":
                here = self._match(statement, found)
            elif not here:
                continue
            elif statement.keyword == "include":
                for included in statement.included:
                    self._apply(included, found)
            elif statement.keyword == "identityfile":
                found.identities.append(statement.arguments[0])
            elif statement.keyword == "certificatefile":
                found.certificates.append(statement.arguments[0])
            elif statement.keyword not in found.values:
                found.values[statement.keyword] = Value(statement.arguments[0], statement.place)
                found.lists[statement.keyword] = statement.arguments

    def _match(self, statement: _Statement, found: _Found) -> bool:
        """Whether all criteria of a Match line hold. `canonical` and `final` never do: hakit makes one pass."""
        words = list(statement.arguments)
        result = True
        while words:
            word = words.pop(0)
            wanted = not word.startswith("!")
            criterion, _, value = word.removeprefix("!").partition("=")
            criterion = criterion.lower()
            if criterion == "all":
                holds = True
            elif criterion in ("canonical", "final"):
                holds = False
            else:
                if not value and not words:
                    raise ConnectError(f"{statement.place}: Match {criterion} needs a value")
                value = value or words.pop(0)
                holds = result and self._criterion(criterion, value, statement, found)
            result = result and holds is wanted
        return result

    def _criterion(self, criterion: str, value: str, statement: _Statement, found: _Found) -> bool:
        user = found.user or _text(found, "user") or self.local_user
        subjects = {"host": found.host(), "originalhost": found.alias, "user": user, "localuser": self.local_user}
        if criterion in ("host", "originalhost"):
            return _matches(value.lower().split(","), subjects[criterion].lower())
        if criterion in subjects:
            return _matches(value.split(","), subjects[criterion])
        if criterion == "exec":
            return _succeeds(_expand(value, {"h": found.host(), "n": found.alias, "r": user, "u": self.local_user}))
        raise ConnectError(
            f"{statement.place}: hakit does not know the criterion {criterion} of Match",
            hint="It knows all, host, originalhost, user, localuser and exec.",
        )


def _read(path: Path, base: Path, parents: tuple[Path, ...]) -> tuple[_Statement, ...]:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConnectError(f"{path}: can't be read: {error.strerror}") from error
    statements = []
    for number, line in enumerate(text.splitlines(), 1):
        parsed = _parse(line, f"{path}:{number}")
        if parsed is None:
            continue
        keyword, arguments = parsed
        place = f"{path}:{number}"
        included = _include(arguments, base, (*parents, path), place) if keyword == "include" else ()
        statements.append(_Statement(keyword, arguments, place, included))
    return tuple(statements)


def _include(
    patterns: Sequence[str], base: Path, parents: tuple[Path, ...], place: str
) -> tuple[tuple[_Statement, ...], ...]:
    """What the files of an Include say, in the order of their names; a file that includes itself is an error."""
    files = [
        Path(name)
        for pattern in patterns
        for name in sorted(glob(str(base / Path(pattern).expanduser())))  # noqa: PTH207 - absolute patterns too
    ]
    if len(parents) >= _DEPTH or any(file in parents for file in files):
        raise ConnectError(f"{place}: Include goes round in a circle", hint="Take the file out that includes itself.")
    return tuple(_read(file, base, parents) for file in files)


def _parse(line: str, place: str) -> tuple[str, tuple[str, ...]] | None:
    """Keyword and arguments of a line: `Keyword value`, `Keyword=value`, quotes, a comment at the end."""
    stripped = line.strip()
    if not stripped or stripped.startswith("#"):
        return None
    parts = _ASSIGNMENT.fullmatch(stripped)
    keyword = parts.group(1).lower() if parts else stripped.lower()
    rest = parts.group(2).strip() if parts else ""
    try:
        arguments = (rest,) if keyword == "proxycommand" else tuple(_split(rest))
    except ValueError as error:
        raise ConnectError(f"{place}: a quote is opened and not closed") from error
    if not arguments or not arguments[0]:
        raise ConnectError(f"{place}: {keyword} needs a value")
    return keyword, arguments


def _split(text: str) -> list[str]:
    """Words as OpenSSH splits them: quotes group, a word that begins with # ends the line."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    for word in lexer:
        if word.startswith("#"):
            break
        words.append(word)
    return words


def _matches(patterns: Sequence[str], subject: str) -> bool:
    """Whether one of the patterns matches and no negated one does; only `*` and `?` are special."""
    found = False
    for pattern in patterns:
        if fnmatchcase(subject, pattern.removeprefix("!").replace("[", "[[]")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _succeeds(command: str) -> bool:
    """Whether the command of a `Match exec` ends with 0, run by the user's shell as ssh does."""
    try:
        done = subprocess.run(
            [os.environ.get("SHELL") or "/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_EXEC_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _text(found: _Found, keyword: str) -> str | None:
    value = found.values.get(keyword)
    return value.text if value else None


def _port(found: _Found) -> int | None:
    value = found.values.get("port")
    if value is None:
        return None
    if not value.text.isascii() or not value.text.isdigit() or not 0 < int(value.text) < 1 << 16:
        raise ConnectError(f"{value.place}: {value.text!r} is no port (1–65535)")
    return int(value.text)


def _proxy(found: _Found, tokens: Mapping[str, str]) -> Proxy | None:
    """The proxy in force: of ProxyJump and ProxyCommand the one that is set first, `none` switches both off."""
    names = {"proxyjump": "ProxyJump", "proxycommand": "ProxyCommand"}
    keyword = next((keyword for keyword in found.values if keyword in names), None)
    if keyword is None or found.values[keyword].text.lower() == "none":
        return None
    value = found.values[keyword]
    return Proxy(names[keyword], _expand(value.text, tokens), value.text, value.place)


def _agent(value: str | None, tokens: Mapping[str, str], home: Path) -> str | None:
    """The agent's socket that IdentityAgent names; "" for `none`, None for what the environment says."""
    if value is None or value == "SSH_AUTH_SOCK":
        return None
    if value.lower() == "none":
        return ""
    return os.environ.get(value[1:], "") if value.startswith("$") else _expand_path(value, tokens, home)


def _expand_path(text: str, tokens: Mapping[str, str], home: Path) -> str:
    path = _VARIABLE.sub(lambda match: os.environ.get(match.group(1), ""), _expand(text, tokens))
    return str(home) + path[1:] if path == "~" or path.startswith("~/") else str(Path(path).expanduser())


def _expand(text: str, tokens: Mapping[str, str]) -> str:
    return _TOKEN.sub(lambda match: {"%": "%", **tokens}.get(match.group(1), match.group(0)), text)


def _local_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
