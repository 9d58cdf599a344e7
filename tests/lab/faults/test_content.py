"""Hostile values of the inventory, in every place of `system` that takes free text, on a real host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hakit.cli import options
from hakit.errors import InventoryError
from tests.lab.faults.stage import FOLDER, KEY, ONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.faults.stage import Stage

CANARY = "/run/canary"
HOSTILE = (
    f"a\ntouch {CANARY}",
    f"a\r{CANARY}",
    "{{ 7 * 7 }}",
    "{% for x in y %}",
    "'\"`\\",
    f"$(touch {CANARY})",
    f"`touch {CANARY}`",
    f"x; touch {CANARY} #",
    f"x' ; touch {CANARY} ; '",
    f"| touch {CANARY}",
    "a\0b",
    "a:b:c",
    "%n%s%%",
    "--help",
    "<secret:planted>",
    "\x1b[2J",
    "ü\u202ex",
    "x" * (1 << 20),
)


PROGRAM = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.argv[2], newline='')"


def comment(system: dict[str, Any], number: int, value: str) -> str:
    system["users"][f"hostile{number}"] = {"comment": value}
    return f"getent passwd hostile{number} | cut -d: -f5"


def key(system: dict[str, Any], number: int, value: str) -> str:
    system["users"][f"keyed{number}"] = {"authorized_keys": [f"{KEY} {value}"]}
    return f"cat /home/keyed{number}/.ssh/authorized_keys"


def content(system: dict[str, Any], number: int, value: str) -> str:
    system["files"][f"{FOLDER}/hostile{number}"] = {"content": value}
    return f"cat {FOLDER}/hostile{number}"


def argument(system: dict[str, Any], number: int, value: str) -> str:
    path = f"{FOLDER}/made{number}"
    system["commands"][f"hostile{number}"] = {"run": ["/usr/bin/python3", "-c", PROGRAM, path, value], "creates": path}
    return f"cat {path}"


def link(system: dict[str, Any], number: int, value: str) -> str:
    system["symlinks"][f"{FOLDER}/hostile{number}.link"] = f"/{value}"
    return f"readlink {FOLDER}/hostile{number}.link"


def judge(system: dict[str, Any], number: int, value: str) -> str:
    path = f"{FOLDER}/judged{number}"
    system["files"][path] = {"content": "x", "validate_with": ["/bin/echo", value, "{}"]}
    return f"printf %s {number}"


PLACES: tuple[Callable[[dict[str, Any], int, str], str], ...] = (comment, key, content, argument, link, judge)


def accepted(stage: Stage) -> bool:
    """Whether the inventory is valid."""
    try:
        options.load(stage.lab.inventory)
    except InventoryError:
        return False
    return True


def test_hostile_values_land_as_they_are_or_are_refused(stage: Stage) -> None:
    landing: dict[str, str] = {}
    fitting = []
    refused = 0
    for number, value in enumerate(HOSTILE):
        for place in PLACES:
            stage.declare(lambda system, where=(place, number, value): where[0](system, *where[1:]), turn=False)  # type: ignore[misc]  # a default binds the loop's values
            if accepted(stage):
                fitting.append((place, number, value))
            else:
                refused += 1

    def together(system: dict[str, Any]) -> None:
        for place, number, value in fitting:
            landing[place(system, number, value)] = str(number) if place is judge else value

    assert refused > len(HOSTILE)
    assert len(fitting) > len(HOSTILE)
    stage.declare(together)
    done = stage.hakit("apply", "--yes", "--limit", ONE)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "\x1b" not in said
    assert stage.sh(f"ls {CANARY} 2>&1; true").startswith("ls: cannot access")
    for command, value in landing.items():
        assert value in stage.sh(command), command
    stage.declare(lambda _: None)
    stage.state()


@pytest.mark.parametrize("value", [f"a\ntouch {CANARY}", "{{ 7 * 7 }}", "a\0b", "x" * (1 << 20)], ids=str.__len__)
def test_a_refused_value_is_named_with_its_place(stage: Stage, value: str) -> None:
    stage.declare(lambda system: comment(system, 1, value), turn=False)  # type: ignore[arg-type]  # what it returns is not used
    done = stage.hakit("apply", "--yes")
    assert done.returncode == 2
    assert "hosts.yml:" in done.stderr
    assert "\0" not in done.stderr
    assert len(done.stderr) < 2_000
    stage.declare(lambda _: None, turn=False)
