"""The messages that docs/troubleshooting.md explains are messages that the code has."""

from __future__ import annotations

import ast
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.unit.docs.pages import ROOT, page

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARE = 0.5
"""Of a quoted line this part at least is fixed text of one string of the code; the rest are names and values."""
VALUE = re.compile(r"\S*|.*[A-Z]{2,}.*")
"""What may stand for a value: one word, or something with a word in capitals."""
HOLE = "\0"
"""Stands for a value in an f-string."""


def lines_of(node: ast.AST) -> Iterator[tuple[str, ...]]:
    """For each line of a string literal or an f-string, its fixed pieces in order."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    elif isinstance(node, ast.JoinedStr):
        text = "".join(str(one.value) if isinstance(one, ast.Constant) else HOLE for one in node.values)
    else:
        return
    for line in text.split("\n"):
        pieces = tuple(piece for piece in line.strip().split(HOLE) if piece)
        if pieces:
            yield pieces


@cache
def code_strings() -> frozenset[tuple[str, ...]]:
    """The lines of every string in the code that is no docstring."""
    found: set[tuple[str, ...]] = set()
    for path in (ROOT / "hakit").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if id(node) not in docs | inside:
                found.update(lines_of(node))
    return frozenset(found)


def is_in_code(line: str) -> bool:
    return any(
        sum(map(len, pieces)) >= SHARE * len(re.sub(r"[A-Z]{2,}", "", line)) and fits(pieces, line)
        for pieces in code_strings()
    )


def fits(pieces: tuple[str, ...], line: str) -> bool:
    """Whether a line has these pieces in this order, and between them only values or other strings of the code."""
    found = re.fullmatch("(.*?)".join(["", *map(re.escape, pieces), ""]), line)
    between = [text.strip() for text in found.groups()] if found else []
    return found is not None and all(VALUE.fullmatch(text) or (text,) in code_strings() for text in between)


QUOTED = [
    (block.place, line.strip().removeprefix("error: "))
    for block in page("docs/troubleshooting.md").blocks
    if not block.language and not block.text.startswith("$ ")
    for line in block.text.splitlines()
]


@pytest.mark.parametrize(("place", "line"), QUOTED)
def test_a_quoted_message_is_one_of_the_code(place: str, line: str) -> None:
    assert is_in_code(line), f"{place}: no string of the code reads  {line}"


@pytest.mark.parametrize(
    "line",
    [
        "HOST: the host key is not known: ED25519 SHA256:…",
        "there is no terminal; nothing was changed",
        "sudo wants your password",
        "HOST: another run works here: USER@MACHINE since TIME (run RUN, process NUMBER)",
        "UNIT is masked and so it will not start",
    ],
)
def test_a_message_that_has_changed_would_be_noticed(line: str) -> None:
    assert not is_in_code(line)
