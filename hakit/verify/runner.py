"""Runs pytest on the components' tests and the user's own, inside this process and shielded from its surroundings."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.errors import HakitError
from hakit.verify.plugin import Plugin, last_lines
from hakit.verify.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from hakit.components.base import Component
    from hakit.inventory.model import Site
    from hakit.verify.hosts import Reach
    from hakit.verify.plugin import Job
    from hakit.verify.report import Outcome

_SHIELDED = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")


def modules_of(components: Mapping[str, Component], wanted: Collection[str] | None) -> dict[Path, str]:
    """The test module of each component that has one, and the component's name. Raises HakitError for one not found."""
    found: dict[Path, str] = {}
    for name, component in components.items():
        module = component.verify() if wanted is None or name in wanted else None
        if module is None:
            continue
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise HakitError(f"component {name}: its tests, {module}, can't be found", hint="Install it again.")
        found[Path(spec.origin)] = name
    return found


def user_tests(site: Site) -> Path | None:
    """The folder with the user's own tests, `tests` beside the inventory, when it holds any."""
    folder = site.root / "tests"
    return folder if any(folder.glob("**/test_*.py")) else None


def run(job: Job, reach: Reach, sink: Callable[[Outcome], None], junit: Path | None = None) -> Report:
    """Run the tests on the hosts that answer, `sink` hears each outcome. Raises HakitError when pytest breaks."""
    plugin = Plugin(job, reach, sink)
    paths = [str(path) for path in job.modules] + ([str(job.own)] if job.own else [])
    if paths and plugin.answering:
        said = io.StringIO()
        with _shielded({*job.modules, *([job.own] if job.own else [])}), redirect_stderr(said):
            try:
                code = pytest.main([*_options(job.site, junit), *paths], plugins=[plugin])
            except OSError as error:  # from writing the XML at the very end
                raise HakitError(f"{junit or 'pytest'}: {error.strerror}") from error
        if plugin.interrupted:
            raise KeyboardInterrupt
        if plugin.crash or code in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
            raise HakitError("pytest can't run the tests", why=plugin.crash or last_lines(said.getvalue()))
    unreachable = {name: error for name, error in reach.failures.items() if name in job.chosen}
    return Report(tuple(plugin.outcomes), unreachable, plugin.broken)


def _options(site: Site, junit: Path | None) -> list[str]:
    """Only our own plugin and no configuration but ours: a pytest.ini above must not change what verify does."""
    plain = ["-p", "no:terminal", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(site.root)]
    return [
        *plain,
        f"--confcutdir={site.root}",
        "--import-mode=importlib",
        "--continue-on-collection-errors",
        *([f"--junitxml={junit}", "-o", "junit_suite_name=hakit"] if junit else []),
    ]


@contextmanager
def _shielded(tests: Collection[Path]) -> Iterator[None]:
    """Without other plugins (testinfra's own overrides `host`), options from the environment, and .pyc files.

    Modules that lie in `tests` (files and folders) are forgotten afterwards, so that the next run reads them again.
    """
    before = {name: os.environ.pop(name, None) for name in _SHIELDED}
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        sys.dont_write_bytecode = bytecode
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file and any(Path(file).is_relative_to(path) for path in tests):
                del sys.modules[name]
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
