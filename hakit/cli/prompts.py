"""Passwords and passphrases, asked for on the terminal: once per run, never echoed."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.ssh.password import Password

_ASKED: Final = "hakit.cli.prompts.asked"
_ANSWERS: Final = "hakit.cli.prompts.answers"
_TERMINAL = threading.Lock()
"""Held while a question stands on the terminal."""


def _note(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    """Remember that an option was given."""
    if value and parameter.name:
        ctx.meta.setdefault(_ASKED, set()).add(parameter.name)


ask_pass = click.option(
    "-k",
    "--ask-pass",
    is_flag=True,
    expose_value=False,
    callback=_note,
    help="Ask for the password to log in with, once for all hosts.",
)
ask_become_pass = click.option(
    "-K",
    "--ask-become-pass",
    is_flag=True,
    expose_value=False,
    callback=_note,
    help="Ask for the password that sudo wants, once for all hosts.",
)


def login_password() -> Password | None:
    """What was typed for -k, None when that was not given. Raises UsageError without a terminal."""
    return _password("ask_pass", "-k", "SSH password", "password")


def sudo_password() -> Password | None:
    """What was typed for -K, None when that was not given; nothing typed after -k means the same password.

    Raises UsageError without a terminal.
    """
    return _password("ask_become_pass", "-K", "sudo password", "sudo_password")


def passphrase(path: Path, wrong: bool) -> str | None:
    """The passphrase of a key file; None without a terminal, or when nothing is typed."""
    if not sys.stdin.isatty():
        return None
    try:
        return _ask(f"{'Wrong. ' if wrong else ''}Passphrase of {path} (empty: go on without it)", empty=True) or None
    except click.Abort:
        return None


def _password(option: str, letter: str, what: str, setting: str) -> Password | None:
    """What was typed for an option, from the first time it was asked for in this run."""
    from hakit.errors import UsageError
    from hakit.ssh.password import Password

    ctx = click.get_current_context(silent=True)
    if ctx is None or option not in ctx.meta.get(_ASKED, ()):
        return None
    answers: dict[str, str] = ctx.meta.setdefault(_ANSWERS, {})
    if option not in answers:
        if not sys.stdin.isatty():
            raise UsageError(
                f"{letter} asks for the {what}, and there is no terminal to ask on",
                hint=f"Keep it as a secret:  hakit: {{ssh: {{{setting}: {{secret: NAME}}}}}}, "
                "set with  hakit secret set NAME  or in $HAKIT_SECRET_NAME",
            )
        same = answers.get("ask_pass") if option != "ask_pass" else None
        answers[option] = _ask(f"{what}{' (empty: as SSH)' if same else ''}", empty=bool(same)) or same or ""
    value = answers[option]
    return Password(lambda: value, hint=f"Start again and type the right one after {letter}.")


def _ask(text: str, *, empty: bool) -> str:
    with _TERMINAL:
        default = "" if empty else None
        return str(click.prompt(text, hide_input=True, type=str, err=True, default=default, show_default=False))
