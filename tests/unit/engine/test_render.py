"""What lands in a folder for review, and what lint says of what can't be rendered."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hakit.cli import options
from hakit.engine.render import broken, render_site
from hakit.errors import HakitError

LAB = Path(__file__).parents[3] / "inventories" / "lab"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    shutil.copytree(LAB, folder, ignore=shutil.ignore_patterns(".hakit"))
    return folder


def rendered(inventory: Path, output: Path, *hosts: str) -> dict[str, str]:
    site, components = options.load(inventory)
    render_site(site, components, hosts or tuple(site.hosts), output)
    return {str(path.relative_to(output)): path.read_text() for path in output.rglob("*") if path.is_file()}


def test_every_file_lands_under_its_host_the_same_each_time(lab: Path, tmp_path: Path) -> None:
    first, second = rendered(lab, tmp_path / "a"), rendered(lab, tmp_path / "b")
    assert first == second
    assert "lb1/etc/haproxy/haproxy.cfg" in first
    assert "web3/etc/nginx/nginx.conf" in first


def test_what_is_declared_no_more_goes_and_a_stranger_stays(lab: Path, tmp_path: Path) -> None:
    output = tmp_path / "review"
    rendered(lab, output)
    (output / "notes.txt").write_text("mine")
    group = lab / "group_vars" / "web.yml"
    group.write_text("hakit: {system: {}}\n")
    after = rendered(lab, output)
    assert "web1/etc/nginx/nginx.conf" not in after
    assert after["notes.txt"] == "mine"
    assert not (output / "web1" / "etc" / "nginx").exists()


def test_one_host_leaves_the_others_alone(lab: Path, tmp_path: Path) -> None:
    output = tmp_path / "review"
    before = rendered(lab, output)
    assert rendered(lab, output, "lb1") == before


def test_a_folder_of_other_things_is_refused(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(HakitError, match="not empty"):
        rendered(lab, tmp_path)


def test_a_template_that_is_missing_is_told_once_with_the_setting(lab: Path) -> None:
    group = lab / "group_vars" / "web.yml"
    group.write_text(group.read_text().replace("nginx.conf.j2", "nope.j2"))
    (problem,) = broken(*options.load(lab))
    assert problem.mark is not None
    assert problem.mark.file.endswith("group_vars/web.yml")
    assert "no template nginx/nope.j2" in problem.message
    assert problem.key.endswith(".template")


def test_a_template_that_is_broken_is_told_once_with_its_line(lab: Path) -> None:
    template = lab / "templates" / "nginx" / "nginx.conf.j2"
    template.write_text("fine\n{{ nothing.here }}\n")
    (problem,) = broken(*options.load(lab))
    assert str(problem.mark).endswith("nginx.conf.j2:2:1")
    assert "'nothing' is undefined" in problem.message
