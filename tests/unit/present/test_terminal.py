"""Small words and signs."""

from __future__ import annotations

import io

import click
import pytest

from hakit.present import terminal
from hakit.present.terminal import count, duration, names, paint, printable


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (0.31, "0.3 s"), (9.96, "10.0 s"), (12.4, "12 s"), (245, "4 min 5 s")]
)
def test_a_duration_is_rounded_to_what_matters(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("hosts", "text"),
    [
        ([], ""),
        (["db1"], "db1"),
        (["web1", "web2"], "web1, web2"),
        (["db1", "web1", "web2", "web3"], "db1, web1–web3"),
        (["web08", "web09", "web10"], "web08–web10"),
        (["web9", "web10", "web11"], "web9–web11"),
    ],
)
def test_runs_of_names_are_shortened(hosts: list[str], text: str) -> None:
    assert names(hosts) == text


def test_counting_words() -> None:
    assert [count(1, "host"), count(2, "host"), count(0, "copy")] == ["1 host", "2 hosts", "0 copies"]


def test_a_hosts_text_cannot_drive_the_terminal() -> None:
    assert printable("a\x1b[2Jb\rc\x07\td\n") == "a\\x1b[2Jb\\x0dc\\x07\td\n"


def test_colour_obeys_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert paint("x", "red") != "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", "red") == "x"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(terminal, "width", lambda: 21)
    return Terminal()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("one two three four five six", ["one two three four", "  five six"]),
        ("  one two three four five", ["  one two three four", "    five"]),
        ("a /path/that/does/not/fit/anywhere b", ["a", "  /path/that/does/not/fit/anywhere", "  b"]),
        ("two\nlines", ["two", "lines"]),
        ("", [""]),
    ],
)
def test_long_lines_are_broken_between_words_on_a_terminal(text: str, lines: list[str], narrow: Terminal) -> None:
    assert terminal.fold(text, "  ", narrow).split("\n") == lines


def test_colours_take_no_room(narrow: Terminal) -> None:
    red = click.style("one two three four", fg="red")
    assert terminal.fold(red, "", narrow) == red


def test_a_pipe_gets_its_lines_whole() -> None:
    text = "word " * 100
    assert terminal.fold(text, "  ", io.StringIO()) == text


@pytest.mark.parametrize(
    ("stream", "kind", "cleared"),
    [(Terminal(), "xterm", True), (Terminal(), "dumb", False), (io.StringIO(), "xterm", False)],
)
def test_only_a_screen_is_cleared(
    stream: io.StringIO, kind: str, cleared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", stream)
    monkeypatch.setenv("TERM", kind)
    assert bool(terminal.clear()) == cleared


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ((), ""),
        (("install",), "install"),
        (("enable", "start"), "enable; start"),
        (("create it from", "  sda", "  sdb"), "create it from sda; sdb"),
        (("wipe", "create it from", "  sda", "mount"), "wipe; create it from sda; mount"),
    ],
)
def test_short_lines_make_one(lines: tuple[str, ...], text: str) -> None:
    assert terminal.sentence(lines) == text
