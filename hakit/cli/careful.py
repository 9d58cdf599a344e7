"""How careful a rolling command is, as options; and a SIGTERM that ends a run as Ctrl-C does."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Command = Callable[..., Any]

INTERRUPTED = 130
"""The exit code of what somebody interrupted: 128 and the number of SIGINT, as shells have it."""
MAX_DRAIN = 86400


def careful(command: Command) -> Command:
    """`--max-fail`, `--drain` and `--override`, handed over as one `limits: Limits`."""

    @wraps(command)
    def wrapper(*, max_fail: int | None, drain: int, override: str, **values: Any) -> Any:
        from hakit.engine.rolling import Limits

        return command(limits=Limits(max_fail, override.strip(), float(drain)), **values)

    for option in reversed(
        (
            click.option(
                "--max-fail", type=click.IntRange(1), metavar="N", help="Begin nothing more once N hosts have failed."
            ),
            click.option(
                "--drain",
                type=click.IntRange(0, MAX_DRAIN),
                default=30,
                show_default=True,
                metavar="SECONDS",
                help="How long a host's sessions get to end before it is disrupted.",
            ),
            click.option(
                "--override",
                default="",
                metavar="REASON",
                help="Go on where the rolling gate says no; the reason is kept in the run's record.",
            ),
        )
    ):
        wrapper = option(wrapper)
    return wrapper


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does: the first ends the batches that run, the second stops."""

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
