"""The server's parameters: what a release knows of each, and whether a value is one that it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hakit.components.postgresql.settings import Value

DATA = Path(__file__).parent / "data"
"""A list for each release, taken from its own pg_settings by scripts/postgresql_parameters.py."""
POSTMASTER, INTERNAL = "postmaster", "internal"
OWNED = {
    "listen_addresses": "write  listen",
    "port": "write  port",
    "data_directory": "write  data: {directory: …}",
    "cluster_name": "it is the host's name, by which its standbys and the primary know it",
    "synchronous_standby_names": "write  synchronous",
    "primary_conninfo": "whom a standby follows is read and decided, never configured (its password is in a passfile)",
    "primary_slot_name": "whom a standby follows is read and decided, never configured",
    "recovery_min_apply_delay": "write  delay",
    "promote_trigger_file": "hakit promotes, after it has made sure that no other primary is left",
    "hot_standby": "it is on: a standby that answers no query can't be seen to be well",
    "wal_log_hints": "it is on: pg_rewind needs it",
    "hba_file": "write  access, or hba_extra",
    "ident_file": "write  a template postgresql/pg_ident.conf.j2 beside the inventory",
    "config_file": "it is Debian's",
    "external_pid_file": "it is Debian's",
    "unix_socket_directories": "it is Debian's",
}
"""Parameters that are derived: name → what to do instead of setting it."""
RESTARTED_EXTENSIONS = frozenset(
    {"pg_stat_statements.max", "pg_stat_statements.track_planning", "pg_prewarm.autoprewarm"}
)
"""Parameters of contrib modules that are read at a start alone, or only then for all sessions."""
_NUMBER = re.compile(r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*([A-Za-z]*)\s*")
_SIZES = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_TIMES = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}
"""Units as the server reads them (PostgreSQL documentation, 20.1.1), in bytes and in milliseconds."""
_TRUTH = re.compile(r"on|off|tr?u?e?|fa?l?s?e?|ye?s?|no?|of|1|0", re.IGNORECASE)
_LINE = re.compile(r"\s*([A-Za-z_][\w.$]*)(?:\s*=\s*|\s+)(?:'((?:[^'\\]|''|\\.)*)'|([^'#\s]+))\s*(?:#.*)?")
_INCLUDES = ("include", "include_if_exists", "include_dir")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A row of pg_settings; `least` and `most` are in `unit`, empty where there is none."""

    name: str
    context: str
    kind: str
    unit: str
    least: str
    most: str
    values: tuple[str, ...]

    @property
    def restarts(self) -> bool:
        """Whether only a start reads it."""
        return self.context == POSTMASTER

    def fault(self, value: Value) -> str | None:
        """What is expected instead of a value; None where the server takes it."""
        if self.kind in ("integer", "real"):
            return None if self._in_range(value) else f"expects {self._range()}, got {shown(value)}"
        text = shown(value)
        if self.kind == "bool":
            return None if _TRUTH.fullmatch(text) else f"expects on or off, got {text}"
        if self.kind == "enum":
            good = text.lower() in self.values or (isinstance(value, bool) and {"on", "off"} <= set(self.values))
            known = f"expects {', '.join(self.values)}, got {text}{did_you_mean(text, self.values)}"
            return None if good else known
        return None

    def number(self, value: Value) -> float | None:
        """A numeric value in the parameter's own unit; None where it is none."""
        if isinstance(value, bool):
            return None
        found = _NUMBER.fullmatch(str(value))
        if found is None:
            return None
        number, unit = float(found[1]), found[2]
        if unit:
            scales = _SIZES if self._base in _SIZES else _TIMES if self._base in _TIMES else {}
            if unit not in scales:
                return None
            number *= scales[unit] / (scales[self._base] * self._factor)
        return round(number) if self.kind == "integer" else number

    @property
    def _base(self) -> str:
        return self.unit.lstrip("0123456789")

    @property
    def _factor(self) -> int:
        return int(self.unit[: len(self.unit) - len(self._base)] or 1)

    def _in_range(self, value: Value) -> bool:
        number = self.number(value)
        return number is not None and float(self.least) <= number <= float(self.most)

    def _range(self) -> str:
        what = "a whole number" if self.kind == "integer" else "a number"
        if self._base in _SIZES:
            scale = self._factor * _SIZES[self._base]
            least, most = _size(float(self.least) * scale), _size(float(self.most) * scale)
            return f"a size with its unit (B, kB, MB, GB, TB) from {least} to {most}"
        if self._base in _TIMES:
            bounds = f"{self.least} to {self.most} {self.unit}"
            return f"{what}, or a time with its unit (us, ms, s, min, h, d), from {bounds}"
        return f"{what} from {self.least} to {self.most}"


def shown(value: Value) -> str:
    """A value as the server writes it itself."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)


def _size(number: float) -> str:
    """Bytes in the largest unit that leaves a number of 1 or more; -1 and 0 as they are."""
    for unit in ("TB", "GB", "MB", "kB"):
        if number >= _SIZES[unit]:
            return f"{number / _SIZES[unit]:.4g}{unit}"
    return f"{number:g}" if number <= 0 else f"{number:g}B"


@cache
def known(version: int) -> Mapping[str, Parameter]:
    """The parameters of a release (15, 17) by name in small letters."""
    found = {}
    for line in (DATA / f"{version}.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            name, context, kind, unit, least, most, values = line.split("\t")
            choices = tuple(values.split(",")) if values else ()
            found[name.lower()] = Parameter(name, context, kind, unit, least, most, choices)
    return found


def fault(version: int, name: str, value: Value) -> str | None:
    """What is wrong with a parameter of a release, in words; None where nothing is.

    A name with a dot is an extension's, of which nothing is known here.
    """
    lower = name.lower()
    if lower in OWNED:
        return f"hakit derives {lower}: {OWNED[lower]}"
    if "." in lower:
        return None
    parameter = known(version).get(lower)
    if parameter is None:
        return f"PostgreSQL {version} knows no parameter {name}{did_you_mean(lower, known(version))}"
    if parameter.context == INTERNAL:
        return f"{name} can't be set: it is fixed when the server is built or the cluster is made"
    wrong = parameter.fault(value)
    return f"{name} {wrong}" if wrong else None


def restarts(version: int, name: str) -> bool:
    """Whether a parameter is only read at a start."""
    lower = name.lower()
    parameter = known(version).get(lower)
    return parameter.restarts if parameter else lower in RESTARTED_EXTENSIONS


def parse(line: str) -> tuple[str, str] | None:
    """Name and value of a line of postgresql.conf; None for one that sets nothing: empty, a comment, an include.

    Raises ValueError for what the server would not understand.
    """
    if not line.strip() or line.lstrip().startswith("#"):
        return None
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(line)
    if found[1].lower() in _INCLUDES:
        return None
    text = found[3] if found[2] is None else re.sub(r"\\(.)|''", lambda one: one[1] or "'", found[2])
    return found[1], text


def quoted(text: str) -> str:
    """A value as postgresql.conf holds it: bare where that is unmistakable."""
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?|[A-Za-z][A-Za-z0-9_]*", text):
        return text
    return "'{}'".format(text.replace("\\", "\\\\").replace("'", "''"))


def written(value: Value) -> str:
    """A value of the inventory as postgresql.conf holds it."""
    return quoted(shown(value))
