"""How plans, progress and results read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.components.base import Facts
from hakit.components.content import LineSource
from hakit.engine import events
from hakit.engine.outcome import HostResult, Outcome
from hakit.engine.plan import Change, FileDiff, HostPlan, Rejection, SitePlan
from hakit.engine.records import Record
from hakit.errors import ConnectError
from hakit.inventory.origin import Mark, Origin
from hakit.present.plan import plan_json, plan_text
from hakit.present.progress import Working, told
from hakit.present.result import result_json, result_text
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from hakit.inventory.model import Site

DIFF = FileDiff("/etc/a.cfg", ("@@ -1 +1 @@", "-old", "+new \x1b[2J"))
EDIT = Change("files:/etc/a.cfg", "change", ("write",), diffs=(DIFF,))
RELOAD = Change("unit:a.service", "change", ("reload (a.cfg changed)",), "reload")
SOURCE = LineSource("templates/a.cfg.j2", 7, (Origin(("a", "extra", 0), Mark("hosts.yml", 12, 3)),))
REFUSED = Change(
    "files:/etc/a.cfg",
    "refused",
    rejection=Rejection("a rejects it: unknown word", "long output", "/etc/a.cfg", 41, SOURCE),
)


def planned(name: str, *changes: Change) -> HostPlan:
    return HostPlan(name, Facts(), changes, same=3)


def here() -> Site:
    return site(host("lb1", "lb"), host("lb2", "lb"), host("web1", "web"), host("web2", "web"), host("web3", "web"))


def text_of(*plans: HostPlan, failed: dict[str, ConnectError] | None = None) -> str:
    return plan_text(SitePlan({one.host: one for one in plans}, failed or {}), here(), seconds=0.94)


def test_equal_changes_are_shown_once_and_quiet_hosts_in_one_line() -> None:
    shown = text_of(
        planned("lb1", EDIT, RELOAD), planned("lb2", EDIT, RELOAD), planned("web1"), planned("web2"), planned("web3")
    )
    assert shown.splitlines() == [
        "lb1  lb",
        "  ~ /etc/a.cfg                                    write",
        "    @@ -1 +1 @@",
        "    - old",
        "    + new \\x1b[2J",
        "  ~ unit a.service                                reload (a.cfg changed)",
        "lb2  lb  as lb1",
        "web1–web3  nothing to do",
        "",
        "2 hosts change: 4 changes, 2 reloads, no service interrupted. 3 hosts are as declared.  0.9 s",
    ]


def test_a_refusal_names_the_rendered_line_the_template_and_the_setting() -> None:
    shown = text_of(planned("lb1", REFUSED, RELOAD))
    assert "  ! /etc/a.cfg" in shown
    assert "      /etc/a.cfg:41: a rejects it: unknown word" in shown
    assert "      from templates/a.cfg.j2:7, hosts.yml:12 a.extra[0]" in shown
    assert "long output" not in shown
    assert "1 refused" in shown
    assert "reloads" not in shown.splitlines()[-1]


def test_a_host_that_could_not_be_asked_is_named_with_its_reason() -> None:
    shown = text_of(planned("lb1"), failed={"web3": ConnectError("web3: no route", hint="Is it on?")})
    assert "web3  ✗ no route\n      Is it on?" in shown
    assert "1 host could not be asked." in shown


def test_a_file_that_holds_secrets_says_why_it_is_not_shown() -> None:
    hidden = FileDiff("/etc/key", (), note="changed outside hakit, holds secrets")
    assert "changed outside hakit, holds secrets" in text_of(
        planned("lb1", Change("files:/etc/key", "change", diffs=(hidden,)))
    )


def test_the_json_of_a_plan_is_json() -> None:
    plan = SitePlan({"lb1": planned("lb1", EDIT, REFUSED)})
    found = json.loads(json.dumps(plan_json(plan)))
    assert found["differs"] is True
    first, second = found["hosts"]["lb1"]["changes"]
    assert first["files"][0]["diff"] == list(DIFF.lines)
    assert second["refused"][0] == "/etc/a.cfg:41: a rejects it: unknown word"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (events.Done("h", "unit:a", changed=True, summary=("start",)), "✓ unit:a  start"),
        (events.Done("h", "unit:a", changed=False), None),
        (events.Skipped("h", "unit:a", "package:a"), "- unit:a  left alone: it needs package:a"),
        (events.NotStarted("h", "b failed"), "- not started: b failed"),
        (events.Unreachable("h", ConnectError("h: gone")), "✗ gone"),
        (events.Broken("h", ConnectError("h: gone")), "✗ gone"),
        (events.Finished("h", 2, 0, 0.31), "2 changes, 0.3 s"),
        (events.Begun("h", "unit:a"), None),
    ],
)
def test_lines_of_events(event: events.Event, line: str | None) -> None:
    assert told(event, everything=False) == line


def test_a_pipe_gets_one_line_per_event(capsys: pytest.CaptureFixture[str]) -> None:
    with Working(1, 1) as working:
        working.sink(events.Started("lb1", 1))
        working.sink(events.Done("lb1", EDIT.key, changed=True, summary=("write",)))
        working.sink(events.Finished("lb1", 1, 0, 1.0))
    assert capsys.readouterr().err == "lb1  ✓ files:/etc/a.cfg  write\nlb1  1 change, 1.0 s\n"


def test_the_end_says_who_failed_and_what_to_do(tmp_path: Path) -> None:
    record = Record("2026-11-22T16-03-11", tmp_path)
    record.log("lb2").write_text("")
    outcome = Outcome(
        {
            "lb1": HostResult("not started", why="lb2 failed, and they stand in for each other"),
            "lb2": HostResult("failed", 1, 3.0, "1 of 2 failed"),
            "web1": HostResult("same"),
        }
    )
    shown = result_text(outcome, record, Path("site"), 3.1)
    assert "lb2          failed       1 change     3.0 s    1 of 2 failed" in shown
    assert f"Log: {record.log('lb2')}" in shown
    assert "Failed: 0 hosts changed, 1 unchanged, 1 failed, 1 not started.  3.1 s   run 2026-11-22T16-03-11" in shown
    assert shown.endswith("Mend it, then run again  hakit apply -i site")
    assert not outcome.good
    assert result_json(outcome, record.id)["good"] is False


@pytest.mark.parametrize(
    ("outcome", "last"),
    [
        (Outcome({"lb1": HostResult("changed", 1)}), "Check it with  hakit verify -i site"),
        (Outcome({"lb1": HostResult("failed", why="x")}), "Mend it, then run again  hakit apply -i site"),
        (Outcome({"lb1": HostResult("unreachable", why="x")}), "Mend it, then run again  hakit apply -i site"),
        (Outcome({"lb1": HostResult("not started")}, stopped=True), "Go on with  hakit apply -i site"),
    ],
)
def test_the_last_line_names_the_next_command(outcome: Outcome, last: str, tmp_path: Path) -> None:
    assert result_text(outcome, Record("now", tmp_path), Path("site"), 1.0).splitlines()[-1] == last
