"""What `hakit reboot` and `hakit upgrade` share: ask the hosts, show, ask the operator, go round, tell how it ended."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from hakit.cli.careful import INTERRUPTED, interruptible
from hakit.cli.work import agreed, begin, conclude

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hakit.cli.options import Asked
    from hakit.engine.outcome import HostResult, Outcome
    from hakit.engine.rolling import Limits
    from hakit.engine.upkeep import Needs, Round

    Go = Callable[[Round, dict[str, HostResult]], Outcome]


class Upkeep:
    """One command: `run` does all of it and returns the exit code.

    `choose` tells the hosts to disrupt, `show` the text before the question, `go` carries it out.
    """

    def __init__(self, asked: Asked, limits: Limits, command: str, *, as_json: bool, verbose: int) -> None:
        self._asked = asked
        self._limits = limits
        self._command = command
        self._as_json = as_json
        self._verbose = verbose

    def run(
        self,
        choose: Callable[[Needs], Collection[str]],
        show: Callable[[Needs], str],
        question: Callable[[Collection[str]], str],
        go: Go,
        *,
        refresh: bool,
        assume_yes: bool,
        packages: tuple[str, ...] = (),
    ) -> int:
        """Ask, show, ask, do. Returns the exit code."""
        from hakit.engine.outcome import HostResult
        from hakit.engine.records import Record
        from hakit.engine.run import Run
        from hakit.engine.upkeep import Round, needs
        from hakit.errors import UsageError
        from hakit.present.progress import Asking, Working
        from hakit.present.upkeep import needs_json

        if self._asked.component:
            raise UsageError(
                "--component has no place here: whole hosts are disrupted", hint="leave it out, or narrow with  --limit"
            )
        began = time.monotonic()
        scope = begin(self._asked)
        record = Record.create(scope.site, " ".join(["hakit", *sys.argv[1:]]))
        asking = Asking(len(scope.hosts), quiet=self._as_json, verbose=self._verbose)
        scope = replace(scope, run_id=record.id)
        with interruptible(), Run(scope, record.recording(asking.sink), lock=True) as run:
            with asking:
                found = needs(run, refresh=refresh, packages=packages)
            record.write("needs.json", needs_json(found))
            chosen = choose(found)
            if not self._as_json:
                click.echo(show(found))
            if not chosen:
                return self._nothing(found)
            work = Round(run, self._limits)
            order = self._order(work, tuple(chosen))
            if not assume_yes and not agreed(question(chosen), as_json=self._as_json):
                click.echo("Nothing was changed.")
                return 1
            known = {name: HostResult("unreachable", why=error.message) for name, error in found.failed.items()}
            known |= {name: HostResult("same") for name in found.hosts if name not in chosen}
            interrupted = False
            with Working(len(chosen), quiet=self._as_json, verbose=self._verbose) as working:
                run.sink = record.recording(working.sink)
                try:
                    go(work, known)
                except KeyboardInterrupt:
                    interrupted = True
        return self._end(work.outcome, record, found, order, time.monotonic() - began, interrupted=interrupted)

    def _order(self, work: Round, chosen: tuple[str, ...]) -> dict[str, Any]:
        """Show in which order it goes and what is handed over before; the same for programs."""
        from hakit.present.order import handovers_json, handovers_text, order_json, order_text

        steps, foreseen = work.steps(chosen), work.foreseen(chosen)
        for text in (order_text(steps), handovers_text(foreseen)):
            if text and not self._as_json:
                click.echo(text)
        return {"order": order_json(steps), "handovers": handovers_json(foreseen)}

    def _nothing(self, found: Needs) -> int:
        if self._as_json:
            click.echo(self._json(found, {"good": not found.failed, "hosts": {}}))
        else:
            click.echo("Nothing to do.")
        return 1 if found.failed else 0

    def _end(
        self,
        outcome: Outcome,
        record: Any,
        found: Needs,
        order: dict[str, Any],
        seconds: float,
        *,
        interrupted: bool,
    ) -> int:
        from hakit.present.result import result_json, result_text

        result = result_json(outcome, record.id)
        if self._as_json:
            text = self._json(found, {**order, **result})
        else:
            text = result_text(outcome, record, self._asked.inventory, seconds, self._command)
        conclude(record, result, text)
        return INTERRUPTED if interrupted or outcome.stopped else 0 if outcome.good else 1

    @staticmethod
    def _json(found: Needs, result: dict[str, Any]) -> str:
        import json

        from hakit.present.upkeep import needs_json

        return json.dumps({"needs": needs_json(found), **result}, indent=2)
