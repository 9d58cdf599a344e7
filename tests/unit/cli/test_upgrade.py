"""`hakit upgrade --package`: which hosts have a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.agent.answers import Upgrade, Upkeep
from hakit.cli.main import main
from hakit.engine import upkeep

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = "all: {hosts: {web1: {ansible_host: 192.0.2.1, hakit: {system: {}}}}}\n"
STALE = ("nginx.service",)
NEWER = (Upgrade("libssl3", "3.0.17", "3.0.18"),)
RESTART = "restart of nginx.service, which run replaced code"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param(Upkeep((), NEWER, (), {"libssl3": "3.0.17"}), "libssl3  3.0.17 → 3.0.18", id="newer"),
        pytest.param(Upkeep((), (), STALE, {"libssl3": "3.0.18"}), RESTART, id="cut before its restarts"),
        pytest.param(Upkeep((), (), (), {"libssl3": "3.0.18"}), "", id="done"),
        pytest.param(Upkeep((), (), STALE), "", id="not installed"),
    ],
)
def test_a_host_has_a_turn_where_the_package_or_its_restarts_are_due(
    found: Upkeep, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(HOSTS, encoding="ascii")
    monkeypatch.setattr(upkeep, "needs", lambda *_, **__: upkeep.Needs({"web1": found}, {}))
    with pytest.raises(SystemExit) as ended:
        main(["upgrade", "--package", "libssl3", "-i", str(inventory)])  # nobody is there to agree
    out = capsys.readouterr().out
    assert said in out
    assert ("Nothing to do." in out) is (not said)
    assert ended.value.code == (2 if said else 0)
