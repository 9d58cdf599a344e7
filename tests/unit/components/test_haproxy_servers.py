"""What `hakit status` makes of HAProxy's statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.components.base import Answer
from hakit.components.haproxy import Haproxy
from tests.unit.components.sites import site

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Site

HAPROXY = Haproxy()
HEAD = "# pxname,svname,qcur,status,lastchg,check_status,check_code,\n"


def balancer(folder: Path) -> Site:
    pools = {"web": {"group": "web", "port": 80}}
    frontends = {"web": {"bind": ["*:80"], "backend": "web"}}
    haproxy = {"haproxy": {"frontends": frontends, "backends": pools}}
    return site(folder, {"lb1": haproxy, "web1": {}, "web2": {}}, {"web": ["web1", "web2"]})


@pytest.mark.parametrize(
    ("rows", "state", "level", "detail"),
    [
        (["UP,9,L7OK", "UP,9,L7OK"], "2 of 2 up", "good", ""),
        (["UP,9,L7OK", "UP 1/2,9,L4CON"], "2 of 2 up", "good", ""),
        (["no check,9,", "UP,9,L4OK"], "2 of 2 up", "good", ""),
        (["UP,9,L7OK", "DOWN,240,L4CON"], "1 of 2 up", "risk", "web2 down 4m: L4CON"),
        (["UP,9,L7OK", "DOWN 1/2,59,* L7STS"], "1 of 2 up", "risk", "web2 down 59s: L7STS"),
        (["DOWN,3600,L4TOUT", "DOWN,172800,L4CON"], "0 of 2 up", "bad", "web1 down 1h: L4TOUT; web2 down 2d: L4CON"),
        (["UP,9,L7OK", "MAINT,61,"], "1 of 2 up", "risk", "web2 in maintenance 1m"),
        (["DRAIN,5,L7OK", "MAINT (resolution),61,"], "0 of 2 up", "bad", "web1 drained 5s; web2 in maintenance 1m"),
        ([], "0 of 0 up", "bad", "HAProxy does not know this pool"),
    ],
)
def test_a_pool_is_reported(tmp_path: Path, rows: list[str], state: str, level: str, detail: str) -> None:
    made = balancer(tmp_path)
    text = HEAD + "".join(f"web,web{place},0,{row},200,\n" for place, row in enumerate(rows, 1)) + "\n"
    (one,) = HAPROXY.report(made, made.hosts["lb1"], {"servers": Answer(ok=True, detail=text)})
    assert (one.subject, one.state, one.level, one.detail) == ("pool web", state, level, detail)
    assert one.path == ("haproxy", "backends", "web")


def test_a_row_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    made = balancer(tmp_path)
    text = f"{HEAD}web,web1,0,UP,9,L7OK,200,\nweb,web2,0,U"
    (one,) = HAPROXY.report(made, made.hosts["lb1"], {"servers": Answer(ok=True, detail=text)})
    assert one.state == "1 of 1 up"


def test_an_haproxy_that_does_not_answer_serves_nobody(tmp_path: Path) -> None:
    made = balancer(tmp_path)
    (one,) = HAPROXY.report(made, made.hosts["lb1"], {"servers": Answer(ok=False, detail="Connection refused")})
    assert (one.level, one.detail) == ("bad", "HAProxy does not answer: Connection refused")


def test_what_was_not_asked_is_not_reported(tmp_path: Path) -> None:
    made = balancer(tmp_path)
    assert list(HAPROXY.report(made, made.hosts["lb1"], {})) == []
    assert set(HAPROXY.inspect(made, made.hosts["lb1"])) == {"servers"}


def test_a_balancer_without_pools_is_asked_nothing(tmp_path: Path) -> None:
    made = site(tmp_path, {"lb1": {"haproxy": {}}})
    assert HAPROXY.inspect(made, made.hosts["lb1"]) == {}
