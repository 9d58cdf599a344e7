"""Hostile values: refused with one message that prints safely, or one token or line in what is rendered."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from hakit.cli.lint import lint
from hakit.components.registry import discover
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.engine.facts import offline
from hakit.errors import InventoryError, SecretError
from hakit.inventory import load, types
from hakit.inventory.core import Core
from hakit.inventory.secrets import Secrets
from hakit.lint import findings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import BaseModel

    from hakit.inventory.model import Site
    from hakit.inventory.origin import Problem

COMPONENTS = discover()
MODELS: dict[str, type[BaseModel]] = {"": Core, **{name: one.Settings for name, one in COMPONENTS.items()}}
HOSTILE = {
    "line break": "a\n    bind :1",
    "carriage return": "a\rb",
    "tab": "a\tb",
    "expression": "{{ 7 * 7 }}",
    "statement": "{% raw %}",
    "comment of Jinja": "{# x #}",
    "quotes": "a'b\"c",
    "backslash": "a\\",
    "shell": "$(id)`id`${HOME};id&&id|id",
    "comment": "a # b ! c",
    "braces": "} x {",
    "NUL": "a\0b",
    "DEL": "a\x7fb",
    "ESC": "\x1b[2J\x1b]0;owned\x07",
    "C1": "\x9b31m",
    "line separator": "a\u2028b\u2029c\x85d",
    "direction": "\u202egpj.exe\u2066",
    "lone surrogate": "\ud800",
    "zero width": "a\u200b\ufeffb",
    "long": "x" * 10_000,
    "empty": "",
    "spaces": "   ",
    "traversal": "../../etc/shadow",
    "option": "--config=/etc/shadow",
    "percent": "%s%n%[src]%(x)s",
}


def leaves(schema: dict[str, Any], known: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all texts that a model holds: `*` is any key, `0` a place in a list; a path's end may be a key."""
    if "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    for branch in schema.get("anyOf", ()):
        yield from leaves(branch, known, path)
    if schema.get("type") == "string":
        yield path
    elif schema.get("type") == "array":
        yield from leaves(schema["items"], known, (*path, "0"))
    for name, inner in schema.get("properties", {}).items():
        yield from leaves(inner, known, (*path, name))
    for inner in schema.get("patternProperties", {}).values():
        yield (*path, "*key")
        yield from leaves(inner, known, (*path, "*"))


def settled(path: tuple[str, ...], value: str) -> Any:
    """Settings that hold nothing but a text at a path."""
    if not path:
        return value
    inner = settled(path[1:], value)
    if path[0] == "0":
        return [inner]
    return {value: {}} if path[0] == "*key" else {("x" if path[0] == "*" else path[0]): inner}


def every_text() -> list[tuple[str, tuple[str, ...]]]:
    found = []
    for name, model in MODELS.items():
        schema = model.model_json_schema(mode="validation")
        found += [(name, path) for path in dict.fromkeys(leaves(schema, schema.get("$defs", {})))]
    return found


def loaded(folder: Path, hakit: dict[str, Any], **more: Any) -> tuple[Site | None, tuple[Problem, ...]]:
    """The site, unless it is refused, and what is said of it; every problem is placed, short and prints safely."""
    inventory = folder / "hosts.json"
    hosts = {"h1": {"ansible_host": "10.1.0.1", "hakit": hakit, **more}, "h2": {"ansible_host": "10.1.0.2"}}
    text = json.dumps({"all": {"hosts": hosts, "children": {"g": {"hosts": {"h1": None, "h2": None}}}}})
    inventory.write_text(text)
    try:
        site = load(inventory, {name: one.Settings for name, one in COMPONENTS.items()})
        told = findings(site, COMPONENTS)
    except InventoryError as error:
        site, told = None, error.problems
    for problem in told:
        assert problem.mark is not None
        assert problem.text().isprintable()
        assert len(problem.text()) < 5000
    return (None if any(one.severity == "error" for one in told) else site), told


@pytest.mark.parametrize(("component", "path"), every_text(), ids=lambda part: ".".join(part) or "core")
def test_every_text_is_taken_or_refused(component: str, path: tuple[str, ...], tmp_path: Path) -> None:
    # Each text gets a few of the hostile values, and all texts together get all of them.
    first = sum(map(len, path))
    for name, value in [*HOSTILE.items(), *HOSTILE.items()][first % len(HOSTILE) :][:4]:
        below = settled(path, value)
        site, told = loaded(tmp_path, {component: below} if component else below)
        assert site or told, name


KEPT: dict[str, tuple[dict[str, Any], str]] = {
    "haproxy extra": ({"haproxy": {"extra": ["VALUE"]}}, "/etc/haproxy/haproxy.cfg"),
    "haproxy defaults": ({"haproxy": {"defaults": {"extra": ["VALUE"]}}}, "/etc/haproxy/haproxy.cfg"),
    "haproxy log": ({"haproxy": {"log": "VALUE"}}, "/etc/haproxy/haproxy.cfg"),
    "frontend": (
        {
            "haproxy": {
                "frontends": {"f": {"bind": ["10.1.0.1:80 VALUE"], "backend": "b", "extra": ["VALUE"]}},
                "backends": {"b": {"group": "g", "port": 80, "options": "VALUE", "extra": ["VALUE"]}},
            }
        },
        "/etc/haproxy/haproxy.cfg",
    ),
    "server": (
        {"haproxy": {"backends": {"b": {"group": "g", "port": 80, "servers": {"h1": {"options": "VALUE"}}}}}},
        "/etc/haproxy/haproxy.cfg",
    ),
    "url": (
        {"haproxy": {"backends": {"b": {"group": "g", "port": 80, "check": {"http": "/VALUE"}}}}},
        "/etc/haproxy/haproxy.cfg",
    ),
    "keepalived extra": ({"keepalived": {"extra": ["VALUE"]}}, "/etc/keepalived/keepalived.conf"),
    "script": ({"keepalived": {"scripts": {"s": {"command": "/VALUE"}}}}, "/etc/keepalived/keepalived.conf"),
    "track file": ({"keepalived": {"files": {"f": {"path": "/VALUE"}}}}, "/etc/keepalived/keepalived.conf"),
    "hosts": ({"system": {"hosts_file": True, "hosts": {"10.9.9.9": ["VALUE"]}}}, "/etc/hosts"),
}


def put(data: Any, value: str) -> Any:
    if isinstance(data, dict):
        return {key: put(inner, value) for key, inner in data.items()}
    if isinstance(data, list):
        return [put(inner, value) for inner in data]
    return data.replace("VALUE", value) if isinstance(data, str) else data


def rendered(site: Site, path: str) -> str:
    host = site.hosts["h1"]
    return declare(site, COMPONENTS, host, offline(site, host), Templates(site)).contents()[path].reveal()


@pytest.mark.parametrize("where", KEPT)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)
@given(value=st.sampled_from(sorted(HOSTILE.values(), key=len)[:-1]) | st.text(max_size=12))
def test_what_is_taken_lands_on_one_line_as_it_is(where: str, value: str, tmp_path: Path) -> None:
    hakit, path = KEPT[where]
    site, _ = loaded(tmp_path, put(hakit, value))
    plain, _ = loaded(tmp_path, put(hakit, {"haproxy log": "/dev/log local1"}.get(where, "plain")))
    assert plain is not None
    if site is None or not value:
        return
    text = rendered(site, path)
    lines, expected = text.split("\n"), rendered(plain, path).split("\n")
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}
    optional = where in ("frontend", "server") and not value.strip()
    assert optional or len(lines) == len(expected)
    changed = [line for line, other in zip(lines, expected, strict=False) if line != other]
    assert optional or changed or value in ("plain", "/dev/log local1")
    assert optional or all(value in line for line in changed)


TEXT_TYPES = [
    name
    for name in types.__all__
    if name[0].isupper() and name not in ("Settings", "Secret", "Port", "Duration", "Mode", "Block")
]


@given(st.sampled_from(list(HOSTILE.values())) | st.text())
def test_no_type_of_text_takes_what_is_not_printable(text: str) -> None:
    for name in TEXT_TYPES:
        adapter: TypeAdapter[str] = TypeAdapter(getattr(types, name))
        try:
            value = adapter.validate_python(text, strict=True)
        except ValidationError:
            continue
        assert value.isprintable(), name


YAML = {
    "hexadecimal": "{haproxy: {maxconn: 0x" + "f" * 20_000 + "}}",
    "binary": "{haproxy: {maxconn: 0b" + "1" * 80_000 + "}}",
    "base 60": "{haproxy: {maxconn: 1" + ":59" * 3000 + "}}",
    "decimal": "{haproxy: {maxconn: " + "9" * 5000 + "}}",
    "not a number": "{haproxy: {maxconn: .nan, hard_stop_after: .inf}}",
    "float": "{haproxy: {maxconn: 1.0e+400}}",
    "dates": "{haproxy: {maxconn: 2020-01-01, 2020-01-01: 3}}",
    "octal": "{system: {files: {/x: {mode: 0644, content: 010}}}}",
    "key twice": "{haproxy: {maxconn: 200, maxconn: 300}}",
    "key of control characters": '{"sys\\e[31mtem\\u202e": {}, haproxy: {"\\x07k\\x9b": 1}}',
    "long key": "{haproxy: {? '" + "x" * (1 << 20) + "'\n : 1}}",
    "surrogate": '{haproxy: {log: "\\ud800"}}',
    "boolean keys": "{haproxy: {yes: 1, null: 2, 1: 3}}",
}


@pytest.mark.parametrize("case", YAML)
def test_lint_tells_it_safely_and_briefly(case: str, tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(f"all: {{hosts: {{h: {{ansible_host: 10.1.0.1, hakit: {YAML[case]}}}}}}}\n", encoding="utf-8")
    result = CliRunner().invoke(lint, ["-i", str(path)], standalone_mode=False, color=True)
    assert result.exception is None
    assert result.return_value == 2
    assert result.output.replace("\n", "").isprintable()
    assert len(result.output) < 10_000


def _worst() -> dict[str, str]:
    addresses = ", ".join(f"h{i}: {{ansible_host: 10.{i // 250}.0.{i % 250 + 1}}}" for i in range(20))
    instance = "interface: eth0, virtual_router_id: 1, addresses"
    instances = ", ".join(f"k{i}: {{{instance}: [10.{i // 250}.1.{i % 250 + 1}/24]}}" for i in range(300))
    pools = ", ".join(f"k{i}: {{group: all, port: 80}}" for i in range(30))
    unknown = ", ".join(f"k{i}: 1" for i in range(5000))
    return {
        "unknown settings": f"all: {{hosts: {{a: {{hakit: {{haproxy: {{{unknown}}}}}}}}}}}",
        "instances": f"all: {{hosts: {{a: , b: }}, vars: {{hakit: {{keepalived: {{instances: {{{instances}}}}}}}}}}}",
        "pools": f"all: {{hosts: {{{addresses}}}, vars: {{hakit: {{haproxy: {{backends: {{{pools}}}}}}}}}}}",
        "quotes": 'all: {hosts: {a: {hakit: {keepalived: {scripts: {x: {command: "/' + "'" * 4001 + '"}}}}}}',
        "options": "all: {hosts: {a: {hakit: {haproxy: {log: '/" + "a " * 2000 + "'}}}}}",
    }


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))


@pytest.mark.parametrize("case", _worst())
def test_lint_ends_soon_and_small(case: str, tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(_worst()[case])
    argv = [sys.executable, "-m", "hakit", "lint", "-i", str(path)]
    done = subprocess.run(argv, capture_output=True, timeout=200, check=False, preexec_fn=_limited)
    assert done.returncode in (0, 2), done.stderr[-2000:]
    assert done.stderr == b""


@pytest.mark.parametrize("value", ["a\nb", "a\0b", "\x1b[2J", "a\u2028b"])
def test_a_secret_can_not_break_out_of_its_line(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stats = {"user": "admin", "password": {"secret": "page"}}
    monkeypatch.setenv("HAKIT_SECRET_PAGE", "good")
    site, _ = loaded(tmp_path, {"haproxy": {"stats": stats}})
    assert site is not None
    monkeypatch.setattr(Secrets, "get", lambda _self, _name: value)
    with pytest.raises(SecretError) as caught:
        rendered(site, "/etc/haproxy/haproxy.cfg")
    assert value not in str(caught.value)
    refused, told = loaded(tmp_path, {"haproxy": {"stats": stats}})
    assert refused is None
    assert "the secret page holds more than one line" in told[-1].message


_TOKEN = re.compile(r"""\\.|[^\\'"# ]""")
"""A character as HAProxy reads it (its configuration manual, 2.2)."""


@pytest.mark.parametrize("user", ["a#b", "a'b", 'a"b', "a\\b", "$HOME", "`id`", "ü"])
def test_quoted_words_are_read_back(user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_PAGE", "p w'\"#\\")
    site, _ = loaded(tmp_path, {"haproxy": {"stats": {"user": user, "password": {"secret": "page"}}}})
    assert site is not None
    (line,) = (one for one in rendered(site, "/etc/haproxy/haproxy.cfg").split("\n") if "stats auth" in one)
    word = line.removeprefix("    stats auth ")
    read = "".join(one[-1] for one in _TOKEN.findall(word))
    assert read == f"{user}:p w'\"#\\"
    assert "".join(_TOKEN.findall(word)) == word
