"""What a host tells of itself to doctor: by a real agent with fake programs, and by packets made by hand."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent import neighbours
from hakit.agent.errors import FrameError
from hakit.agent.examining import examine
from hakit.agent.work import Work
from hakit.engine import examination

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.agent.agent_support import Agents

LINKS = """[{"ifname":"lo","flags":["UP"],"address":"00:00:00:00:00:00","addr_info":[]},
{"ifname":"eth0","flags":["BROADCAST","UP"],"address":"02:00:00:00:00:01","addr_info":[
{"family":"inet","local":"10.0.0.1","prefixlen":24},{"family":"inet6","local":"fd00::1","prefixlen":64,"dadfailed":true}
]}]"""
APT_GET = """#!/bin/sh
case "$*" in
*--print-uris*)
    echo "'http://one.test/debian/dists/stable/InRelease' one 0 "
    echo "'http://one.test/debian/dists/stable/main/Packages.xz' two 0 "
    echo "'http://two.test/dists/old/InRelease' three 0 "
    echo "'file:/srv/repo/InRelease' four 0 " ;;
*nosuch*) echo "E: Unable to locate package nosuch" >&2; exit 100 ;;
*clash*) echo "Remv other [1]"; echo "Inst clash (1)" ;;
*) echo "Inst fine (1)" ;;
esac
"""
HELPER = """#!/bin/sh
while [ "$1" != download-file ]; do shift; done; shift
while [ $# -gt 0 ]; do
    case "$1" in
    http://one.test/*) echo "E: Failed to fetch $1  Could not resolve 'one.test'" >&2 ;;
    file:*) echo "E: Failed to fetch $1  nobody may ask" >&2 ;;
    */old/InRelease) echo "E: Failed to fetch $1  404  Not Found [IP: 10.0.0.9 80]" >&2 ;;
    *) echo fetched > "$2" ;;
    esac
    shift 3
done
"""


@pytest.fixture
def host(agents: Agents) -> Agents:
    """A host that is well, made of fakes."""
    programs = {
        "ip": f"#!/bin/sh\ncat <<'END'\n{LINKS}\nEND\n",
        "apt-get": APT_GET,
        "dpkg": "#!/bin/sh\n",
        "dpkg-query": "#!/bin/sh\nprintf 'bash\\t1\\tii \\n'\n",
        "apt-mark": "#!/bin/sh\necho keepalived\n",
        "systemctl": "#!/bin/sh\ncase $1 in list-units) echo 'bad.service loaded failed failed Bad' ;;\n"
        'show) shift 3; for u; do [ -n "$s" ] && echo; s=1; echo LoadState=masked; done ;; esac\n',
    }
    for name, text in programs.items():
        agents.write(f"bin/{name}", text, 0o755)
    agents.write("/usr/lib/apt/apt-helper", HELPER, 0o755)
    agents.write("/etc/machine-id", "abc\n")
    agents.write("/etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA root@x\n")
    agents.write("/proc/uptime", "1000.5 2000\n")
    agents.write(
        "/proc/1/stat", "1 (a b) " + " ".join(["S"] + ["0"] * 18 + [str(400 * os.sysconf("SC_CLK_TCK"))]) + "\n"
    )
    return agents


def ask(host: Agents, question: str, argument: Any, kind: Any) -> Any:
    with host.client(lock=False) as client:
        answer = client.examine({question: argument})[question]
    return examination._checked(question, answer, kind)


def test_a_machine_tells_what_makes_it_itself(host: Agents) -> None:
    machine = ask(host, "machine", None, examination.Machine)
    assert (machine.id, machine.keys, machine.reboot) == ("abc", ("ssh-ed25519 AAAA",), False)
    assert machine.uptime == pytest.approx(600.5)
    (nic,) = machine.nics
    assert (nic.name, nic.mac, nic.up) == ("eth0", "02:00:00:00:00:01", True)
    assert nic.addresses == ("10.0.0.1/24", "fd00::1/64")
    assert nic.clashing == ("fd00::1",)
    host.write("/run/reboot-required", "")
    assert ask(host, "machine", None, examination.Machine).reboot


def test_the_clock_is_the_hosts(host: Agents) -> None:
    before = time.time()
    reading = ask(host, "clock", None, examination.Reading)
    assert before <= reading.now <= time.time()


def test_a_path_that_is_missing_is_judged_by_the_file_system_it_would_be_on(host: Agents) -> None:
    missing, root = ask(host, "disks", ["/var/lib/nothing/there", "/"], tuple[examination.Disk, ...])
    assert missing.size == root.size == os.statvfs(host.root).f_blocks * os.statvfs(host.root).f_frsize
    assert 0 < root.free <= root.size
    assert not root.readonly


def test_the_mount_point_is_the_nearest_that_the_kernel_knows(host: Agents) -> None:
    points = ("/", "/var", "/var/lib", "/usr")
    host.write("/proc/self/mounts", "".join(f"none {point} ext4 rw 0 0\n" for point in points))
    (host.root / "var/lib/dpkg").mkdir(parents=True)
    (host.root / "variety").mkdir()
    found = ask(host, "disks", ["/var/lib/dpkg", "/variety", "/usr", "/"], tuple[examination.Disk, ...])
    assert [one.mount for one in found] == ["/var/lib", "/", "/usr", "/"]


def test_units_that_failed_or_are_masked(host: Agents) -> None:
    host.write("/usr/lib/systemd/system/haproxy.service", "[Service]\n")
    units = ask(host, "units", ["haproxy.service", "keepalived.service"], examination.Units)
    assert units.failed == ("bad.service",)
    assert units.masked == ("haproxy.service", "keepalived.service")
    assert units.beneath == ("haproxy.service",)


@pytest.mark.parametrize(
    ("install", "errors", "removes"),
    [
        (["bash", "fine"], (), ()),
        (["nosuch"], ("Unable to locate package nosuch",), ()),
        (["clash"], (), ("other",)),
    ],
)
def test_an_installation_is_tried_without_doing_it(
    host: Agents, install: list[str], errors: tuple[str, ...], removes: tuple[str, ...]
) -> None:
    before = host.tree()
    found = ask(host, "packages", {"install": install, "sources": False}, examination.Packages)
    assert found.missing == tuple(name for name in install if name != "bash")
    assert (found.trial.errors, found.trial.removes) == (errors, removes)
    assert (found.held, found.audit, found.locks, found.unreachable) == (("keepalived",), "", (), ())
    assert host.tree() == before


def test_archives_that_do_not_answer_are_named_and_local_ones_not_asked(host: Agents) -> None:
    before = host.tree()
    found = ask(host, "packages", {"install": [], "sources": True}, examination.Packages)
    (source,) = found.unreachable
    assert source.uri == "http://one.test/debian/dists/stable/InRelease"
    assert "Could not resolve" in source.reason
    assert host.tree() == before


def test_a_held_lock_names_its_holder(host: Agents) -> None:
    path = host.write("/var/lib/dpkg/lock-frontend", "")
    with path.open("r+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        found = ask(host, "packages", {"install": [], "sources": False}, examination.Packages)
    (lock,) = found.locks
    assert (lock.path, lock.pid) == ("/var/lib/dpkg/lock-frontend", os.getpid())


def test_what_a_host_can_not_tell_is_said(host: Agents) -> None:
    host.write("bin/systemctl", "#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n", 0o755)
    assert "systemctl failed" in ask(host, "units", ["a.service"], examination.Units)


def test_an_answer_of_another_type_is_not_believed() -> None:
    for answer in (None, {"now": "soon", "synchronized": None}, {"synchronized": True}, [1]):
        with pytest.raises(FrameError, match="clock"):
            examination._checked("clock", answer, examination.Reading)


def test_an_unknown_question_is_nonsense() -> None:
    with pytest.raises(FrameError, match="weather"):
        examine({"weather": None}, Work("", lambda _: None))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_reach_tells_open_from_refused_from_silent(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        free = closed.getsockname()[1]
    assert neighbours.reach([("127.0.0.1", port), ("127.0.0.1", free)], 2.0) == ["open", "refused"]
    with socket.socket() as full:  # a queue that takes no connection answers no SYN
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(8)]
        for one in fillers:
            one.settimeout(0)
            one.connect_ex(full.getsockname())
        began = time.monotonic()
        assert neighbours.reach([full.getsockname()], 0.3) == ["silent"]
        assert time.monotonic() - began < 2
        for one in fillers:
            one.close()


class Deaf(neighbours._Watch):
    """A watch that sends nothing and opens nothing."""

    def attempt(self, nic: str, what: Any) -> None:
        del nic, what


def advert(version: int, number: int, priority: int, *addresses: str) -> bytes:
    head = struct.pack("!BBBBHH", version << 4 | 1, number, priority, len(addresses), 100, 0)
    return head + b"".join(map(socket.inet_aton, addresses))


def test_an_advert_is_read_from_its_ip_packet() -> None:
    watch = Deaf([])
    packet = b"\x46" + bytes(23) + advert(3, 51, 200, "10.0.0.100", "10.0.0.101")  # 24 bytes: a header with options
    watch._advert_v4("eth0", packet, ("10.0.0.9", 0))
    (((nic, source, number), more),) = watch.adverts
    assert (nic, source, number) == ("eth0", "10.0.0.9", 51)
    assert more == {"version": 3, "priority": 200, "addresses": ["10.0.0.100", "10.0.0.101"]}


@pytest.mark.parametrize(
    "packet", [b"", b"\x45", b"\x45" + bytes(19), bytes(3), b"\x45" + bytes(19) + b"\x32" + bytes(7)]
)
def test_what_is_no_advert_is_passed_over(packet: bytes) -> None:
    watch = Deaf([])
    watch._advert_v4("eth0", packet, ("10.0.0.9", 0))
    assert not watch.adverts


def test_a_count_that_promises_more_addresses_than_came_is_not_believed() -> None:
    watch = Deaf([])
    watch._advert("eth0", advert(2, 7, 100, "10.0.0.100")[:-4], ("10.0.0.9", 0), 4)
    watch._advert("eth0", b"\x21\x08\x64\xff" + bytes(4), ("10.0.0.9", 0), 4)
    assert [more["addresses"] for _, more in watch.adverts] == [[], []]


def test_a_neighbour_advertisement_gives_the_mac_of_what_was_asked_for() -> None:
    watch = Deaf([("eth0", "fd00::5")])
    target, option = socket.inet_pton(socket.AF_INET6, "fd00::5"), b"\2\1" + bytes.fromhex("020000000005")
    watch._neighbour("eth0", bytes([136, 0, 0, 0, 0, 0, 0, 0]) + target + option)
    watch._neighbour("eth0", bytes([136, 0, 0, 0, 0, 0, 0, 0]) + bytes(16) + option)
    watch._neighbour("eth0", b"\x88")
    assert list(watch.answers) == [("eth0", "fd00::5", "02:00:00:00:00:05")]


def test_a_nic_that_is_not_there_is_said_and_stops_nothing() -> None:
    found = neighbours.survey([("nosuch0", "10.9.9.9"), ("nosuch0", "fd00::1")], ["nosuch0"], 0.0)
    assert found["answers"] == found["adverts"] == []
    assert list(found["failed"]) == ["nosuch0"]
