"""A change of a host's network ends in the new one, confirmed, or in the old one, wherever it is killed."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent import process
from hakit.agent.errors import Failure
from hakit.agent.network import bringing, changing, interfaces, looking, returning, tasks
from hakit.agent.network.comparing import differences
from hakit.agent.network.library import sources
from hakit.agent.network.live import read
from hakit.agent.network.place import BOOT_LINK, CHANGE, COMMAND, FOLDER, LIBRARY, RETURN
from hakit.agent.network.record import CONFIRMED, RETURNED
from tests.unit.agent import driver
from tests.unit.agent.network.simulated import Simulated, bonded_network, plain_network, with_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakit.agent.resources.network import Network

NETWORKD, IFUPDOWN = "systemd-networkd", "ifupdown"
MANAGERS = [(NETWORKD, NETWORKD), (IFUPDOWN, IFUPDOWN), (IFUPDOWN, NETWORKD), (NETWORKD, IFUPDOWN)]
ASKING = {"run": "r1", "who": "admin@desk", "library": json.dumps({"__main__.py": "pass\n"})}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, memory: Path) -> None:
    monkeypatch.setattr(bringing, "SETTLED", 0.0)
    monkeypatch.setattr(process, "PATH", f"{memory}/template/bin:{process.PATH}")


def old_and_new(before: str, manager: str) -> tuple[Network, Network]:
    return plain_network(before), bonded_network(manager, before if before != manager else "")


def host_with(folder: Path, network: Network) -> Simulated:
    host = Simulated(folder)
    host.set_up()
    bus = Path(host.at(bringing.BUS))
    bus.parent.mkdir(parents=True, exist_ok=True)
    bus.touch()
    with_network(host, network)
    return host


def begin(host: Simulated, network: Network, **more: str) -> str:
    found: str = tasks.carry_out("begin", network, {**ASKING, **more}, host)["id"]
    return found


def change(host: Simulated) -> None:
    changing.change(host.record, host, 0.0)


def give_up(host: Simulated) -> None:
    """Let the time be over, and the timer run out."""
    armed = host.record.pending()
    if armed is not None:
        host.record.give_up(armed, "its time was over")
    returning.restore(host.record, host)


def tree(host: Simulated) -> dict[str, str]:
    """The files of the network, and what is enabled to bring it up."""
    found = {
        str(path.relative_to(host.folder)): f"{path.stat().st_mode:o} {path.read_text()}"
        for folder in ("etc/systemd/network", "etc/network")
        for path in sorted((host.folder / folder).rglob("*"))
        if path.is_file()
    }
    found["up"] = str(sorted(interfaces.up(host)))
    return {**found, "enabled": str([unit for unit in host.get("enabled") if not unit.endswith(".socket")])}


def is_like(host: Simulated, network: Network) -> list[str]:
    return list(differences(network, read(host)))


def assert_guarded(host: Simulated) -> None:
    """The timer runs, the boot is guarded, and both have their program."""
    assert f"{RETURN}.timer" in host.get("active")
    assert Path(host.at(BOOT_LINK)).readlink().name == "hakit-network-boot.service"
    assert Path(host.at(f"{LIBRARY}/__main__.py")).exists()


def assert_settled(host: Simulated, what: str) -> None:
    outcome = host.record.outcome()
    assert outcome is not None
    assert outcome.what == what
    assert host.record.pending() is None
    assert not os.path.lexists(host.at(BOOT_LINK))


def killed(number: int, host: Simulated, what: Callable[[Simulated], Any]) -> bool:
    """Whether a process that does something died before the `number`th of its writes and commands."""
    pid = os.fork()
    if pid == 0:
        try:
            vars(os)["posix_spawn"] = lambda *_: None  # stands for any command, and is counted
            driver.die_at(number)
            host.tick = vars(os)["posix_spawn"]
            what(host)
            os._exit(0)
        finally:
            os._exit(70)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def killed_everywhere(
    memory: Path, prepare: Callable[[Simulated], Any], what: Callable[[Simulated], Any], old: Network
) -> Iterator[tuple[Simulated, bool]]:
    """A host for each write at which a process is killed, after its death; the last one is undisturbed."""
    template = host_with(memory / "template", old)
    prepare(template)
    for number in itertools.count(1):
        host = Simulated(Path(shutil.copytree(template.folder, memory / str(number), symlinks=True)))
        dead = killed(number, host, what)
        yield host, dead
        shutil.rmtree(host.folder)
        if not dead:
            assert number > 5, "the kills hit nothing"
            return


def assert_old(host: Simulated, old: Network, before: dict[str, str]) -> None:
    assert tree(host) == before
    assert is_like(host, old) == []


@pytest.mark.parametrize(("before", "manager"), MANAGERS)
def test_a_change_is_kept_once_it_is_confirmed(memory: Path, before: str, manager: str) -> None:
    old, new = old_and_new(before, manager)
    host = host_with(memory / "template", old)
    found = begin(host, new)
    assert_guarded(host)
    assert is_like(host, old) == []
    assert any(line.startswith("systemd-run ") and CHANGE in line for line in host.get("asked"))
    change(host)
    assert is_like(host, new) == []
    assert_guarded(host)
    told = looking.check(new, {"id": found}, host, 60.0, lambda *_: ())
    assert told["missing"] == []
    assert 0 <= told["since"] < 60
    tasks.carry_out("confirm", new, {"id": found}, host)
    assert_settled(host, CONFIRMED)
    assert tasks.carry_out("confirm", new, {"id": found}, host)["outcome"]["what"] == CONFIRMED
    returning.restore(host.record, host)
    host.boot()
    assert is_like(host, new) == []
    kept = host.state.original(old.files[0].path)
    assert kept is not None
    assert kept[0].decode() == old.files[0].content.reveal()


@pytest.mark.parametrize(("before", "manager"), MANAGERS)
def test_what_is_not_confirmed_returns(memory: Path, before: str, manager: str) -> None:
    old, new = old_and_new(before, manager)
    host = host_with(memory / "template", old)
    files = tree(host)
    found = begin(host, new)
    change(host)
    give_up(host)
    assert_settled(host, RETURNED)
    assert_old(host, old, files)
    with pytest.raises(Failure, match="the old network is back: its time was over"):
        tasks.carry_out("confirm", new, {"id": found}, host)
    host.boot()
    assert_old(host, old, files)


@pytest.mark.parametrize(("before", "manager"), MANAGERS)
def test_a_beginning_killed_anywhere_has_touched_nothing_and_leads_on(memory: Path, before: str, manager: str) -> None:
    old, new = old_and_new(before, manager)
    for host, _ in killed_everywhere(memory, lambda _: None, lambda host: begin(host, new), old):
        assert is_like(host, old) == []
        if host.record.pending() is not None:
            assert_guarded(host)
            give_up(host)
            assert_settled(host, RETURNED)
        assert is_like(host, old) == []
        found = begin(host, new)
        change(host)
        tasks.carry_out("confirm", new, {"id": found}, host)
        assert is_like(host, new) == []


@pytest.mark.parametrize("reset", [False, True], ids=["its timer runs out", "the host is reset"])
@pytest.mark.parametrize(("before", "manager"), MANAGERS)
def test_a_change_killed_anywhere_returns(memory: Path, before: str, manager: str, reset: bool) -> None:
    old, new = old_and_new(before, manager)
    files: dict[str, str] = {}

    def prepare(host: Simulated) -> None:
        files.update(tree(host))
        begin(host, new)

    for host, _ in killed_everywhere(memory, prepare, change, old):
        armed = host.record.pending()
        assert armed is not None
        assert_guarded(host)
        if reset:
            restart(host)
        else:
            give_up(host)
        assert_settled(host, RETURNED)
        assert_old(host, old, files)


def restart(host: Simulated) -> None:
    """The host starts anew; before its network, what is armed is put back."""
    Path(host.at("/proc/sys/kernel/random/boot_id")).write_text("boot2\n")
    host.put(active=[])
    if os.path.lexists(host.at(BOOT_LINK)) and Path(host.at(f"{FOLDER}/armed.json")).exists():
        returning.restore_at_boot(host.record, host)
    host.boot()


@pytest.mark.parametrize("reset", [False, True], ids=["its timer runs out", "the host is reset"])
@pytest.mark.parametrize(("before", "manager"), [MANAGERS[0], MANAGERS[1]])
def test_a_confirmation_killed_anywhere_ends_in_one_of_the_two(
    memory: Path, before: str, manager: str, reset: bool
) -> None:
    old, new = old_and_new(before, manager)
    files: dict[str, str] = {}
    ends = set()

    def prepare(host: Simulated) -> None:
        files.update(tree(host))
        begin(host, new)
        change(host)

    def confirm(host: Simulated) -> None:
        armed = host.record.armed()
        assert armed is not None
        tasks.carry_out("confirm", new, {"id": armed.id}, host)

    for host, _ in killed_everywhere(memory, prepare, confirm, old):
        if reset:
            restart(host)
        else:
            give_up(host)
        outcome = host.record.outcome()
        assert outcome is not None
        ends.add(outcome.what)
        if outcome.what == CONFIRMED:
            assert is_like(host, new) == []
            assert tree(host) != files
        else:
            assert_old(host, old, files)
        assert host.record.pending() is None
        begin(host, old if outcome.what == CONFIRMED else new)
    assert ends == {CONFIRMED, RETURNED}


@pytest.mark.parametrize("reset", [False, True], ids=["it is repeated", "the host is reset"])
@pytest.mark.parametrize(("before", "manager"), MANAGERS)
def test_a_return_killed_anywhere_is_completed(memory: Path, before: str, manager: str, reset: bool) -> None:
    old, new = old_and_new(before, manager)
    files: dict[str, str] = {}

    def prepare(host: Simulated) -> None:
        files.update(tree(host))
        begin(host, new)
        change(host)

    for host, dead in killed_everywhere(memory, prepare, give_up, old):
        armed = host.record.pending()
        if dead and armed is not None and (armed.returning or host.record.given_up(armed)):
            with pytest.raises(Failure, match="too late"):
                tasks.carry_out("confirm", new, {"id": armed.id}, host)
        if reset:
            restart(host)
        else:
            give_up(host)
        assert_settled(host, RETURNED)
        assert_old(host, old, files)


@pytest.mark.parametrize(
    ("before", "manager", "failing"),
    [
        (NETWORKD, NETWORKD, "networkctl reload"),
        (IFUPDOWN, IFUPDOWN, "ifup bond0"),
        (IFUPDOWN, NETWORKD, "systemctl restart systemd-networkd"),
        (IFUPDOWN, NETWORKD, "systemctl disable networking"),
        (NETWORKD, IFUPDOWN, "systemctl enable networking"),
    ],
)
def test_a_step_that_fails_puts_the_old_network_back_at_once(
    memory: Path, before: str, manager: str, failing: str
) -> None:
    old, new = old_and_new(before, manager)
    host = host_with(memory / "template", old)
    files = tree(host)
    found = begin(host, new)
    host.failing = {failing: "it is broken"}
    change(host)
    assert_settled(host, RETURNED)
    host.failing = {}
    assert_old(host, old, files)
    told = tasks.carry_out("look", new, {}, host)
    assert f"{failing}" in told["outcome"]["why"]
    assert "it is broken" in told["outcome"]["why"]
    assert any("it is broken" in line for line in told["log"])
    missing = looking.check(new, {"id": found}, host, 60.0)["missing"]
    assert "the old network is back" in missing[0]


@pytest.mark.parametrize(
    ("failing", "touched"),
    [
        ("systemctl start hakit-network-return.timer", False),
        ("systemctl is-active hakit-network-return.timer", False),
        ("systemctl daemon-reload", False),
        ("systemctl show", False),
        ("systemd-run", False),
        ("ifup --no-act", False),
    ],
)
def test_nothing_begins_without_its_guard(memory: Path, failing: str, touched: bool) -> None:
    old, new = old_and_new(IFUPDOWN, IFUPDOWN)
    host = host_with(memory / "template", old)
    files = tree(host)
    host.failing = {failing: "no"}
    with pytest.raises(Failure):
        begin(host, new)
    assert host.record.pending() is None
    assert (tree(host) != files) is touched
    change(host)
    assert is_like(host, old) == []


def test_a_change_that_is_armed_keeps_others_off(memory: Path) -> None:
    old, new = old_and_new(NETWORKD, NETWORKD)
    host = host_with(memory / "template", old)
    begin(host, new)
    with pytest.raises(Failure, match="not settled"):
        begin(host, new)
    with pytest.raises(Failure, match="not ended yet"):
        tasks.carry_out("confirm", new, {"id": host.record.pending().id}, host)  # type: ignore[union-attr]  # it is armed
    with pytest.raises(Failure, match="no change"):
        tasks.carry_out("confirm", new, {"id": "another"}, host)


def test_a_change_that_was_cut_off_is_never_confirmed(memory: Path) -> None:
    """Its last step was done, and nobody knows whether it was the last."""
    old, new = old_and_new(NETWORKD, NETWORKD)
    host = host_with(memory / "template", old)
    found = begin(host, new)
    change(host)
    armed = host.record.pending()
    assert armed is not None
    host.record.arm(armed.replace(done=0.0))
    told = looking.check(new, {"id": found}, host, 60.0, lambda *_: ())
    assert told["missing"] == ["the change was cut off before its end"]
    assert told["since"] is None
    with pytest.raises(Failure, match="not ended yet"):
        tasks.carry_out("confirm", new, {"id": found}, host)


def test_a_change_given_up_is_put_back_by_its_own_unit(memory: Path) -> None:
    old, new = old_and_new(NETWORKD, NETWORKD)
    host = host_with(memory / "template", old)
    found = begin(host, new)
    change(host)
    tasks.carry_out("giveup", new, {"id": found, "why": "no carrier"}, host)
    assert host.get("asked")[-1] == f"systemctl start --no-block {RETURN}.service"
    assert looking.check(new, {"id": found}, host, 60.0)["missing"] == ["the old network is being put back"]
    returning.restore(host.record, host)
    outcome = host.record.outcome()
    assert outcome is not None
    assert (outcome.what, outcome.why) == (RETURNED, "no carrier")
    assert is_like(host, old) == []


def test_what_only_the_kernel_had_returns_too(memory: Path) -> None:
    """An address, a route and a bond that no file names are put back with ip; a VIP of others is left to them."""
    old, new = old_and_new(NETWORKD, NETWORKD)
    new = new.replace(others=("10.0.0.100",))
    host = host_with(memory / "template", old)
    for line in (
        "ip address replace 10.0.9.9/24 dev eth0",
        "ip address replace 10.0.0.100/32 dev eth0",
        "ip route replace 10.50.0.0/16 via 10.0.0.9 dev eth0 protocol static",
        "ip link add name bond7 type bond mode 802.3ad",
        "ip link set dev eth1 master bond7",
        "ip link add link bond7 name bond7.5 type vlan id 5",
        "ip address replace 10.5.0.5/24 dev bond7.5",
    ):
        assert host.run(line.split()).code == 0
    was = read(host)
    begin(host, new)
    change(host)
    assert is_like(host, new) == []
    give_up(host)
    now = read(host)
    assert "10.0.0.100/32" in {address for link in was.links for address in link.addresses}
    host.run(["ip", "address", "delete", "10.0.0.100/32", "dev", "eth0"])
    host.run(["ip", "address", "delete", "10.0.0.100/32", "dev", "bond0"]) if now.link("bond0") else None
    now = read(host)
    for link in was.links:
        here = now.link(link.name)
        assert here is not None
        assert (here.kind, here.master, here.on, here.id) == (link.kind, link.master, link.on, link.id)
        assert set(link.addresses) - {"10.0.0.100/32"} == set(here.addresses)
        assert dict(here.options).get("mode") == dict(link.options).get("mode")
    assert sorted(map(repr, now.routes)) == sorted(map(repr, was.routes))


def test_the_library_runs_alone(memory: Path) -> None:
    """As systemd starts it: nothing but the files of the library is there to import."""
    target = memory / "library"
    for name, text in sources().items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text)
    old, new = old_and_new(NETWORKD, NETWORKD)
    host = host_with(memory / "template", old)
    begin(host, new)
    argv = [sys.executable, *COMMAND[1:-1], str(target), "boot", host.at(FOLDER)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, cwd="/")
    assert (done.returncode, done.stderr) == (0, "")
    assert_settled(host, RETURNED)
    for words in (["fly", "x"], ["restore"]):
        wrong = subprocess.run([*argv[:-2], *words], capture_output=True, text=True, timeout=60, check=False, cwd="/")
        assert wrong.returncode == 2
        assert "usage" in wrong.stderr
