"""`hakit lint` as people and programs see it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hakit.components.registry import discover
from hakit.lint.registry import rules, upheld

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def hakit(*args: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "hakit", "lint", *map(str, args)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)


@pytest.mark.parametrize(
    ("inventory", "options", "code"),
    [
        ("cases/KA002/good.yml", (), 0),
        ("cases/KA002/bad.yml", (), 2),
        ("cases/KA009/bad.yml", (), 0),
        ("cases/KA009/bad.yml", ("--strict",), 2),
        ("cases/KA009/good.yml", ("--strict",), 0),
    ],
)
def test_exit_code(inventory: str, options: tuple[str, ...], code: int) -> None:
    assert hakit("-i", HERE / inventory, *options).returncode == code


def test_a_finding_says_where_what_why_and_what_to_write() -> None:
    done = hakit("-i", "tests/unit/lint/cases/KA002/bad.yml")
    assert done.stdout == (
        "tests/unit/lint/cases/KA002/bad.yml:11:62  KA002 error\n"
        "  keepalived.scripts.disk.weight: a failed check disk lowers lb1 from 150 to 140, level with lb2 (140): the "
        "addresses of front would stay on a host that can't serve\n"
        "  write  weight: -20   or weight: 0, which makes a failed check a fault\n"
        "  more   hakit lint --explain KA002\n"
        "\n"
        "1 error in 2 hosts.\n"
    )
    assert done.stderr == ""


def test_a_broken_inventory_is_told_in_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {hosts: {a: {hakit: {keepalivd: {}}}}}\n")
    done = hakit("-i", tmp_path)
    assert done.returncode == 2
    assert "did you mean keepalived?" in done.stdout
    assert done.stdout.endswith("1 error.\n")
    assert "Traceback" not in done.stderr


def test_json_is_for_programs() -> None:
    done = hakit("-i", HERE / "cases/KA002/bad.yml", "--json")
    (problem,) = json.loads(done.stdout)["problems"]
    assert done.returncode == 2
    assert (problem["rule"], problem["severity"], problem["line"], problem["column"]) == ("KA002", "error", 11, 62)
    assert problem["key"] == "keepalived.scripts.disk.weight"


def test_waivers_are_counted_and_listed() -> None:
    waived = HERE / "variants/waived.yml"
    assert "nothing found, 1 rule waived in 2 hosts." in hakit("-i", waived).stdout
    (one,) = json.loads(hakit("-i", waived, "--json").stdout)["waived"]
    assert (one["rule"], one["reason"]) == ("KA016", "lb2 is a spare on purpose")


def test_explain() -> None:
    done = hakit("--explain", "ka001")
    assert done.returncode == 0
    for part in ("KA001  error", "https://github.com/acassen/keepalived/issues/2599", 'ignore: {KA001: "'):
        assert part in done.stdout
    assert "upheld by hakit itself" in hakit("--explain", "XS004").stdout


def test_explain_suggests() -> None:
    done = hakit("--explain", "KA0016")
    assert done.returncode == 2
    assert "no such rule: KA0016" in done.stderr
    assert "did you mean KA016?" in done.stderr


def test_every_rule_is_listed() -> None:
    components = discover()
    known = {**rules(components), **upheld(components)}
    listed = hakit("--rules").stdout.splitlines()
    assert [line[:5] for line in listed] == sorted(known)
    assert [row["id"] for row in json.loads(hakit("--rules", "--json").stdout)] == sorted(known)


def test_the_page_of_rules_is_current() -> None:
    kept = (ROOT / "docs" / "lint-rules.md").read_text()
    assert kept == hakit("--rules", "--markdown").stdout, "run  hakit lint --rules --markdown > docs/lint-rules.md"
