"""The values of HAProxy's settings: what HAProxy itself would refuse is refused with its place in the inventory."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, TypeAdapter, WithJsonSchema

from hakit.inventory.types import Duration, Endpoint, Line, Word, expected, split_endpoint

_ENDPOINT: TypeAdapter[str] = TypeAdapter(Endpoint)
LONGEST = 2_147_483.647
"""Seconds: HAProxy counts milliseconds in 31 bits (its configuration manual, 2.5)."""
ROUNDING = 1e-6
"""Milliseconds that a duration may be off because it is held in seconds."""
MOST = 10_000_000
"""Connections, of anything: more than a process can have."""
FACILITIES = frozenset(
    [
        *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news"),
        *("uucp", "cron", "auth2", "ftp", "ntp", "audit", "alert", "cron2"),
        *(f"local{number}" for number in range(8)),
    ]
)
LEVELS = frozenset(["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"])
FORMATS = frozenset(["local", "rfc3164", "rfc5424", "priority", "short", "timed", "iso", "raw"])
_LOG = re.compile(
    r"(?P<target>\S+)(?: +len +(?P<length>[0-9]{2,5}))?(?: +format +(?P<format>\w+))?"
    r" +(?P<facility>\w+)(?: +(?P<level>\w+))?(?: +(?P<minimum>\w+))?"
)
_SOCKET = re.compile(r"/[\w/.@+-]{1,100}", re.ASCII)
_SIZE = re.compile(r"[0-9]{1,9}(?:kB|MB|GB|TB)")
_WITH_PORT = re.compile(r".*\]:[0-9]+|[^:]*:[0-9]+")


def is_ip(address: str) -> bool:
    """Whether it is an address and no name."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _listening(value: str) -> str:
    host, _ = split_endpoint(value)
    if host not in ("", "*") and not is_ip(host):
        raise expected("an IP address and a port: HAProxy does not start where it can't look a name up", value)
    return value


def _nameserver(value: str) -> str:
    host, _ = split_endpoint(_listening(value))
    address = ipaddress.ip_address(host) if is_ip(host) else None
    nobody = address is None or address.is_unspecified or address.is_multicast or host == "255.255.255.255"
    if nobody:
        raise expected("the IP address and port of a name server such as 10.77.0.53:53", value)
    return value


def _bind(value: str) -> str:
    address, space, options = value.partition(" ")
    if not address:
        raise expected("address:port, then options if any", value)
    if not options.isprintable():
        raise expected("options on one line of printable text", value)
    return _listening(_ENDPOINT.validate_python(address)) + space + options


def bind_address(bind: str) -> tuple[str, int]:
    """Address and port of a `Bind`; `*` and the empty address mean all."""
    return split_endpoint(bind.partition(" ")[0])


def _url_path(value: str) -> str:
    if not value.startswith("/") or not value.isascii() or not value.isprintable() or set(value) & set(" \"'\\#{}"):
        raise expected("a path that starts with '/', without spaces, quotes, '#' or braces", value)
    return value


def _time(value: float) -> float:
    if value > LONGEST:
        raise expected("at most 24d20h (HAProxy counts no further)", f"{value:g}s")
    if abs(value * 1000 - round(value * 1000)) > ROUNDING:
        raise expected("whole milliseconds (HAProxy knows nothing shorter)", f"{value:g}s")
    return value


def _pause(value: float) -> float:
    if value <= 0:
        raise expected("1ms or more", f"{value:g}s")
    return value


def _log(value: str) -> str:
    """HAProxy's configuration manual, 3.1, log."""
    found = _LOG.fullmatch(value.strip(" "))
    good = (
        found is not None
        and _is_log_target(found["target"])
        and found["facility"] in FACILITIES
        and LEVELS.issuperset(filter(None, (found["level"], found["minimum"])))
        and (found["format"] is None or found["format"] in FORMATS)
    )
    if not good:
        raise expected("where to log and a facility such as '/dev/log local0' or '10.77.0.5:514 local0 notice'", value)
    return value


def _is_log_target(target: str) -> bool:
    """A socket's path, an address with a port or without, or a file descriptor."""
    if target in ("stdout", "stderr"):
        return True
    if target.startswith("/"):
        return _SOCKET.fullmatch(target) is not None
    if not _WITH_PORT.fullmatch(target):
        return is_ip(target)
    try:
        return is_ip(split_endpoint(target)[0])
    except ValueError:
        return False


def _user(value: str) -> str:
    if ":" in value:
        raise expected("a name without ':', which ends the name", value)
    return value


def quoted(text: str) -> str:
    """A word as HAProxy reads it back (its configuration manual, 2.2). Raises ValueError, without showing the text."""
    if not text.isprintable():
        raise ValueError("holds more than one line of printable text")
    return re.sub(r"""([\\"'# ])""", r"\\\1", text)


def _lag(value: str) -> str:
    if _SIZE.fullmatch(value) is None:
        raise expected("an amount of WAL with PostgreSQL's unit such as 512kB, 16MB or 1GB", value)
    return value


Listening = Annotated[Endpoint, AfterValidator(_listening)]
"""An endpoint with an IP address, or with none."""
Nameserver = Annotated[Endpoint, AfterValidator(_nameserver)]
"""Where a name server is."""
Bind = Annotated[
    str,
    AfterValidator(_bind),
    WithJsonSchema({"type": "string", "x-expects": "address:port, then HAProxy's own options if any"}),
]
"""`address:port` and, after a space, HAProxy's own bind options: `10.77.0.100:443 ssl crt /etc/ssl/web.pem`."""
UrlPath = Annotated[
    str, AfterValidator(_url_path), WithJsonSchema({"type": "string", "x-expects": "the path of a URL"})
]
"""The path of a URL."""
Time = Annotated[Duration, AfterValidator(_time)]
"""A duration as HAProxy can hold it; 0 is none."""
Pause = Annotated[Time, AfterValidator(_pause)]
"""A duration that can't be nothing."""
LogTarget = Annotated[Line, AfterValidator(_log)]
"""Where to log and as what."""
AuthUser = Annotated[Word, AfterValidator(_user)]
"""A name of HTTP's basic authentication (RFC 7617, 2)."""
_WAL = {"type": "string", "x-expects": "an amount of WAL such as 16MB"}
Lag = Annotated[str, AfterValidator(_lag), WithJsonSchema(_WAL)]
"""How far a standby may be behind, in PostgreSQL's units (19.1.1 of its manual)."""
Connections = Annotated[int, Field(ge=1, le=MOST)]
"""A number of connections."""
