"""The pytest plugin of a verification: gives tests their hosts, collects what came of them, lets none run elsewhere.

Fixtures for tests: `host` (testinfra's, one run of the test per host), `hakit_host` and `hakit_site` (as the inventory
has them), `settings` (the component's on that host; in the user's own tests those of all components by name),
`site_hosts` and `peers` (name → testinfra host: all that answer, and those other than `host`).
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from hakit.errors import HakitError
from hakit.verify import backend
from hakit.verify.hosts import Hosts
from hakit.verify.report import SITE, USER, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    import testinfra.host

    from hakit.inventory.model import Host, Site
    from hakit.verify.hosts import Reach

PARAMETER = "_hakit_host_name"
NOWHERE = "nowhere"
"""Stands for the host of a test that none of the chosen hosts needs; it is left out."""
_MESSAGE_LINES = 12


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be verified.

    `modules` maps the test files of components to the component's name, `own` is the folder of the user's tests,
    `chosen` are the hosts; `select` resolves patterns of the inventory and raises UsageError.
    """

    site: Site
    modules: Mapping[Path, str]
    own: Path | None
    chosen: tuple[str, ...]
    select: Callable[[Site, tuple[str, ...]], tuple[str, ...]]


class Plugin:
    """Registered with pytest for one run; `sink` hears each outcome."""

    def __init__(self, job: Job, reach: Reach, sink: Callable[[Outcome], None]) -> None:
        self.job = job
        self.site = job.site
        self.modules = job.modules
        self.reach = reach
        self.answering = tuple(reach.open(job.chosen))
        self.hosts = Hosts(reach, job.site.hosts)
        self.sink = sink
        self.outcomes: list[Outcome] = []
        self.broken: dict[str, str] = {}
        self.crash: str | None = None
        self.interrupted = False
        self._elsewhere = backend.Elsewhere()

    # Which hosts a test runs on.

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run a test once for each host it speaks of."""
        if PARAMETER in metafunc.fixturenames:
            names = self._speaks_of(metafunc.definition) or [NOWHERE]
            metafunc.parametrize(PARAMETER, names, ids=names, indirect=True, scope="session")

    def _speaks_of(self, item: pytest.Item) -> list[str]:
        component = self.modules.get(item.path)
        if component is not None:
            wanted = {host.name for host in self.site.running(component)}
        else:
            marker = item.get_closest_marker("hosts")
            patterns = marker.args if marker else getattr(getattr(item, "module", None), "testinfra_hosts", ())
            wanted = set(self.job.select(self.site, tuple(patterns)))
        return [name for name in self.answering if name in wanted]

    def pytest_configure(self, config: pytest.Config) -> None:
        """Announce the marker."""
        config.addinivalue_line("markers", "hosts(pattern, ...): run the test on these hosts or groups only")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sort host by host and by component; tests of the whole site and the user's own come last."""
        hosts = {name: position for position, name in enumerate(self.job.chosen)}
        components = {name: position for position, name in enumerate(self.modules.values())}

        def position(item: pytest.Item) -> tuple[int, int]:
            component = components.get(self._component_of(item), len(components))
            return hosts.get(self._host_of(item), len(hosts)), component

        items[:] = sorted((item for item in items if self._host_of(item) != NOWHERE), key=position)
        for item in items:
            item.user_properties += [("host", self._host_of(item) or SITE), ("component", self._component_of(item))]

    # What a test can ask for.

    @pytest.fixture(scope="session", name=PARAMETER)
    def host_name(self, request: pytest.FixtureRequest) -> str:
        """The name of the host that the test runs on."""
        return str(request.param)

    @pytest.fixture(scope="module")
    def host(self, _hakit_host_name: str) -> testinfra.host.Host:
        """The host as testinfra sees it."""
        return self.hosts[_hakit_host_name]

    @pytest.fixture(scope="session")
    def hakit_host(self, _hakit_host_name: str) -> Host:
        """The host as the inventory has it."""
        return self.site.hosts[_hakit_host_name]

    @pytest.fixture(scope="session")
    def hakit_site(self) -> Site:
        """The whole site as the inventory has it."""
        return self.site

    @pytest.fixture
    def settings(self, request: pytest.FixtureRequest, hakit_host: Host) -> Any:
        """The component's settings on the host; in the user's own tests those of all components, by name."""
        component = self.modules.get(request.path)
        return hakit_host.settings if component is None else hakit_host.settings[component]

    @pytest.fixture(scope="session")
    def site_hosts(self) -> Hosts:
        """All hosts that answer, by name, as testinfra sees them."""
        return self.hosts

    @pytest.fixture(scope="session")
    def peers(self, _hakit_host_name: str) -> Hosts:
        """The same without the host that the test runs on."""
        return Hosts(self.reach, (name for name in self.site.hosts if name != _hakit_host_name))

    @pytest.fixture(autouse=True)
    def _name_in_junit(
        self, request: pytest.FixtureRequest, record_xml_attribute: Callable[[str, object], None]
    ) -> None:
        """Name a component's tests in JUnit XML by the component, not by where its file happens to lie."""
        if request.path in self.modules:
            record_xml_attribute("classname", self.modules[request.path])

    # No test runs elsewhere.

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Refuse a `host` that is not ours, whoever overrode the fixture."""
        result = yield
        given = getattr(item, "funcargs", {}).get("host")
        if given is not None and not isinstance(getattr(given, "backend", None), backend.Backend):
            pytest.fail(
                f"`host` is {given!r}, not a host of this site: a plugin or conftest.py overrides it", pytrace=False
            )
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fail a test whose commands ran anywhere but on the site's hosts, however it ended."""
        del item
        try:
            result = yield
        finally:
            places = self._elsewhere.take()
            if places:
                pytest.fail(f"it ran commands on {', '.join(places)}: take them from the `host` fixture", pytrace=False)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Watch every backend while tests run."""
        with self._elsewhere.watch():
            return (yield)

    # What came of them.

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn the end of a test, or a failure around it, into an outcome."""
        report = yield
        if report.when == "call" or not report.passed:
            outcome = Outcome(
                host=self._host_of(item) or SITE,
                component=self._component_of(item),
                test=item.nodeid.partition("::")[2],
                title=_title(item),
                status="skipped" if report.skipped else "failed" if report.failed else "passed",
                seconds=round(report.duration, 3),
                message=_message(call, report),
                details=report.longreprtext if report.failed else "",
            )
            self.outcomes.append(outcome)
            self.sink(outcome)
        return report

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember test files that can't be read."""
        if report.failed:
            self.broken[report.nodeid] = last_lines(report.longreprtext)

    def pytest_internalerror(self, excrepr: object) -> bool:
        """Keep pytest's own failure for the error message, and its traceback off the screen."""
        self.crash = last_lines(str(excrepr))
        return True

    def pytest_keyboard_interrupt(self) -> None:
        """Remember that the user, or a test by pytest.exit, broke it off."""
        self.interrupted = True

    def _host_of(self, item: pytest.Item) -> str:
        callspec = getattr(item, "callspec", None)
        return str(callspec.params.get(PARAMETER, "")) if callspec else ""

    def _component_of(self, item: pytest.Item) -> str:
        return self.modules.get(item.path, USER)


def _title(item: pytest.Item) -> str:
    """What a test shows: the first line of its docstring, or its name in words; parameters but the host in brackets."""
    function = getattr(item, "function", None)
    text = inspect.getdoc(function) if function else None
    title = (
        text.splitlines()[0].rstrip(".")
        if text
        else item.name.partition("[")[0].removeprefix("test_").replace("_", " ")
    )
    callspec = getattr(item, "callspec", None)
    rest = [str(value) for name, value in callspec.params.items() if name != PARAMETER] if callspec else []
    return f"{title} ({', '.join(rest)})" if rest else title


def _message(call: pytest.CallInfo[None], report: pytest.TestReport) -> str:
    """Why a test failed or was skipped, in a few lines without a traceback."""
    if call.excinfo is None or report.passed:
        return ""
    error = call.excinfo.value
    if isinstance(error, HakitError):
        return error.text()
    if report.skipped:
        return str(error)
    if isinstance(error, AssertionError | pytest.fail.Exception):
        said, _, _ = str(error).partition("\nassert ")  # pytest adds the expression to what the test's author said
        return _first_lines(said or "an assertion without a message failed")
    return _first_lines(call.excinfo.exconly())


def _first_lines(text: str) -> str:
    lines = text.strip().splitlines()
    return "\n".join(lines if len(lines) <= _MESSAGE_LINES else [*lines[:_MESSAGE_LINES], "…"])


def last_lines(text: str) -> str:
    """The end of a long text, where tracebacks have their message."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return "\n".join(lines[-_MESSAGE_LINES:])
