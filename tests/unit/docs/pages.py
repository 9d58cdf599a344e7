"""Pages of documentation, taken apart: blocks, code in the text, links, anchors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it.token import Token

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Block:
    """A block of code: where it begins, its language ("" for an indented one), its text, the comment right above it."""

    place: str
    language: str
    text: str
    comment: str


@dataclass(frozen=True)
class Page:
    """One Markdown file of the project."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def _tokens(self) -> list[Token]:
        return MarkdownIt("commonmark").enable("table").parse(self.text)

    @property
    def blocks(self) -> Iterator[Block]:
        comment = ""
        for token in self._tokens:
            if token.type in {"fence", "code_block"}:
                line = token.map[0] + 1 if token.map else 0
                yield Block(f"{self.name}:{line}", token.info.strip(), token.content, comment)
            comment = token.content.strip().removeprefix("<!--").removesuffix("-->").strip()
            comment = comment if token.type == "html_block" else ""

    @property
    def spans(self) -> list[str]:
        """Every `piece of code` in running text and tables."""
        return [child.content for child in self._inline() if child.type == "code_inline"]

    @property
    def links(self) -> list[str]:
        return [str(child.attrs["href"]) for child in self._inline() if child.type == "link_open"]

    @property
    def anchors(self) -> set[str]:
        """What `#…` may name here, as code hosting sites derive it from the headings."""
        headings = [
            self._tokens[index + 1].content for index, token in enumerate(self._tokens) if token.type == "heading_open"
        ]
        return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}

    def _inline(self) -> Iterator[Token]:
        for token in self._tokens:
            yield from token.children or ()


PAGES = [Page(path) for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))]


def page(name: str) -> Page:
    return next(one for one in PAGES if one.name == name)
