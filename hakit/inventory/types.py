"""The vocabulary of settings: value types that refuse what must not land in a configuration.

A component's settings are frozen models on `Settings`, their fields of these types. All raise pydantic's errors with
a text of the form "expects …, got …", which the loader shows with the place of the value. Validated values are plain
`str`, `int` and `float`; the loader replaces them by values that remember their origin (`hakit.inventory.origin`).

    Name Line Block Word                      text
    Ip Cidr Network Port Endpoint HostName    the network
    AbsPath RelPath Mode                      files
    UnitName UserName PackageName Interface   things of the operating system
    Duration                                  seconds
    Mac Size                                  a network card's address, an amount of bytes
    Secret                                    {secret: NAME}
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from hakit.inventory.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "AbsPath",
    "Block",
    "Cidr",
    "Duration",
    "Endpoint",
    "HostName",
    "Interface",
    "Ip",
    "Line",
    "Mac",
    "Mode",
    "Name",
    "Network",
    "PackageName",
    "Port",
    "RelPath",
    "Secret",
    "Settings",
    "Size",
    "UnitName",
    "UserName",
    "Word",
    "duration_text",
    "expected",
    "mebibytes",
    "seconds",
    "split_endpoint",
]

MAX_LINE: Final = 4096
"""Longest single line in characters: config readers of keepalived and HAProxy cut or refuse not far above."""
MAX_PATH: Final = 4095
"""Linux's PATH_MAX without its final NUL."""


class Settings(BaseModel):
    """The base of all settings: unknown keys are errors, values never change after loading.

    The loader validates as from JSON and strictly: "51" is no integer, 1 is no boolean, a list may fill a tuple.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


def expected(what: str, got: object) -> PydanticCustomError:
    """The error of a value that is not what is allowed: raise it in a validator of your own."""
    shown = repr(got) if len(repr(got)) <= 80 else repr(got)[:77] + "…"  # noqa: PLR2004 - one line of a terminal
    return PydanticCustomError("hakit", "{text}", {"text": f"expects {what}, got {shown}"})


def _matching(pattern: str, what: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise expected(what, value)
        return value

    return check


def _line(value: str) -> str:
    if not value.isprintable():
        raise expected("one line of printable text (no line breaks, tabs or control characters)", value)
    if len(value) > MAX_LINE:
        raise expected(f"at most {MAX_LINE} characters on a line", value)
    return value


def _block(value: str) -> str:
    for line in value.replace("\t", " ").split("\n"):
        _line(line)
    return value


def _word(value: str) -> str:
    _line(value)
    if not value or " " in value:
        raise expected("a word without spaces", value)
    return value


def _ip(value: str) -> str:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        address = None
    if address is None or "%" in value:
        raise expected("an IP address such as 10.77.0.11 or fd00::11", value)
    return str(address)


def _cidr(value: str) -> str:
    what = "an address with its prefix length such as 10.77.0.11/24"
    _, slash, prefix = value.partition("/")
    if not slash or not (prefix.isascii() and prefix.isdecimal()) or "%" in value:
        raise expected(what, value)
    try:
        return str(ipaddress.ip_interface(value))
    except ValueError:
        raise expected(what, value) from None


def _network(value: str) -> str:
    address = _cidr(value) if "/" in value else value
    try:
        return str(ipaddress.ip_network(address))
    except ValueError:
        near = ""
        if "/" in value:
            near = f" (did you mean {ipaddress.ip_interface(address).network}?)"
        raise expected(f"a network such as 10.77.0.0/24{near}", value) from None


_HOST_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_HOST_LABEL}(?:\.{_HOST_LABEL})*")


def _host_name(value: str) -> str:
    # A name whose last label is a number would be taken for an address: 10.77.0.1000 is a typing error, not a name.
    if not _HOST_NAME.fullmatch(value) or value.rpartition(".")[2].isdecimal():
        raise expected("a host name (letters, digits, '-', '.')", value)
    return value


def split_endpoint(value: str) -> tuple[str, int]:
    """Host and port of an `Endpoint`: `10.77.0.100:80`, `[fd00::1]:80`, `*:80`; brackets are taken off.

    Raises ValueError.
    """
    host, colon, port = value.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or not 0 < int(port) <= 65535:  # noqa: PLR2004 - TCP
        raise ValueError(value)
    if host.startswith("[") and host.endswith("]"):
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    if ":" in host or "%" in host:
        raise ValueError(value)
    return host, int(port)


def _endpoint(value: str) -> str:
    what = "address:port such as 10.77.0.100:80, [fd00::1]:80 or *:80"
    try:
        host, port = split_endpoint(value)
    except ValueError:
        raise expected(what, value) from None
    if ":" in host:
        return f"[{host}]:{port}"
    if host not in ("", "*"):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            if not _HOST_NAME.fullmatch(host) or host.rpartition(".")[2].isdecimal():
                raise expected(what, value) from None
    return value


def _abs_path(value: str) -> str:
    what = "an absolute path without '..', spaces, quotes or backslashes"
    _line(value)
    parts = value.split("/")[1:]
    if not value.startswith("/") or len(value) > MAX_PATH or re.search(r"[\s'\"\\]", value):
        raise expected(what, value)
    if value != "/" and any(part in ("", ".", "..") for part in parts):
        raise expected("an absolute path without '..', '/./', '//' or a final '/'", value)
    return value


def _rel_path(value: str) -> str:
    _line(value)
    parts = value.split("/")
    if not value or len(value) > MAX_PATH or "\\" in value or any(part in ("", ".", "..") for part in parts):
        raise expected("a path below the folder it belongs to, without '..', '//' or a leading '/'", value)
    return value


def _mode(value: Any) -> Any:
    what = "an octal file mode in quotes such as '0644'"
    if isinstance(value, int) and not isinstance(value, bool):
        raise PydanticCustomError(
            "hakit", "{text}", {"text": f"expects {what}; without quotes YAML reads the number differently"}
        )
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3}|0?[0-7]{4}", value):
        raise expected(what, value)
    return int(value, 8)


_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)")


def seconds(value: str) -> float:
    """Seconds of a duration: `3s`, `500ms`, `2m`, `1m30s`, `0.5s`. Raises ValueError."""
    parts = list(_DURATION.finditer(value))
    if not parts or "".join(part.group(0) for part in parts) != value:
        raise ValueError(value)
    return round(sum(float(part.group(1)) * _UNITS[part.group(2)] for part in parts), 6)


def duration_text(value: float) -> str:
    """Seconds as a duration that `seconds` reads back: 90 → 90s, 0.5 → 500ms."""
    if value and value < 1 and round(value * 1000, 3) == round(value * 1000):
        return f"{round(value * 1000)}ms"
    return f"{value:.6f}".rstrip("0").rstrip(".") + "s"


_MEBIBYTES: Final = {"MiB": 1, "GiB": 1024, "TiB": 1024 * 1024}


def mebibytes(value: str) -> int:
    """MiB of a size: `512MiB`, `20GiB`, `1TiB`. Raises ValueError."""
    number, unit = value[:-3], value[-3:]
    if unit not in _MEBIBYTES or not (number.isascii() and number.isdecimal()) or len(number) > 6:  # noqa: PLR2004 - 1 EiB
        raise ValueError(value)
    return int(number) * _MEBIBYTES[unit]


def _size(value: str) -> str:
    try:
        if mebibytes(value) > 0:
            return value
    except ValueError:
        pass
    raise expected("a size such as 512MiB, 20GiB", value)


def _mac(value: str) -> str:
    # The lowest bit of the first byte marks the address of a group of stations (IEEE 802).
    if not re.fullmatch(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}", value) or int(value[:2], 16) & 1:
        raise expected("the MAC address of one card, such as 52:54:00:00:00:01", value)
    return value.lower()


def _duration(value: Any) -> Any:
    what = "a duration with its unit such as 500ms, 3s, 2m, 1h"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value == 0:
            return 0.0
        raise expected(f"{what} (write {value}s for seconds)", value)
    if not isinstance(value, str):
        raise expected(what, value)
    try:
        return seconds(value)
    except ValueError:
        raise expected(what, value) from None


def _string(pattern: str, expects: str, kind: str = "") -> WithJsonSchema:
    """The JSON Schema of a type; `x-expects` is what errors and the reference say, whatever a field's description is.

    `x-kind` tells of values that are not written as they are held: `duration`, `mode`.
    """
    extra = {"x-kind": kind} if kind else {}
    return WithJsonSchema({"type": "string", "pattern": pattern, "x-expects": expects, **extra})


Name = Annotated[
    str,
    AfterValidator(
        _matching(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", "a name of letters, digits, '.', '_' and '-' (at most 64)")
    ),
    _string(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$", "a name of letters, digits, '.', '_' and '-'"),
]
"""An identifier that is safe in file names and in every daemon's configuration."""

Line = Annotated[str, AfterValidator(_line), _string(r"^[^\n\r\t\u0000]*$", "one line of printable text")]
"""Free text on one line: printable, no line break, tab, NUL, control or direction-changing character."""

Block = Annotated[str, AfterValidator(_block), WithJsonSchema({"type": "string", "x-expects": "text in lines"})]
"""Free text in lines: each printable, tabs allowed."""

Word = Annotated[str, AfterValidator(_word), _string(r"^\S+$", "a word without spaces")]
"""Printable text without any space."""

Ip = Annotated[str, AfterValidator(_ip), _string(r"^[0-9A-Fa-f:.]+$", "an IPv4 or IPv6 address")]
"""An IPv4 or IPv6 address in its canonical form."""

Cidr = Annotated[
    str, AfterValidator(_cidr), _string(r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$", "an address with its prefix length")
]
"""An interface address: `10.77.0.11/24`, canonical."""

Network = Annotated[str, AfterValidator(_network), _string(r"^[0-9A-Fa-f:.]+/[0-9]{1,3}$", "a network")]
"""A network: `10.77.0.0/24`, canonical, no host bits."""

HostName = Annotated[str, AfterValidator(_host_name), _string(r"^[A-Za-z0-9_.-]+$", "a host name")]
"""A name of the DNS or of /etc/hosts."""

Port = Annotated[int, Field(ge=1, le=65535)]
"""A TCP or UDP port."""

Endpoint = Annotated[str, AfterValidator(_endpoint), _string(r"^.*:[0-9]{1,5}$", "address:port, *:port for all")]
"""`address:port`, `[v6]:port`, `name:port`, `*:port` or `:port`; take it apart with `split_endpoint`."""

AbsPath = Annotated[str, AfterValidator(_abs_path), _string(r"^/[^\s'\"\\]*$", "an absolute path")]
"""An absolute, normal path without spaces, quotes or backslashes."""

RelPath = Annotated[str, AfterValidator(_rel_path), _string(r"^[^/].*$", "a path below a folder")]
"""A path that can't leave the folder it is relative to."""

Mode = Annotated[
    int,
    BeforeValidator(_mode),
    _string("^0?[0-7]{3,4}$", "an octal file mode in quotes such as '0644'", "mode"),
]
"""A file mode, written `'0644'`; the value is the integer 0o644."""

UnitName = Annotated[
    str,
    AfterValidator(
        _matching(
            r"[A-Za-z0-9:_.\\@-]{1,240}\.(?:service|socket|timer|mount|automount|path|target|slice|swap)",
            "a systemd unit with its suffix such as nginx.service",
        )
    ),
    _string(r"^[A-Za-z0-9:_.\\@-]+\.[a-z]+$", "a systemd unit with its suffix"),
]
"""A systemd unit with its suffix (systemd.unit(5))."""

UserName = Annotated[
    str,
    AfterValidator(_matching(r"[a-z_][a-z0-9_-]{0,31}", "a user or group name of small letters, digits, '_' and '-'")),
    _string(r"^[a-z_][a-z0-9_-]{0,31}$", "a user or group name"),
]
"""A user or group name as useradd(8) of Debian takes it."""

PackageName = Annotated[
    str,
    AfterValidator(_matching(r"[a-z0-9][a-z0-9+.-]{1,127}", "the name of a Debian package")),
    _string(r"^[a-z0-9][a-z0-9+.-]+$", "the name of a Debian package"),
]
"""A Debian package (Debian Policy 5.6.1)."""

Interface = Annotated[
    str,
    AfterValidator(_matching(r"(?!\.{1,2}\Z)[A-Za-z0-9_.@-]{1,15}", "the name of a network interface (at most 15)")),
    _string(r"^[A-Za-z0-9_.@-]{1,15}$", "the name of a network interface"),
]
"""A network interface (IFNAMSIZ leaves 15 characters)."""

Duration = Annotated[
    float,
    BeforeValidator(_duration),
    _string(r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$", "a duration with its unit such as 500ms, 3s, 2m, 1h", "duration"),
]
"""A duration, written with its unit; the value is in seconds."""

Mac = Annotated[
    str,
    AfterValidator(_mac),
    _string("^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$", "a MAC address such as 52:54:00:00:00:01"),
]
"""The address of one network card, in small letters."""

Size = Annotated[str, AfterValidator(_size), _string("^[0-9]{1,6}(MiB|GiB|TiB)$", "a size such as 512MiB, 20GiB")]
"""An amount of memory or of room on a disk, as written; `mebibytes` counts it."""
