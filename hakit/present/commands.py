"""Commands that messages name, made so that they can be pasted: with the inventory that the user gave.

Whoever writes a message names a command as it is typed beside the inventory, after two spaces or a colon or at the
start of a line: `hakit apply`. Which inventory this run is about, only the command line knows.
"""

from __future__ import annotations

import re
import shlex

VERBS = (
    "lint|inventory|render|doctor|plan|apply|verify|status|maintenance|reboot|upgrade|retire|trust|bootstrap"
    "|secret recipient [a-z]+|secret [a-z]+|lab [a-z]+|postgres [a-z]+|raid [a-z]+"
)
"""The commands that take an inventory, as a regular expression."""
_COMMAND = re.compile(
    r"(?P<lead>^[ ]*|[ ]{2}|: |→ )"
    rf"(?P<command>hakit (?!lint --)(?:{VERBS}))\b"
    r"(?P<rest>(?:(?!  |[;,(]|$).)*)",
    re.MULTILINE,
)
"""A command with the words that name it, up to where its arguments end."""
_NAMES_ONE = re.compile(r"(?:^| )(?:-i|--inventory)\b")


class _Given:
    """The inventory of the command line, as it was typed; empty for a command without one."""

    inventory = ""


def remember(inventory: str) -> None:
    """Keep the inventory that this process is about."""
    _Given.inventory = inventory


def pasteable(text: str) -> str:
    """A message whose commands name the inventory; those that name one already are left alone."""
    return _COMMAND.sub(_completed, text) if _Given.inventory and "hakit " in text else text


def _completed(found: re.Match[str]) -> str:
    if _NAMES_ONE.search(found["rest"]):
        return found[0]
    return f"{found['lead']}{found['command']} -i {shlex.quote(_Given.inventory)}{found['rest']}"
