"""What README and docs/ show is what hakit takes and prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from hakit.cli import options
from hakit.components.base import Facts
from hakit.components.content import Content
from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.engine.plan import reject
from hakit.lab import image, requirements
from hakit.present.plan import rejection_lines
from hakit.ssh.options import Options
from tests.unit.docs.pages import PAGES, ROOT, Block, page

BLOCKS = [block for one in PAGES for block in one.blocks]
EXAMPLES = [block for block in BLOCKS if block.language == "yaml"]
LAB = Path("inventories/lab")
DATABASE = Path("inventories/database")
BALANCERS = LAB / "group_vars/balancers.yml"
MAIL = """
all:
  children:
    mail:
      hosts:
        mx1: {ansible_host: 10.77.0.51, hakit: {zone: a}}
        mx2: {ansible_host: 10.77.0.52, hakit: {zone: b}}
"""
"""Hosts that examples name and the lab does not have."""


SECRETS = {"HAKIT_SECRET_DEPLOY_PASSWORD": "$6$x$y", "HAKIT_SECRET_APP_KEY": "x"}
"""The secrets that examples name."""


def hakit(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hakit", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        env={**os.environ, **SECRETS},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a copy of the lab's inventory, at the path that the pages name."""
    for one in (LAB, DATABASE):
        shutil.copytree(ROOT / one, tmp_path / one, ignore=shutil.ignore_patterns(".hakit"))
    return tmp_path


def place(folder: Path, block: Block) -> str:
    """Write an example where it belongs; the inventory to read. A fragment goes to hosts that it fits."""
    value: Any = yaml.safe_load(block.text)
    if "all" in value:
        (folder / "hosts.yml").write_text(block.text, encoding="utf-8")
        return "hosts.yml"
    assert "hakit" in value, f"{block.place}: neither an inventory nor variables"
    (folder / LAB / "mail.yml").write_text(MAIL, encoding="utf-8")
    balancing = {"keepalived", "haproxy"} & value["hakit"].keys()
    where = DATABASE if balancing and "postgresql:" in block.text else LAB
    hosts = ("lb1", "lb2") if balancing else ("web1", "web2", "web3")
    (folder / where / "host_vars").mkdir()
    for host in hosts:
        (folder / where / f"host_vars/{host}.yml").write_text(block.text, encoding="utf-8")
    return str(where)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 5


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.place)
def test_an_example_lints_clean_unless_it_is_a_counter_example(block: Block, folder: Path) -> None:
    done = hakit(folder, "lint", "--strict", "-i", place(folder, block))
    expected = 2 if block.comment == "counter-example" else 0
    assert done.returncode == expected, done.stdout + done.stderr


def test_no_yaml_hides_in_a_block_without_a_language() -> None:
    assert [
        block.place for block in BLOCKS if not block.language and re.match(r"(all|hakit|\w+): *(\{|$)", block.text)
    ] == []


def test_the_readme_shows_the_labs_inventory_as_it_is() -> None:
    (shown,) = (block for block in page("README.md").blocks if block.text.startswith(f"# {BALANCERS.relative_to(LAB)}"))
    real = (ROOT / BALANCERS).read_text(encoding="utf-8")
    assert [line for line in shown.text.splitlines() if not line.startswith("#")] == [
        line for line in real.splitlines() if not line.startswith("#")
    ]


def replace(folder: Path, file: Path, old: str, new: str) -> None:
    text = (folder / file).read_text(encoding="utf-8")
    assert text.count(old) == 1
    (folder / file).write_text(text.replace(old, new), encoding="utf-8")


def session(name: str, command: str) -> str:
    """What a page says that a command prints."""
    for block in page(name).blocks:
        parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)
        for line, output in zip(parts[1::2], parts[2::2], strict=True):
            if line == command:
                return output.strip()
    raise AssertionError(f"{name} does not show  {command}")


def test_the_readmes_mistake_is_told_so(folder: Path) -> None:
    replace(folder, BALANCERS, "prefer: lb1", "prefr: lb1")
    command = "hakit lint -i inventories/lab"
    assert hakit(folder, *command.split()[1:]).stdout.strip() == session("README.md", command)


def test_the_finding_of_the_lint_page_is_told_so(folder: Path) -> None:
    script = "    scripts:\n      disk: {command: /usr/local/bin/check-disk, weight: -10}\n"
    replace(folder, BALANCERS, "  keepalived:\n", "  keepalived:\n" + script)
    replace(folder, BALANCERS, "prefer: lb1, track: [haproxy]", "prefer: lb1, track_scripts: [disk]")
    command = "hakit lint -i inventories/lab"
    assert hakit(folder, *command.split()[1:]).stdout.strip() == session("docs/lint.md", command)


def test_who_set_a_value_is_told_so(folder: Path) -> None:
    (folder / LAB / "host_vars").mkdir()
    text = "hakit: {keepalived: {instances: {web: {virtual_router_id: 61}}}}\n"
    (folder / LAB / "host_vars/lb1.yml").write_text(text, encoding="utf-8")
    command = "hakit inventory -i inventories/lab --blame lb1 keepalived.instances.web.virtual_router_id"
    assert hakit(folder, *command.split()[1:]).stdout.strip() == session("docs/inventory.md", command)


def test_several_mistakes_are_told_so(folder: Path) -> None:
    replace(folder, BALANCERS, "frontends:", "frontens:")
    replace(folder, LAB / "hosts.yml", "10.77.0.11, hakit: {zone: a}", '10.77.0.11, hakit: {zone: "{{ rack }}"}')
    command = "hakit plan -i inventories/lab"
    assert hakit(folder, *command.split()[1:]).stderr.strip() == session("docs/inventory.md", command)


def test_a_lab_that_is_down_is_told_so(folder: Path) -> None:
    command = "hakit plan -i inventories/lab"
    done = hakit(folder, *command.split()[1:])
    assert done.returncode == 1
    assert done.stderr.strip() == session("docs/troubleshooting.md", command)


def test_the_readmes_rejected_line_is_traced_as_it_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What hakit would print of the mistake that README shows: a change of the template says what to write there."""
    path, word = "/etc/haproxy/haproxy.cfg", "ballance"
    check = "web: {group: web, port: 8080, check: {http: /healthz}, sticky: cookie"
    replace(folder, BALANCERS, check, f'{check}, extra: ["{word} roundrobin"]')
    monkeypatch.chdir(folder)
    site, components = options.load(LAB)
    contents = declare(site, components, site.hosts["lb1"], Facts(), Templates(site)).contents()
    rendered = contents[path]
    assert isinstance(rendered, Content)
    (line,) = (n for n, text in enumerate(rendered.masked().splitlines(), 1) if word in text)
    shown = re.search(rf"^ +! {path}\n +(\S+:\d+: (.*{word}.*))\n +(from .*)$", page("README.md").text, re.MULTILINE)
    assert shown, "README.md shows no configuration that haproxy rejects"
    told = list(rejection_lines(reject(shown[2], "", path, line, contents)))
    assert [shown[1], shown[3]] == told, "README.md should say:\n" + "\n".join(told)
    assert f"{BALANCERS}:" in told[1]


def test_the_ssh_page_says_when_a_host_counts_as_lost() -> None:
    ssh = Options()
    text = " ".join(page("docs/ssh.md").text.split())
    quiet, questions, all_in_all = ssh.keepalive, ssh.keepalive_count, ssh.patience
    assert f"After {quiet:.0f} quiet seconds a host is asked for a sign of life, and again every {quiet:.0f}" in text
    assert f"after {questions} unanswered questions, {all_in_all:.0f} seconds in all, it counts as lost" in text
    assert f"no sign of life for {all_in_all:.0f} s" in text
    assert f"Name lookup, connection, key exchange and login together may take {ssh.connect_timeout:.0f} s" in text


def test_the_lab_page_lists_what_the_lab_needs() -> None:
    essential = {"util-linux"}  # every Debian has it
    needed = {*requirements.PROGRAMS.values(), *requirements.DRIVERS["nspawn"].values(), "debian-archive-keyring"}
    assert any(set(span.split()) == needed - essential for span in page("docs/lab.md").spans)
    assert any(set(span.split()) == set(requirements.DRIVERS["qemu"].values()) for span in page("docs/lab.md").spans)
    assert any(set(image.PACKAGES) <= set(span.split()) for span in page("docs/lab.md").spans)


def test_failed_checks_that_pages_show_are_checks_of_a_component() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "hakit/components").glob("*/verify.py"))
    titles = re.findall(r'def test_\w+\([^"]*"""(.*?)\.?(?:"""|\n)', code)
    shown = [title for block in BLOCKS for title in re.findall(r"^ +✗ (.*)", block.text, re.MULTILINE)]
    assert shown
    assert [title for title in shown if title not in titles] == []


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language == "python"], ids=lambda block: block.place
)
def test_python_is_python(block: Block) -> None:
    compile(textwrap.dedent(block.text), block.place, "exec")
