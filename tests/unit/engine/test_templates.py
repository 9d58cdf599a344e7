"""Every rendered line knows where it comes from; a secret never shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hakit.components.templates import Templates
from hakit.errors import TemplateError
from hakit.inventory.origin import Mark, Number, Origin, Text
from hakit.inventory.secrets import Secret, Secrets
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.components.content import Content


class Known(Secrets):
    def get(self, name: str) -> str:
        return f"value of {name}"


def text(value: str, line: int) -> Text:
    return Text.at(value, Origin(("x", value), Mark("hosts.yml", line, 7)))


def render(root: Path, template: str, **values: Any) -> Content:
    (root / "templates" / "mine").mkdir(parents=True, exist_ok=True)
    (root / "templates" / "mine" / "a.cfg.j2").write_text(template)
    return Templates(site(root=root)).render("mine", "a.cfg", host("h"), values)


def sources(content: Content) -> list[tuple[str, int | None, list[int]]]:
    lines = content.masked().splitlines()
    assert len(lines) == len(content.lines)
    return [
        (line, source.line, [origin.mark.line for origin in source.origins])
        for line, source in zip(lines, content.lines, strict=True)
    ]


def test_lines_of_loops_conditions_and_macros_are_traced(tmp_path: Path) -> None:
    template = (
        "{% macro server(s) %}\n"
        "  server {{ s }} check\n"
        "{% endmacro %}\n"
        "# top\n"
        "{% for s in servers %}\n"
        "{% if loop.first %}\n"
        "backend {{ name }}\n"
        "{% endif %}\n"
        "{{ server(s) -}}\n"
        "{% endfor %}\n"
        "{{ name }} ends\n"
    )
    content = render(tmp_path, template, name=text("b", 3), servers=[text("s1", 5), text("s2", 6)])
    assert sources(content) == [
        ("# top", 4, []),
        ("backend b", 7, [3]),
        ("  server s1 check", 9, [5]),
        ("  server s2 check", 9, [6]),
        ("b ends", 11, [3]),
    ]


def test_joined_values_and_numbers_keep_their_origins(tmp_path: Path) -> None:
    port = Number.at(80, Origin(("port",), Mark("hosts.yml", 9)))
    content = render(tmp_path, "l {{ values | join(' ') }} {{ port }}", values=[text("a", 1), text("b", 2)], port=port)
    assert sources(content) == [("l a b 80", 1, [1, 2, 9])]


def test_a_secret_is_a_part_of_its_own(tmp_path: Path) -> None:
    content = render(tmp_path, "user a\npassword {{ password }}\n", password=Secret("pw", Known()))
    assert content.secret
    assert content.masked() == "user a\npassword <secret:pw>\n"
    assert content.reveal() == "user a\npassword value of pw\n"
    assert "value of" not in repr(content)


def test_a_value_of_several_lines_is_traced_to_its_line(tmp_path: Path) -> None:
    content = render(tmp_path, "one\n{{ block }}\nlast\n", block="a\nb")
    assert [source.line for source in content.lines] == [1, 2, 2, 3]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("ok\n{{ missing }}\n", "a.cfg.j2:2:1: 'missing' is undefined"),
        ("ok\n{% if %}\n", "a.cfg.j2:2:1: Expected an expression"),
        ("{{ none }}\n", "a.cfg.j2:1:1: the template prints None"),
        ("\n\n{{ flag }}\n", "a.cfg.j2:3:1: the template prints True"),
        ("{{ 1 / 0 }}\n", "a.cfg.j2:1:1: division by zero"),
        ("{% include 'other.j2' %}\n", "no template other.j2"),
        ("{{ nul }}", "a.cfg.j2:1:1: a value holds a NUL"),
    ],
)
def test_a_broken_template_is_named_with_its_line(tmp_path: Path, template: str, message: str) -> None:
    with pytest.raises(TemplateError) as error:
        render(tmp_path, template, none=None, flag=True, nul=text("a\0L1:x\0", 1))
    assert message in error.value.message


def test_a_missing_template_is_placed_where_it_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(TemplateError) as error:
        Templates(site(root=tmp_path)).render_own(text("mine/none.j2", 4), host("h"))
    assert error.value.message.startswith("hosts.yml:4:7: x.mine/none.j2: no template mine/none.j2 in ")


def test_an_error_within_an_included_template_is_placed_there(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "part.j2").write_text("fine\n{{ missing }}\n")
    with pytest.raises(TemplateError, match=r"part\.j2:2:1: 'missing' is undefined"):
        render(tmp_path, "{% include 'part.j2' %}\n")


def test_a_value_is_never_taken_for_template_code(tmp_path: Path) -> None:
    content = render(tmp_path, "a {{ value }} b\n", value=text("{{ 7 * 7 }} {% raw %}", 1))
    assert content.masked() == "a {{ 7 * 7 }} {% raw %} b\n"
