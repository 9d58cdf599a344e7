"""What can not be asked for together, or of nobody, is refused before anything is done: exit code 2, a next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.cli.main import main
from hakit.present import commands

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A site that nobody reaches: what is tried here ends before anything is sent."""
    path = tmp_path / "hosts.yml"
    path.write_text("all: {hosts: {web1: {ansible_host: 192.0.2.1, hakit: {system: {}}}}}\n", encoding="utf-8")
    monkeypatch.setenv("HAKIT_INVENTORY", str(path))
    yield path
    commands.remember("")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("retire web1 --dead --undo", "--dead and --undo contradict each other", "take that back"),
        ("retire web1 --limit web1", "--limit and --component have no place here", "leave them out"),
        ("retire web2", "web2 matches no host and no group (did you mean web1?)", "hakit inventory -i"),
        ("maintenance on web2", "web2 matches no host and no group (did you mean web1?)", "hakit inventory -i"),
        ("maintenance on web1 --component system", "--limit and --component have no place here", "leave them out"),
        ("upgrade --all --package nginx", "--all and --package contradict each other", "leave one of them out"),
        ("upgrade --component system", "--component has no place here", "--limit"),
        ("reboot --component system", "--component has no place here", "--limit"),
        ("reboot --limit web2", "--limit web2 matches no host and no group (did you mean web1?)", "hakit inventory -i"),
        ("secret rotate app --stdin --length 20", "--stdin and --length contradict each other", "its length"),
        ("secret rotate app -i nowhere", "nowhere: there is no such inventory", "hakit init DIR"),
        ("plan -i nowhere", "nowhere: there is no such inventory", "hakit init DIR"),
        ("status -i nowhere", "nowhere: there is no such inventory", "hakit init DIR"),
        ("apply --confirm-timeout 4", "4 is not in the range 5<=x<=3600", "--confirm-timeout"),
        ("apply --failed", "there is no record of an apply", "leave --failed out"),
    ],
)
def test_it_is_refused_with_a_next_step(
    words: str, message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in told
    assert hint in told
    assert "Traceback" not in told
