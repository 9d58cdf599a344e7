"""How a run ended is kept and told, whatever is in the way of one of the two."""

from __future__ import annotations

import errno
import json
import sys
from typing import TYPE_CHECKING, NoReturn

import click
import pytest

from hakit.cli import main
from hakit.cli.work import conclude
from hakit.engine.records import Record
from hakit.errors import HakitError

if TYPE_CHECKING:
    from pathlib import Path


def hung_up(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.EIO, "Input/output error")


def test_a_result_that_can_not_be_kept_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "result.json").symlink_to("/dev/full")
    with pytest.raises(HakitError, match="No space left on device"):
        conclude(Record("run", tmp_path), {"good": True}, "Done: 1 host changed")
    assert capsys.readouterr().out == "Done: 1 host changed\n"


def test_a_result_that_nobody_reads_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click, "echo", hung_up)
    with pytest.raises(OSError, match="Input/output error"):
        conclude(Record("run", tmp_path), {"good": True}, "Done: 1 host changed")
    assert json.loads((tmp_path / "result.json").read_text(encoding="ascii")) == {"good": True}


def test_a_terminal_that_is_gone_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main.cli, "main", hung_up)
    monkeypatch.setattr(main, "_bug", lambda _: pytest.fail("called a bug"))
    monkeypatch.setattr(sys.stderr, "close", lambda: None)
    with pytest.raises(SystemExit) as caught:
        main.main([])
    assert caught.value.code == 141
