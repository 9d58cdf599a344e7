"""Rows of content that nobody vouches for: what a host prints, and what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.lab.faults.breaking import script
from tests.lab.faults.row import Elsewhere, Strike
from tests.lab.faults.stage import CONF, UNIT, UNIT_FILE

if TYPE_CHECKING:
    from tests.lab.faults.row import Edit, Row

ESCAPES = r"\033]0;owned\007\033[2J\033[31m"
QUIET = ("\x1b", "\x07", "\x9b")


def judged_by(command: str) -> Edit:
    """The demo's file is judged by a shell command."""

    def edit(system: dict[str, Any]) -> None:
        system["files"][CONF]["validate_with"] = ["/bin/sh", "-c", command, "judge", "{}"]

    return edit


def dying(system: dict[str, Any]) -> None:
    unit = system["files"][UNIT_FILE]
    line = f"ExecStart=/bin/sh -c 'printf \"{ESCAPES}no such luck\"; exit 3'"
    unit["content"] = unit["content"].replace("ExecStart=/bin/sleep infinity", line.replace("\\", "\\\\"))


def unchanged(_: dict[str, Any]) -> None:
    """The settings as they always stand."""


ROWS: tuple[Row, ...] = (
    Strike(
        "escapes-in-a-file",
        "content",
        "A file on the host holds terminal escape sequences",
        "The diff shows them as text",
        fault=script(f"printf 'token=%b\\n' '{ESCAPES}' > {CONF}", "true"),
        says=(r"\\x1b\[2J",),
        silent=QUIET,
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "escapes-in-a-judge",
        "content",
        "A validator prints terminal escape sequences",
        "They are shown as text, in the message and in the record of the run",
        edit=judged_by(f"printf '{ESCAPES} rejected' >&2; exit 1"),
        mend=unchanged,
        says=(r"rejects", r"\\x1b\[2J"),
        silent=QUIET,
    ),
    Strike(
        "escapes-in-a-journal",
        "content",
        "A daemon prints terminal escape sequences and dies",
        "Its journal is shown without them",
        edit=dying,
        mend=unchanged,
        says=(rf"unit:{UNIT}", r"no such luck"),
        silent=QUIET,
        ends="in part",
    ),
    Strike(
        "escapes-in-a-name",
        "content",
        "The host's name and the name of its system hold terminal escape sequences",
        "They are shown as text",
        fault=script(
            "cp -L /usr/lib/os-release /root/kept;"
            f"printf 'ID=other\\nVERSION_CODENAME=other\\nPRETTY_NAME=\"{ESCAPES}Other\"\\n' > /usr/lib/os-release",
            "mv /root/kept /usr/lib/os-release; chmod 644 /usr/lib/os-release",
        ),
        says=(r"is not supported",),
        silent=QUIET,
    ),
    Strike(
        "flooding-judge",
        "content",
        "A validator prints 1 GiB",
        "Its end is kept and shown; neither the agent nor the controller holds more than a few MiB of it",
        edit=judged_by("yes rejected | head -c 1073741824; exit 1"),
        mend=unchanged,
        says=(r"rejected",),
    ),
    Strike(
        "hanging-judge",
        "content",
        "A validator never ends",
        "It is ended after its time; the file stays as it was",
        edit=judged_by("sleep 1000"),
        mend=unchanged,
        says=(r"did not judge .* within \d+ s",),
        within=90,
        long=True,
    ),
    Elsewhere(
        "nonsense",
        "content",
        "The agent's answers are replaced by nonsense",
        "The host is given up with a message; nothing of it is believed",
        ("tests/unit/agent/test_protocol.py::test_a_host_that_answers_nonsense_is_told_so",),
    ),
    Elsewhere(
        "values",
        "content",
        "A value of the inventory holds line breaks, braces, quotes, `$(…)`, NUL, or a mebibyte of text",
        "It is refused with its place, or lands as it is: nothing of it is executed or read as another directive",
        (
            "tests/lab/faults/test_content.py::test_hostile_values_land_as_they_are_or_are_refused",
            "tests/unit/inventory/test_types.py::test_no_line_break_or_control_character_gets_through",
        ),
    ),
)
