"""Interrupted while a host is taken away: what that leaves is told, and the exit code says that it was interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import pytest

from hakit.cli.main import main
from hakit.engine import duty, maintenance, retire
from hakit.engine.plan import SitePlan
from hakit.engine.run import Run

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = """
all:
  hosts:
    web1: {ansible_host: 192.0.2.1, hakit: {system: {}}}
    web2: {ansible_host: 192.0.2.2, hakit: {system: {}}}
"""


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@pytest.fixture
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text(HOSTS, encoding="ascii")
    monkeypatch.setattr(Run, "open", lambda _: {})
    monkeypatch.setattr(retire.Retirement, "plan", lambda _: SitePlan({}))
    monkeypatch.setattr(retire, "spare", lambda *_: ())
    monkeypatch.setattr(maintenance, "spare", lambda *_: ())
    monkeypatch.setattr(duty.Duty, "withdraw", interrupt)
    return path


def ends(*words: str) -> object:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main([*words])
    return ended.value.code


def test_a_retirement(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends("retire", "web1", "--yes", "-i", str(inventory)) == 130
    out = capsys.readouterr().out
    assert "interrupted after it was taken out; the same command goes on" in out
    assert "Stopped: 0 hosts changed" in out
    (result,) = inventory.parent.glob(".hakit/runs/*/result.json")
    assert '"stopped": true' in result.read_text(encoding="utf-8")


def test_maintenance(inventory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends("maintenance", "on", "web1", "-i", str(inventory)) == 130
    said = capsys.readouterr().err
    assert "Interrupted: web1 is out of its duties, or on its way" in said
    assert f"take it back with  hakit maintenance -i {inventory} off web1" in said


def test_maintenance_of_which_nothing_was_begun(
    inventory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(maintenance, "spare", interrupt)
    assert ends("maintenance", "on", "web1", "-i", str(inventory)) == 130
    assert capsys.readouterr().err.endswith("Interrupted.\n")
