"""README and docs/ name nothing that is not there: commands, options, make targets, files, tests, links."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.unit.docs import commands
from tests.unit.docs.pages import PAGES, ROOT, Page, page

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = re.compile(r"(?:tests/(?:unit|lab|bench)|hakit|docs|scripts|inventories)/\S*|[a-z]+/[\w<>/]+\.py")
"""A path of the project, from its top or from the folder hakit/."""
every_page = pytest.mark.parametrize("one", PAGES, ids=lambda one: one.name)


def lines_of_code(one: Page) -> Iterator[str]:
    """Lines of blocks, without prompts, and pieces of code in the text."""
    for block in one.blocks:
        if block.language in {"", "console", "sh"}:
            yield from (line.strip().removeprefix("$ ") for line in block.text.splitlines())
    yield from one.spans


def test_every_page_is_read() -> None:
    names = {one.name for one in PAGES}
    assert {"README.md", "docs/inventory.md", "docs/troubleshooting.md", "docs/components/haproxy.md"} <= names


@every_page
def test_every_command_line_is_one_that_click_takes(one: Page) -> None:
    bad = {}
    for code in lines_of_code(one):
        for line in commands.in_shell(code):
            usage = re.split(r" {2,}", line)[0]  # what follows two spaces explains it
            alone = usage in dict(commands.every())  # a command's bare name in a sentence
            reason = "" if alone else commands.wrong(usage)
            if reason:
                bad[usage] = reason
    assert bad == {}


@every_page
def test_every_option_that_is_named_alone_belongs_to_a_command(one: Page) -> None:
    known = {name for _, command in commands.every() for option in command.params for name in option.opts}
    named = {match[0] for span in one.spans if (match := re.match(r"--[a-z-]+|-[a-z]", span))}
    assert named - known - {"--help"} == set()


@every_page
def test_every_make_target_is_in_the_makefile(one: Page) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = {match[1] for code in lines_of_code(one) if (match := re.match(r"make ([a-z-]+)", code))}
    assert named <= set(targets)


def test_the_readme_names_make_targets() -> None:
    assert {"make demo", "make test", "make lab-down"} <= {
        re.split(r" {2,}", line)[0] for line in lines_of_code(page("README.md"))
    }


@every_page
def test_every_link_leads_somewhere(one: Page) -> None:
    bad = []
    for link in one.links:
        if link.startswith(("https://", "http://")):
            continue
        target, _, anchor = link.partition("#")
        path = (one.path.parent / target).resolve() if target else one.path
        there = path.exists() and path.is_relative_to(ROOT)
        if not there or (anchor and anchor not in Page(path).anchors):
            bad.append(link)
    assert bad == []


@every_page
def test_every_file_and_test_that_is_named_exists(one: Page) -> None:
    bad = []
    for span in one.spans:
        for word in span.split():
            path, _, test = word.partition("::")
            if not OURS.fullmatch(path):
                continue
            pattern = re.sub(r"<[^>]*>", "*", path).rstrip("/")
            found = [*ROOT.glob(pattern), *(ROOT / "hakit").glob(pattern)]
            there = "*" in path or bool(found)
            tested = not test or any(f"def {test}(" in file.read_text(encoding="utf-8") for file in found)
            if not (there and tested):
                bad.append(word)
    assert bad == []


def test_every_promise_of_safety_names_a_test() -> None:
    rows = [line for line in page("docs/safety.md").text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 5
    assert [row for row in rows if not re.search(r"`tests/[\w/]+\.py::test_\w+`", row)] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), [page("README.md")]
    while todo:
        one = todo.pop()
        reached.add(one.name)
        for link in one.links:
            path = (one.path.parent / link.partition("#")[0]).resolve()
            todo += [other for other in PAGES if other.path == path and other.name not in reached]
    assert {one.name for one in PAGES} - reached == set()
