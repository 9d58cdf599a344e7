"""Runs pytest on the components' tests and the user's own, inside this process and shielded from its surroundings."""

from __future__ import annotations

import importlib.util
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hakit.errors import ConnectError, HakitError
from hakit.ssh.connection import as_root, sudo_failure
from hakit.verify.plugin import Hosts, Job, Plugin
from hakit.verify.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from hakit.components.base import Component
    from hakit.inventory.model import Host, Site
    from hakit.ssh import Connection
    from hakit.verify.report import Outcome

_PATIENCE = 30.0
_SHIELDED = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")


def reach(
    hosts: Mapping[str, Host], connect: Callable[[Host], Connection], forks: int
) -> tuple[dict[str, Connection], dict[str, ConnectError]]:
    """Connect to all hosts, `forks` at once, and see that each makes us root: connections and failures by name."""

    def one(host: Host) -> Connection | ConnectError:
        try:
            connection = connect(host)
            if not connection.root:
                _check_root(host.name, connection)
        except ConnectError as error:
            return error
        return connection

    with ThreadPoolExecutor(max(1, min(forks, len(hosts)))) as pool:
        answers = dict(zip(hosts, pool.map(one, hosts.values()), strict=True))
    connections = {name: answer for name, answer in answers.items() if not isinstance(answer, ConnectError)}
    return connections, {name: answer for name, answer in answers.items() if isinstance(answer, ConnectError)}


def test_files(components: Mapping[str, Component], wanted: Collection[str] | None) -> dict[Path, str]:
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


def run(
    job: Job,
    connections: Mapping[str, Connection],
    failures: Mapping[str, ConnectError],
    sink: Callable[[Outcome], None],
    junit: Path | None = None,
) -> Report:
    """Run the tests on the hosts that answered, `sink` hears each outcome. Raises HakitError when pytest breaks."""
    plugin = Plugin(job, Hosts(connections), sink)
    here = {name for name in job.modules.values() if any(host.name in job.chosen for host in job.site.running(name))}
    paths = [str(path) for path, name in job.modules.items() if name in here] + ([str(job.own)] if job.own else [])
    if paths:
        with _shielded():
            pytest.main([*_options(job.site, junit), *paths], plugins=[plugin])
    if plugin.crash:
        raise HakitError(f"pytest broke down:\n{plugin.crash}")
    return Report(tuple(plugin.outcomes), failures, plugin.broken)


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
def _shielded() -> Iterator[None]:
    """Without other plugins (testinfra's own overrides `host`), options from the environment, and .pyc files."""
    before = {name: os.environ.pop(name, None) for name in _SHIELDED}
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        sys.dont_write_bytecode = bytecode
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _check_root(name: str, connection: Connection) -> None:
    done = connection.run(as_root("true"), _PATIENCE)
    if done.exit != 0:
        text = done.stderr.decode(errors="replace")
        raise sudo_failure(name, connection.user, text) or ConnectError(
            f"{name}: {connection.user} can't become root", why=text.strip() or None
        )
