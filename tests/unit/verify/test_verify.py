"""Whole verifications; the hosts are this machine behind a connection that runs commands here."""

from __future__ import annotations

import os
import shlex
import subprocess
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from xml.etree import ElementTree as ET

import pytest

from hakit.components.base import Component
from hakit.engine.select import select
from hakit.errors import ConnectError, HakitError
from hakit.inventory import load
from hakit.inventory.types import Settings
from hakit.ssh import Completed
from hakit.verify.hosts import Reach
from hakit.verify.plugin import Job
from hakit.verify.runner import modules_of, run, user_tests

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from hakit.agent.resources.base import Resource
    from hakit.components.base import HostContext
    from hakit.inventory.model import Host
    from hakit.ssh import Connection
    from hakit.verify.report import Outcome, Report

INVENTORY = """
all:
  children:
    web:
      hosts: {web1: {hakit: {toy: {colour: red}}}, web2: {hakit: {toy: {colour: blue}}}}
    db:
      hosts: {db1: {ansible_user: bob}}
"""
TOY = """
    def test_colour(host, settings, hakit_host):
        '''The host has its colour.'''
        assert host.run("echo %s", settings.colour).stdout == settings.colour + "\\n"
        assert host.backend.hostname == hakit_host.name
"""


class ToySettings(Settings):
    colour: str


class Toy(Component):
    name: ClassVar[str] = "toy"
    Settings: ClassVar[type[BaseModel]] = ToySettings

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        del ctx
        return ()

    def verify(self) -> str:
        return "toy_checks"


class Here:
    """Stands for an SSH connection: commands run on this machine, with the host's name in HAKIT_HOST."""

    def __init__(self, name: str, user: str, journal: list[tuple[str, str]]) -> None:
        self.name = name
        self.user = user
        self.root = user == "root"
        self.journal = journal

    def run(self, command: str, timeout: float, data: bytes = b"") -> Completed:
        words = shlex.split(data.decode())
        self.journal.append((self.name, f"{command} < {words[words.index('-c') + 1]}" if words else command))
        command = "echo Welcome; echo Welcome >&2; " + command.replace("env LC_ALL=C sudo -n -- ", "")
        environment = {"HAKIT_HOST": self.name, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        shell = ["/bin/sh", "-c", command]
        done = subprocess.run(shell, check=False, capture_output=True, timeout=timeout, env=environment, input=data)
        return Completed(done.returncode, done.stdout, done.stderr)


class World:
    """An inventory in a folder, and verifications of it."""

    def __init__(self, folder: Path, dead: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.dead = dead
        self.journal: list[tuple[str, str]] = []
        self.connected: list[str] = []
        self.heard: list[Outcome] = []
        (folder / "hosts.yml").write_text(INVENTORY)
        self.components: dict[str, Component] = {"toy": Toy()}

    def toy(self, text: str) -> None:
        (self.folder / "toy_checks.py").write_text(textwrap.dedent(text))

    def own(self, text: str, name: str = "test_own.py") -> None:
        (self.folder / "tests").mkdir(exist_ok=True)
        (self.folder / "tests" / name).write_text(textwrap.dedent(text))

    def connect(self, host: Host) -> Connection:
        if host.name in self.dead:
            raise ConnectError(f"{host.name}: no answer")
        self.connected.append(host.name)
        return Here(host.name, host.login.user or "root", self.journal)  # type: ignore[return-value] # as far as used

    def verify(self, *limit: str, junit: Path | None = None) -> Report:
        site = load(self.folder, {"toy": ToySettings})
        job = Job(site, modules_of(self.components, None), user_tests(site), select(site, limit), select)
        return run(job, Reach(site.hosts, self.connect, 4), self.heard.append, junit)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.syspath_prepend(str(tmp_path))
    made = World(tmp_path)
    made.toy(TOY)
    return made


def ends(report: Report) -> dict[tuple[str, str], str]:
    return {(one.host, one.test.partition("[")[0]): one.status for one in report.outcomes}


def only_message(report: Report) -> str:
    (failed,) = {one.message for one in report.outcomes if one.status == "failed"}
    return failed


def test_a_component_is_tested_on_each_host_that_runs_it(world: World) -> None:
    report = world.verify()
    assert ends(report) == {("web1", "test_colour"): "passed", ("web2", "test_colour"): "passed"}
    assert [(name, command) for name, command in world.journal if "echo" in command] == [
        ("web1", "/bin/sh < echo red"),
        ("web2", "/bin/sh < echo blue"),
    ]
    assert report.ok
    assert world.heard == list(report.outcomes)
    assert {one.title for one in report.outcomes} == {"The host has its colour"}


def test_each_host_is_connected_once(world: World) -> None:
    world.own("def test_peers(host, peers):\n    assert all(p.run('true').rc == 0 for p in peers.values())\n")
    assert world.verify().ok
    assert sorted(world.connected) == ["db1", "web1", "web2"]


def test_limit_narrows_the_tests_but_not_the_peers(world: World) -> None:
    world.own(
        """
        def test_peers(host, peers, site_hosts, hakit_site):
            assert list(peers) == ["web2", "db1"]
            assert list(site_hosts) == list(hakit_site.hosts)
            assert peers["web2"].check_output("echo $HAKIT_HOST") == "web2"
        """
    )
    assert ends(world.verify("web1")) == {("web1", "test_colour"): "passed", ("web1", "test_peers"): "passed"}


def test_the_users_tests_run_on_the_hosts_they_name(world: World) -> None:
    world.own(
        """
        import pytest
        testinfra_hosts = ["db"]
        def test_one(host): assert host.check_output("echo $HAKIT_HOST") == "db1"
        @pytest.mark.hosts("web*", "!web2")
        def test_two(host): pass
        def test_three(hakit_host, settings): assert settings == {}
        """
    )
    report = world.verify()
    own = {key: status for key, status in ends(report).items() if key[1] != "test_colour"}
    assert own == {("db1", "test_one"): "passed", ("web1", "test_two"): "passed", ("db1", "test_three"): "passed"}


def test_a_test_of_the_whole_site_runs_once(world: World) -> None:
    world.own("def test_site(site_hosts):\n    assert len(site_hosts) == 3\n")
    assert [one.host for one in world.verify().outcomes] == ["web1", "web2", "site"]


def test_a_user_without_root_gets_there_by_sudo(world: World) -> None:
    world.own("testinfra_hosts = ['db1']\ndef test_id(host):\n    assert host.check_output('id -u') == '0'\n")
    world.verify()
    commands = [command for name, command in world.journal if name == "db1"]
    assert commands == ["env LC_ALL=C sudo -n -- true", "env LC_ALL=C sudo -n -- /bin/sh < id -u"]


def test_another_user_is_reached_without_sudo(world: World) -> None:
    world.own(
        """
        def test_sudo(host):
            with host.sudo("www-data"):
                host.run("echo 'a b'")
            host.run("plain")
        """
    )
    world.verify("web1")
    assert [command for _, command in world.journal if "echo red" not in command][-2:] == [
        """/bin/sh < runuser -u www-data -- /bin/sh -c 'echo '"'"'a b'"'"''""",
        "/bin/sh < plain",
    ]


def test_a_failure_is_told_in_the_words_of_its_assertion(world: World) -> None:
    world.own("def test_it(host):\n    assert host.run('exit 3').rc == 0, f'{host.backend.hostname} is ill'\n")
    report = world.verify("web1")
    assert not report.ok
    assert only_message(report) == "web1 is ill"
    (failed,) = [one for one in report.outcomes if one.status == "failed"]
    assert failed.title == "it"
    assert "test_own.py:2" in failed.details


def test_a_bare_assertion_shows_its_values(world: World) -> None:
    world.own("def test_it(host):\n    assert host.run('exit 3').rc == 0\n")
    assert "assert 3 == 0" in only_message(world.verify("web1"))


def test_an_unreachable_host_is_listed_and_the_others_are_tested(world: World) -> None:
    world.dead = ("web1",)
    report = world.verify()
    assert not report.ok
    assert list(report.unreachable) == ["web1"]
    assert ends(report) == {("web2", "test_colour"): "passed"}


def test_an_unreachable_host_beyond_the_limit_is_nobodys_failure(world: World) -> None:
    world.dead = ("web1",)
    world.own("def test_all(host, site_hosts):\n    assert list(site_hosts) == ['web2', 'db1']\n")
    report = world.verify("web2")
    assert report.ok
    assert report.unreachable == {}


def test_asking_for_an_unreachable_peer_says_why(world: World) -> None:
    world.dead = ("web1",)
    world.own("def test_all(host, peers):\n    peers['web1']\n")
    assert "web1: no answer" in only_message(world.verify("web2"))


ELSEWHERE = {
    "local backend": """
        import testinfra
        def test_it(host):
            assert testinfra.get_host("local://").run("true").rc == 0
        """,
    "local backend, failure hidden": """
        import testinfra
        def test_it(host):
            try:
                testinfra.get_host("local://").run("true")
            except BaseException:
                pass
        """,
    "in a fixture": """
        import pytest, testinfra
        @pytest.fixture
        def wrong(): return testinfra.get_host("local://").run("true").rc
        def test_it(host, wrong): assert wrong == 0
        """,
    "a fixture of its own called host": """
        import pytest, testinfra
        @pytest.fixture
        def host(): return testinfra.get_host("local://")
        def test_it(host, hakit_host): pass
        """,
    "testinfra's own plugin": """
        pytest_plugins = ["testinfra.plugin"]
        def test_it(host): assert host.run("true").rc == 0
        """,
    "run_local of our own backend": """
        def test_it(host): assert host.backend.run_local("true").rc == 0
        """,
}


@pytest.mark.parametrize("way", ELSEWHERE)
def test_a_test_that_runs_on_another_machine_fails(world: World, way: str) -> None:
    world.toy("def test_colour(host): assert host.run('true').rc == 0\n")
    world.own(ELSEWHERE[way])
    report = world.verify("web1")
    assert not report.ok
    assert ends(report)["web1", "test_colour"] == "passed"
    assert {one.status for one in report.outcomes if one.component == "tests"} <= {"failed"}
    assert "passed" not in [one.status for one in report.outcomes if one.component == "tests"]


def test_where_a_test_ran_instead_is_told(world: World) -> None:
    world.own(ELSEWHERE["local backend"])
    assert "it ran commands on this machine (testinfra's local backend)" in only_message(world.verify("web1"))


def test_what_surrounds_us_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")
    world.own("def test_it(host): pass\n")
    (world.folder / "tests" / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")
    assert world.verify().ok
    assert os.environ["PYTEST_ADDOPTS"] == "--no-such-option"


def test_a_file_that_can_not_be_read_is_told_and_the_others_run(world: World) -> None:
    world.own("def broken(:\n", "test_broken.py")
    world.own("def test_it(host): pass\n")
    report = world.verify("web1")
    assert not report.ok
    assert ends(report) == {("web1", "test_colour"): "passed", ("web1", "test_it"): "passed"}
    ((name, reason),) = report.broken.items()
    assert name.endswith("tests/test_broken.py")
    assert "SyntaxError" in reason


def test_a_pattern_that_matches_nothing_is_told(world: World) -> None:
    world.own("testinfra_hosts = ['dbs']\ndef test_it(host): pass\n")
    (reason,) = world.verify("web1").broken.values()
    assert "did you mean db?" in reason


def test_a_test_outside_the_limit_does_not_run(world: World) -> None:
    world.own("testinfra_hosts = ['db']\ndef test_it(host): pass\n")
    assert [(one.host, one.status) for one in world.verify("web").outcomes] == [("web1", "passed"), ("web2", "passed")]


def test_skips_are_skips_and_carry_their_reason(world: World) -> None:
    world.own("import pytest\ndef test_it(host): pytest.skip('not today')\n")
    (own,) = [one for one in world.verify("web1").outcomes if one.component == "tests"]
    assert (own.status, own.message) == ("skipped", "not today")


def test_output_of_tests_stays_off_the_terminal(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.own("def test_it(host):\n    print('noise')\n    assert False, 'no'\n")
    world.verify("web1")
    assert capfd.readouterr() == ("", "")


def test_junit_names_components_and_hosts(world: World, tmp_path: Path) -> None:
    world.own("def test_it(host): assert host.backend.hostname == 'web1'\n")
    world.verify("web", junit=tmp_path / "report.xml")
    cases = ET.parse(tmp_path / "report.xml").getroot().iter("testcase")  # noqa: S314 - written a moment ago
    found = {(case.get("classname"), case.get("name")): len(case.findall("failure")) for case in cases}
    assert found == {
        ("toy", "test_colour[web1]"): 0,
        ("toy", "test_colour[web2]"): 0,
        ("tests.test_own", "test_it[web1]"): 0,
        ("tests.test_own", "test_it[web2]"): 1,
    }


def test_nothing_is_left_beside_the_users_tests(world: World) -> None:
    world.own("def test_it(host): pass\n")
    world.verify("web1")
    assert sorted(path.name for path in (world.folder / "tests").iterdir()) == ["test_own.py"]
    assert not (world.folder / ".pytest_cache").exists()


def test_a_run_in_which_nothing_was_verified_is_no_success(world: World) -> None:
    world.own("testinfra_hosts = ['web']\ndef test_it(host): pass\n")
    report = world.verify("db1")
    assert report.outcomes == ()
    assert not report.ok


def test_a_broken_conftest_is_told(world: World) -> None:
    world.own("import no_such_module\n", "conftest.py")
    world.own("def test_it(host): pass\n")
    with pytest.raises(HakitError) as caught:
        world.verify("web1")
    assert "no_such_module" in caught.value.text()


def test_a_plugin_that_breaks_pytest_is_told(world: World) -> None:
    world.own("def pytest_runtest_logreport(report): raise ValueError('from a hook')\n", "conftest.py")
    world.own("def test_it(host): pass\n")
    with pytest.raises(HakitError) as caught:
        world.verify("web1")
    assert "from a hook" in caught.value.text()


def test_breaking_it_off_is_no_success(world: World) -> None:
    world.own("def test_it(host): raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        world.verify("web1")


def test_junit_that_can_not_be_written_is_told(world: World) -> None:
    with pytest.raises(HakitError, match=r"^/proc/report\.xml: "):
        world.verify("web1", junit=Path("/proc/report.xml"))
