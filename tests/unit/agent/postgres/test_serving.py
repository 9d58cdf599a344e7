from __future__ import annotations

import ast
import zlib

import pytest

from hakit.agent.bootstrap import RESIDENT_ONLY, bundle
from hakit.agent.postgres.library import sources
from hakit.agent.postgres.serving import Allowed


@pytest.mark.parametrize(
    ("address", "welcome"),
    [
        ("10.77.0.21", True),
        ("::ffff:10.77.0.21", True),
        ("10.77.0.22", False),
        ("10.77.0.11", True),
        ("192.168.7.9", True),
        ("192.168.8.9", False),
        ("::ffff:192.168.8.9", False),
        ("2001:db8::5", True),
        ("2001:db8::6", False),
        ("fe80::1%eth0", False),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::ffff:127.0.0.1", True),
        ("::1", True),
        ("::", False),
        ("0.0.0.0", False),  # noqa: S104 - nobody binds here
    ],
)
def test_only_members_balancers_and_this_host_are_answered(address: str, welcome: bool) -> None:
    allowed = Allowed(["10.77.0.21", "10.77.0.11/32", "192.168.7.0/24", "2001:db8::5"])
    assert (address in allowed) == welcome


def test_the_library_has_what_the_agent_is_not_sent() -> None:
    files = sources()
    for name in RESIDENT_ONLY:
        assert name == "postgres/library" or f"hakit/agent/{name}.py" in files


def test_what_the_agent_is_sent_needs_nothing_that_it_is_not() -> None:
    names = zlib.decompress(bundle().compressed).decode().split("\0")
    sent = dict(zip(names[::2], names[1::2], strict=True))
    unsent = {f"hakit.agent.{name.replace('/', '.')}" for name in RESIDENT_ONLY}
    assert not unsent & sent.keys()
    assert "hakit.agent.postgres.guard" in sent
    for name, text in sent.items():
        imported = {
            f"{node.module}.{one.name}"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.ImportFrom)
            for one in node.names
        }
        assert not {one for one in imported if one in unsent or one.rpartition(".")[0] in unsent}, name
