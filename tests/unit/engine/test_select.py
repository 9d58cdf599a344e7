"""Which hosts a pattern means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hakit.engine.select import select, select_components
from hakit.errors import UsageError
from hakit.inventory.model import Group
from tests.unit.engine.sites import host, site

SITE = site(host("lb1", "balancers"), host("lb2", "balancers"), host("web1", "web"), host("web2", "web"))


@pytest.mark.parametrize(
    ("patterns", "hosts"),
    [
        ((), ("lb1", "lb2", "web1", "web2")),
        (("all",), ("lb1", "lb2", "web1", "web2")),
        (("web",), ("web1", "web2")),
        (("web*", "lb2"), ("lb2", "web1", "web2")),
        (("web2,lb1",), ("lb1", "web2")),
        (("!web",), ("lb1", "lb2")),
        (("balancers", "!lb1"), ("lb2",)),
    ],
)
def test_patterns(patterns: tuple[str, ...], hosts: tuple[str, ...]) -> None:
    assert select(SITE, patterns) == hosts


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (("wbe1",), "matches no host and no group (did you mean web1?)"),
        (("!nobody",), "matches no host"),
        (("lb1", "!balancers"), "leaves no host"),
        (("",), "is empty"),
    ],
)
def test_a_pattern_that_means_nothing_is_an_error(patterns: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as error:
        select(SITE, patterns)
    assert message in error.value.message


def test_what_is_empty_is_named() -> None:
    with pytest.raises(UsageError, match=r"hosts\.yml: the inventory has no hosts"):
        select(site(), ())
    unused = replace(SITE, groups={**SITE.groups, "spare": Group("spare", ())})
    with pytest.raises(UsageError, match="--limit spare: the group has no hosts"):
        select(unused, ("spare",))


def test_components() -> None:
    assert select_components(["haproxy", "system"], ["haproxy"]) == frozenset({"haproxy"})
    assert select_components(["haproxy"], []) is None
    with pytest.raises(UsageError, match=r"did you mean haproxy\?"):
        select_components(["haproxy"], ["haprox"])
