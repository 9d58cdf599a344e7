from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hakit.inventory import hostnames, types
from hakit.inventory.types import duration_text, seconds, split_endpoint

if TYPE_CHECKING:
    import ipaddress

GOOD: list[tuple[str, Any, Any]] = [
    ("Name", "a.b_c-1", "a.b_c-1"),
    ("Line", "free text: 100 % é", "free text: 100 % é"),
    ("Block", "two\n\tlines\n", "two\n\tlines\n"),
    ("Word", "a:b;c", "a:b;c"),
    ("Ip", "10.77.0.1", "10.77.0.1"),
    ("Ip", "FD00:0::1", "fd00::1"),
    ("Cidr", "10.77.0.11/24", "10.77.0.11/24"),
    ("Cidr", "fd00::0001/64", "fd00::1/64"),
    ("Network", "10.77.0.0/24", "10.77.0.0/24"),
    ("HostName", "web-1.example.com", "web-1.example.com"),
    ("Port", 65535, 65535),
    ("Endpoint", "10.77.0.100:80", "10.77.0.100:80"),
    ("Endpoint", "[FD00::1]:80", "[fd00::1]:80"),
    ("Endpoint", "*:80", "*:80"),
    ("Endpoint", ":80", ":80"),
    ("Endpoint", "name.example.com:443", "name.example.com:443"),
    ("AbsPath", "/etc/x.d/y", "/etc/x.d/y"),
    ("AbsPath", "/", "/"),
    ("RelPath", "a/b.j2", "a/b.j2"),
    ("Mode", "0644", 0o644),
    ("Mode", "755", 0o755),
    ("Mode", "2775", 0o2775),
    ("UnitName", "getty@tty1.service", "getty@tty1.service"),
    ("UserName", "www-data", "www-data"),
    ("PackageName", "libstdc++6", "libstdc++6"),
    ("Interface", "bond0.10", "bond0.10"),
    ("Duration", "1m30s", 90.0),
    ("Duration", "500ms", 0.5),
    ("Duration", "0.25s", 0.25),
    ("Duration", 0, 0.0),
]
BAD: list[tuple[str, Any]] = [
    *[("Name", value) for value in ("", "-a", ".a", "a b", "a/b", "a\n", "é", "a" * 65, 5)],
    *[("Line", value) for value in ("a\nb", "a\tb", "a\x00", "\x1b[1m", "a\u2028b", "a\u202eb", "\x85", "x" * 4097, 1)],
    *[("Block", value) for value in ("a\x00b", "a\rb", "\x1b")],
    *[("Word", value) for value in ("", "a b", "a\n")],
    *[
        ("Ip", value)
        for value in ("10.77.0.1000", "10.77.0.01", "10.77.0.1/24", "fe80::1%eth0", "host", "", " 10.0.0.1")
    ],
    *[("Cidr", value) for value in ("10.77.0.1", "10.77.0.1/33", "10.77.0.1/255.255.255.0", "10.77.0.1/", "x/24")],
    *[("Network", value) for value in ("10.77.0.1/24", "10.77.0.0/33", "all")],
    *[("HostName", value) for value in ("10.77.0.1000", "-a", "a..b", "a_b-", "a" * 64, "a b", "")],
    *[("Port", value) for value in (0, 65536, "80", True, 80.5)],
    *[
        ("Endpoint", value)
        for value in ("10.77.0.1000:80", "10.77.0.1", "10.77.0.1:0", "fd00::1:80", "[x]:80", "a b:80", "a:b", "a:٣")
    ],
    *[
        ("AbsPath", value)
        for value in ("etc", "/a/../b", "/a//b", "/a/", "/a b", "/a\n", "/a'b", "", "/a/./b", "/a\\b")
    ],
    *[("RelPath", value) for value in ("/a", "../a", "a/../b", "", "a//b", "a/")],
    *[("Mode", value) for value in (420, "0888", "64", "rw-r--r--", "77777", True)],
    *[("UnitName", value) for value in ("nginx", "nginx.conf", "a b.service", "../x.service")],
    *[("UserName", value) for value in ("Root", "1a", "a:b", "", "a" * 33, "a\n")],
    *[("PackageName", value) for value in ("A", "a b", "a;b", "-x", "a=1")],
    *[("Interface", value) for value in ("", "..", "a/b", "a b", "x" * 16)],
    *[("Duration", value) for value in ("3", "3 s", "s", "-1s", "1s1", 3, 1.5, True, None, "٣s", "1e3s")],
]


def check(name: str, value: Any) -> Any:
    return TypeAdapter(getattr(types, name)).validate_json(json.dumps(value), strict=True)


@pytest.mark.parametrize(("name", "value", "result"), GOOD)
def test_accepts(name: str, value: Any, result: Any) -> None:
    assert check(name, value) == result


@pytest.mark.parametrize(("name", "value"), BAD)
def test_refuses(name: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        check(name, value)


@given(st.text())
def test_no_line_break_or_control_character_gets_through(text: str) -> None:
    for name in ("Name", "Line", "Word", "AbsPath", "RelPath", "Endpoint", "HostName", "UnitName", "Interface"):
        try:
            value = check(name, text)
        except ValidationError:
            continue
        assert value.isprintable(), name


@given(st.ip_addresses(), st.integers(1, 65535))
def test_endpoints_come_apart(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> None:
    text = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    assert split_endpoint(check("Endpoint", text)) == (str(address), port)


@given(st.one_of(st.integers(0, 10**6).map(float), st.integers(1, 999).map(lambda ms: ms / 1000)))
def test_durations_are_read_back(value: float) -> None:
    assert seconds(duration_text(value)) == value


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("web", ["web"]),
        ("web[1:3]", ["web1", "web2", "web3"]),
        ("web[01:03].x", ["web01.x", "web02.x", "web03.x"]),
        ("[a:c]", ["a", "b", "c"]),
        ("[y:B]", ["y", "z", "A", "B"]),
        ("[0:10:4]", ["0", "4", "8"]),
        ("[:2]", ["0", "1", "2"]),
        ("r[1:2]s[a:b]", ["r1sa", "r1sb", "r2sa", "r2sb"]),
    ],
)
def test_ranges(pattern: str, expected: list[str]) -> None:
    assert hostnames.expand(pattern) == expected


@given(st.integers(0, 500), st.integers(0, 60), st.integers(1, 9), st.integers(0, 4))
def test_numeric_ranges_hold_both_ends(first: int, count: int, step: int, width: int) -> None:
    last = first + count * step
    begin, end = str(first).zfill(width), str(last).zfill(width)
    if begin[0] == "0" and len(begin) > 1 and len(begin) != len(end):
        return
    names = hostnames.expand(f"h[{begin}:{end}:{step}]")
    assert [int(name[1:]) for name in names] == list(range(first, last + 1, step))
    assert names[0] == f"h{begin}"
    assert names[-1] == f"h{end}"


@given(st.text("[]:0123456789ab-.", max_size=20))
def test_any_pattern_is_expanded_or_refused(pattern: str) -> None:
    try:
        names = hostnames.expand(hostnames.split_port(pattern)[0])
    except ValueError:
        return
    assert len(names) <= hostnames.MAX_HOSTS
    assert all("[" not in name for name in names)


def test_a_model_may_use_the_types_in_annotations() -> None:
    assert TypeAdapter(Annotated[types.Name, "more"]).json_schema()["x-expects"].startswith("a name")
