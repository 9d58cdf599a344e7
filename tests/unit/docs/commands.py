"""Command lines of hakit, read as Click reads them, without running anything."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click

from hakit.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Iterator


def every(group: click.Group = cli, above: str = "hakit") -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that name it, groups too."""
    yield above, group
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from every(command, f"{above} {name}")
        else:
            yield f"{above} {name}", command


def in_shell(line: str) -> list[str]:
    """The hakit commands on a line of a shell, without what stands around them."""
    line = re.sub(r"\$\([^)]*\)", "SUBSTITUTED", line)
    return [
        re.sub(r"^(?:[A-Z_]+=\S+ )+", "", part).strip()
        for part in re.split(r"\|\||&&|\||;", line)
        if re.match(r"(?:[A-Z_]+=\S+ )*hakit(?: |$)", part.strip())
    ]


def wrong(line: str) -> str:
    """Why Click refuses a command line, or "". Brackets around what may be left out, and redirections, are dropped."""
    text = re.sub(r"\s[<>].*", "", line)
    words = shlex.split(re.sub(r"[\[\]]", "", text) if "[" in text else text, comments=True)[1:]
    command: click.Command = cli
    context = click.Context(cli, info_name="hakit")
    try:
        while isinstance(command, click.Group):
            _, words, _ = command.make_parser(context).parse_args(words)
            if not words:
                return ""
            name, *words = words
            found = command.get_command(context, name)
            if found is None:
                return f"no such command: {name}"
            command, context = found, click.Context(found, parent=context, info_name=name)
        command.make_context(command.name, words)
    except click.exceptions.Exit:
        return ""  # --help
    except click.UsageError as error:
        return error.format_message()
    return ""
