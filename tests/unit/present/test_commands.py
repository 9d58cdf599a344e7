"""Commands that messages name can be pasted: they name the inventory of this run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from hakit.cli.main import main
from hakit.present import commands
from tests.unit.docs.commands import every

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    yield
    commands.remember("")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("see  hakit status", "see  hakit status -i site"),
        ("hakit status", "hakit status -i site"),
        ("  hakit lint", "  hakit lint -i site"),
        ("→ hakit reboot --limit web1", "→ hakit reboot -i site --limit web1"),
        ("both run the same: hakit plan", "both run the same: hakit plan -i site"),
        ("mend it with  hakit apply ; or wait", "mend it with  hakit apply -i site ; or wait"),
        ("hakit secret list  shows the names", "hakit secret list -i site  shows the names"),
        ("back with  hakit retire --undo web1", "back with  hakit retire -i site --undo web1"),
        ("set it with  hakit secret set app", "set it with  hakit secret set -i site app"),
        ("hakit secret recipient list  shows them", "hakit secret recipient list -i site  shows them"),
        ("pull it:  hakit lab power pull web1", "pull it:  hakit lab power -i site pull web1"),
        ("first  hakit plan, then  hakit apply", "first  hakit plan -i site, then  hakit apply -i site"),
        ("one\n  hakit plan\nthree", "one\n  hakit plan -i site\nthree"),
    ],
)
def test_a_command_names_the_inventory(written: str, shown: str) -> None:
    commands.remember("site")
    assert commands.pasteable(written) == shown


@pytest.mark.parametrize(
    "text",
    [
        "go on with  hakit apply -i elsewhere --failed",
        "go on with  hakit apply --failed --inventory elsewhere",
        "make one with  hakit init DIR",
        "list them with  hakit lint --rules",
        "out is not empty and was not written by hakit render",
        "both are wrong: hakit values hold no braces",
        "`hakit lab up` and `down` can be run again",
    ],
)
def test_what_names_one_or_needs_none_is_left_alone(text: str) -> None:
    commands.remember("site")
    assert commands.pasteable(text) == text


def test_a_name_with_a_space_is_quoted() -> None:
    commands.remember("my site")
    assert commands.pasteable("see  hakit status") == "see  hakit status -i 'my site'"


def test_every_command_that_takes_an_inventory_is_known() -> None:
    taking = [
        words.removeprefix("hakit ")
        for words, command in every()
        if any(option.name == "inventory" for option in command.params)
    ]
    assert "apply" in taking
    assert [words for words in taking if not re.fullmatch(commands.VERBS, words)] == []


def test_an_error_names_the_inventory_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {web1: {}}}\n")
    with pytest.raises(SystemExit):
        main(["plan", "-i", str(tmp_path), "--limit", "web2"])
    assert f"hakit inventory -i {tmp_path}  lists them" in capsys.readouterr().err
    assert commands.pasteable("hakit plan") == f"hakit plan -i {tmp_path}"
