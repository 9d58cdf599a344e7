"""What a plan tells of a file whose difference can't be shown."""

from __future__ import annotations

import pytest

from hakit.agent.answers import FileState, Item
from hakit.agent.resources.files import File, Files
from hakit.components.content import Content
from hakit.engine.compile import HostResources
from hakit.engine.plan import changes_of
from hakit.inventory.secrets import Secret, Secrets
from tests.unit.engine.sites import host

MASKED = "password <secret:door>\n"


@pytest.mark.parametrize(
    ("old", "summary", "lines", "note"),
    [
        pytest.param(MASKED, "write", (), "a secret in it changes", id="another secret"),
        pytest.param(MASKED, "mode 0644 → 0600", (), None, id="only the mode"),
        pytest.param(MASKED.rstrip(), "write", (), "only the ends of lines differ", id="no newline at the end"),
        pytest.param("user me\n", "write", ("-user me", "+" + MASKED.rstrip()), None, id="text"),
    ],
)
def test_a_change_is_told_without_its_secret(old: str, summary: str, lines: tuple[str, ...], note: str | None) -> None:
    content = Content(("password ", Secret("door", Secrets()), "\n"))
    files = Files(label="/etc/a", files=(File(path="/etc/a", content=content),))
    item = Item(files.key, "change", (summary,), files=(FileState("/etc/a", old),))
    (change,) = changes_of((item,), HostResources(host("lb1"), {files.key: files}))
    assert [diff.lines[1:] for diff in change.diffs] == ([lines] if lines or note else [])
    assert [diff.note for diff in change.diffs] == ([note] if lines or note else [])
