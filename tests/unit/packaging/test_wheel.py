"""The wheel holds all that hakit needs and does the same as the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hakit import __version__

ROOT = Path(__file__).parents[3]


def run(*words: str | Path, cwd: Path = ROOT, path: Path | None = None) -> str:
    """What a Python program prints; `path` is a folder whose packages come before the environment's own."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path:
        environment["PYTHONPATH"] = str(path)
    argv = [sys.executable, *map(str, words)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, cwd=cwd, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (made,) = folder.glob("hakit-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    run("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", folder, wheel)
    return folder


def test_it_holds_every_template_module_and_script(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    templates = {f"hakit/templates/{name}" for name in files(ROOT / "templates")}
    package = {f"hakit/{name}" for name in files(ROOT / "hakit") if name.endswith((".py", ".sh"))}
    assert templates
    assert {"hakit/cli/main.py", "hakit/lab/nspawn/host.sh", "hakit/lab/qemu/first.sh"} <= package
    assert inside >= templates | package | {"hakit/lab/vagrant/Vagrantfile"}
    assert {name.split("/")[0] for name in inside} == {"hakit", f"hakit-{__version__}.dist-info"}, (
        "nothing else is installed"
    )


def test_it_renders_the_same_bytes_from_anywhere(installed: Path, tmp_path: Path) -> None:
    render = ("-m", "hakit", "render", "-i", ROOT / "inventories/lab", "-o")
    run(*render, tmp_path / "checkout")
    run(*render, tmp_path / "wheel", cwd=tmp_path, path=installed)
    where = "import hakit, hakit.components.templates as t; print(hakit.__file__, t.shipped_templates())"
    package = installed / "hakit"
    assert run("-c", where, cwd=tmp_path, path=installed).split() == [
        str(package / "__init__.py"),
        str(package / "templates"),
    ]
    rendered = files(tmp_path / "wheel")
    assert "lb1/etc/haproxy/haproxy.cfg" in rendered
    assert rendered == files(tmp_path / "checkout")


def test_its_agent_is_the_checkouts_agent(installed: Path, tmp_path: Path) -> None:
    digest = "from hakit.agent.bootstrap import bundle; print(bundle().digest)"
    assert run("-c", digest, cwd=tmp_path, path=installed) == run("-c", digest)


def test_its_command_runs(installed: Path, tmp_path: Path) -> None:
    assert (
        run(installed / "bin" / "hakit", "--version", cwd=tmp_path, path=installed) == f"hakit, version {__version__}\n"
    )
