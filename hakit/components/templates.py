"""Renders Jinja templates so that every line knows its template line and the inventory values on it.

Jinja itself can't tell, so the text is rendered with marks in it: an extension puts one before each piece of template
text, `finalize` puts one before each printed value that remembers its origin, and one in place of each secret. A mark
starts and ends with NUL, which no inventory value may hold. Taking the marks out again yields the content, its secrets
as parts of their own, and the source of each line.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2.ext import Extension
from jinja2.lexer import Token

from hakit.components.content import Content, LineSource
from hakit.errors import TemplateError
from hakit.inventory.origin import Mark, Problem, Text, dotted, origin_of
from hakit.inventory.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from jinja2.lexer import TokenStream

    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Origin

_MARK = re.compile("\0([LVS])([^\0]*)\0")


def shipped_templates() -> Path:
    """The folder of the templates that hakit brings: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


class _LineMarks(Extension):
    """Marks each piece of template text, and each expression, with its template and line."""

    def filter_stream(self, stream: TokenStream) -> Iterable[Token]:
        name = stream.name or "?"
        for token in stream:
            if token.type == "data":
                first, *rest = token.value.split("\n")
                marked = [self._mark(name, token.lineno) + first]
                for number, text in enumerate(rest, token.lineno + 1):
                    marked.append((self._mark(name, number) + text) if text else "")
                yield Token(token.lineno, "data", "\n".join(marked))
            elif token.type == "variable_begin":
                yield Token(token.lineno, "data", self._mark(name, token.lineno))
                yield token
            else:
                yield token

    @staticmethod
    def _mark(name: str, line: int) -> str:
        return f"\0L{line}:{name}\0"


class _Printed:
    """The values and secrets that one rendering printed, by the number in their marks."""

    def __init__(self) -> None:
        self.origins: list[Origin] = []
        self.secrets: list[Secret] = []

    def finalize(self, value: object) -> object:
        """What is written for a printed value: a mark and the value, or a mark in place of a secret."""
        if isinstance(value, Secret):
            self.secrets.append(value)
            return f"\0S{len(self.secrets) - 1}\0"
        if value is None or isinstance(value, bool):
            msg = f"the template prints {value}, which no configuration means"
            raise TypeError(msg)
        origin = origin_of(value)
        if origin is None:
            return value
        self.origins.append(origin)
        return f"\0V{len(self.origins) - 1}\0{_plain(str(value))}"

    def join(self, values: Iterable[object], separator: str = "") -> str:
        """As Jinja's `join`, but each value keeps its origin."""
        return separator.join(str(self.finalize(value)) for value in values)


def _plain(text: str) -> str:
    if "\0" in text:
        msg = "a value holds a NUL character"
        raise ValueError(msg)
    return text


class Templates:
    """The templates of a site: the user's own beside the inventory win over the shipped ones of the same path."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._printed = _Printed()
        self._own = site.root / "templates"
        loader = jinja2.ChoiceLoader(
            [jinja2.FileSystemLoader(self._own), jinja2.FileSystemLoader(shipped_templates())],
        )
        self._environment = jinja2.Environment(  # noqa: S701  configuration files are not HTML
            loader=loader,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
            extensions=[_LineMarks],
            finalize=lambda value: self._printed.finalize(value),  # noqa: PLW0108  a new _Printed for each rendering
        )
        self._environment.filters["join"] = lambda values, separator="": self._printed.join(values, separator)

    def render(self, component: str, name: str, host: Host, values: Mapping[str, Any]) -> Content:
        """`<component>/<name>.j2` for a host. Raises TemplateError with the template's line."""
        path = f"{component}/{name}.j2"
        return self._render(path, host, values)

    def render_own(self, name: Text | str, host: Host, values: Mapping[str, Any] | None = None) -> Content:
        """A template of the user's, by its path below `templates/` beside the inventory. Raises TemplateError."""
        return self._render(name, host, values or {})

    def literal(self, text: str | Secret) -> Content:
        """Text that is no template; its lines remember the inventory value that holds them."""
        if isinstance(text, Secret):
            return Content((text,), (LineSource(None, None),))
        origin = origin_of(text)
        source = LineSource(None, None, (origin,) if origin else ())
        return Content((str(text),), (source,) * max(1, len(text.splitlines())))

    def _render(self, path: str, host: Host, values: Mapping[str, Any]) -> Content:
        self._printed = _Printed()
        try:
            template = self._environment.get_template(path)
            marked = template.render(**{"site": self.site, "host": host, "vars": host.vars, **values})
        except jinja2.TemplateNotFound as error:
            raise TemplateError([self._missing(path, str(error.name or path))]) from error
        except jinja2.TemplateSyntaxError as error:
            mark = Mark(self._shown(error.name or path), error.lineno)
            raise TemplateError([Problem(error.message or "is no template", mark)]) from error
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise TemplateError([Problem(f"{error} (while rendering for {host.name})", self._place(path))]) from error
        return self._unmark(marked)

    def _shown(self, name: str) -> str:
        """A template's name as the user knows it."""
        return f"{self._own / name}" if (self._own / name).is_file() else f"templates/{name}"

    def _missing(self, asked: str, name: str) -> Problem:
        """A template that is nowhere; the place is the setting that asks for it, where one does."""
        origin = origin_of(asked)
        message = f"no template {name} in {self._own} or among hakit's own; give its path below templates/"
        return Problem(message, origin.mark, dotted(origin.path)) if origin else Problem(message)

    def _place(self, path: str) -> Mark:
        """Where the exception being handled arose: the innermost frame that is a template's."""
        place = Mark(self._shown(path), 1)
        traceback = sys.exc_info()[2]
        while traceback is not None:
            name = traceback.tb_frame.f_code.co_filename
            if name.endswith(".j2"):
                place = Mark(
                    name if Path(name).is_relative_to(self._own) else self._shown(_below(name)), traceback.tb_lineno
                )
            traceback = traceback.tb_next
        return place

    def _unmark(self, marked: str) -> Content:
        parts: list[str | Secret] = []
        text: list[str] = []
        lines: list[LineSource] = []

        def close() -> None:
            template, number = current or source or (None, None)
            lines.append(LineSource(template, number, tuple(dict.fromkeys(origins))))

        shown: dict[str, str] = {}
        source: tuple[str, int] | None = None
        current: tuple[str, int] | None = None
        origins: list[Origin] = []
        for kind, value in _pieces(marked):
            if kind == "L":
                number, name = value.split(":", 1)
                if name not in shown:
                    shown[name] = self._shown(name)
                source = (shown[name], int(number))
                current = current or source
            elif kind == "V":
                origins.append(self._printed.origins[int(value)])
            elif kind == "S":
                parts += ["".join(text), self._printed.secrets[int(value)]]
                text = []
            else:
                text.append(value)
                for _ in range(value.count("\n")):
                    close()
                    current, origins = None, []
        tail = "".join(text)
        if (tail or parts) and not tail.endswith("\n"):
            close()
        return Content(tuple(part for part in (*parts, tail) if part != ""), tuple(lines))


def _below(name: str) -> str:
    """A shipped template's path below its folder."""
    return str(Path(name).relative_to(shipped_templates()))


def _pieces(marked: str) -> Iterator[tuple[str, str]]:
    """Marks as (kind, value) and the text between them as ("", text), cut after newlines so that lines close."""
    end = 0
    for match in _MARK.finditer(marked):
        yield from (("", piece) for piece in marked[end : match.start()].splitlines(keepends=True))
        yield match[1], match[2]
        end = match.end()
    yield from (("", piece) for piece in marked[end:].splitlines(keepends=True))
