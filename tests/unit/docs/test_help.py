"""`--help`, shell completion, and output that is free of colours where nobody wants them."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.unit.docs import commands
from tests.unit.docs.pages import ROOT

EVERY = dict(commands.every())
ESCAPE = "\x1b"
BROKEN = "tests/unit/lint/cases/KA002/bad.yml"


def hakit(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hakit", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def on_terminal(*words: str, **environment: str) -> str:
    """What a command shows on a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execve(  # noqa: S606  a terminal of its own is the point, and there is no shell
            sys.executable,
            [sys.executable, "-m", "hakit", *words],
            {**os.environ, "TERM": "xterm-256color", **environment},
        )
    shown = b""
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # how Linux says that the other end of a terminal is closed
            break
        shown += data
    os.close(terminal)
    os.waitpid(pid, 0)
    return shown.decode()


def help_of(words: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "300")
    settings = EVERY["hakit"].context_settings
    context = click.Context(EVERY[words], info_name=words, max_content_width=settings["max_content_width"])
    return EVERY[words].get_help(context)


def test_every_command_is_known_here() -> None:
    assert {"hakit", "hakit lint", "hakit lab up", "hakit secret recipient add"} <= EVERY.keys()


@pytest.mark.parametrize("words", EVERY)
def test_help_fits_100_columns(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [line for line in help_of(words, monkeypatch).splitlines() if len(line) > 100] == []


@pytest.mark.parametrize("words", EVERY)
def test_help_shows_examples_that_the_command_line_takes(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.search(r"^ *Examples?:\n(.*)", help_of(words, monkeypatch), re.DOTALL | re.MULTILINE)
    assert examples
    lines = [line for text in examples[1].splitlines() for line in commands.in_shell(text.strip())]
    assert any(line.startswith(words) for line in lines)
    assert {line: commands.wrong(line) for line in lines if commands.wrong(line)} == {}


@pytest.mark.parametrize("words", EVERY)
def test_help_says_what_each_command_and_option_is_for(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert EVERY[words].help
    options = [one for one in EVERY[words].params if isinstance(one, click.Option)]
    assert [one.name for one in options if not one.help] == []
    assert "help_option_names" in EVERY["hakit"].context_settings
    assert help_of(words, monkeypatch).startswith(f"Usage: {words}")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("hakit plan -i DIR --limit lb1", ""),
        ("hakit lab status [--json]", ""),
        ("hakit schema > hosts.schema.json", ""),
        ("hakit plan --dry-run", "No such option"),
        ("hakit lint extra", "unexpected extra argument"),
        ("hakit render -i DIR", "Missing option"),
        ("hakit lab power burn lb1", "is not one of"),
        ("hakit lab vanish", "no such command"),
        ("hakit --fast", "No such option"),
    ],
)
def test_a_wrong_example_would_be_noticed(line: str, reason: str) -> None:
    found = commands.wrong(line)
    assert (reason in found) if reason else not found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_made(shell: str) -> None:
    done = hakit(_HAKIT_COMPLETE=f"{shell}_source")
    assert done.returncode == 0, done.stderr
    assert f"{shell}_complete" in done.stdout


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("hakit pl", {"plan"}),
        ("hakit lab po", {"power"}),
        ("hakit plan --lim", {"--limit"}),
        ("hakit lab ssh -i inventories/lab lb", {"lb1", "lb2"}),
        ("hakit postgres status -i inventories/database m", {"main"}),
        ("hakit postgres switchover -i inventories/database main --to db", {"db1", "db2", "db3"}),
        ("hakit postgres rejoin -i inventories/database main d", {"db1", "db2", "db3"}),
        ("hakit postgres rejoin -i inventories/database main l", set()),
        ("hakit postgres status -i inventories/nowhere m", set()),
    ],
)
def test_words_are_completed(line: str, offered: set[str]) -> None:
    done = hakit(_HAKIT_COMPLETE="bash_complete", COMP_WORDS=line, COMP_CWORD=str(len(line.split()) - 1))
    assert {word.partition(",")[2] for word in done.stdout.split()} == offered


SCREENS = [
    ("lint", "-i", BROKEN),
    ("plan", "-i", BROKEN),
    ("lint", "-i", "nowhere"),
    ("inventory", "-i", "inventories/lab", "--graph"),
    ("--help",),
]


@pytest.mark.parametrize("words", SCREENS, ids=" ".join)
def test_a_pipe_gets_plain_text(words: tuple[str, ...]) -> None:
    done = hakit(*words)
    assert done.stdout + done.stderr
    assert ESCAPE not in done.stdout + done.stderr


@pytest.mark.parametrize("words", SCREENS, ids=" ".join)
def test_no_color_is_obeyed_on_a_terminal(words: tuple[str, ...]) -> None:
    shown = on_terminal(*words, NO_COLOR="1")
    assert shown
    assert ESCAPE not in shown


@pytest.mark.parametrize("words", SCREENS[:2], ids=" ".join)
def test_a_terminal_gets_colours(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert ESCAPE in on_terminal(*words)


def test_the_readme_names_every_command() -> None:
    table = Path(ROOT / "README.md").read_text(encoding="utf-8")
    assert [words for words in EVERY if words.count(" ") == 1 and f"| `{words}" not in table] == []
