"""Rows of hosts in a bad state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.lab.faults.breaking import PROXY, full, locked_apt, no_inodes, read_only, script
from tests.lab.faults.row import Elsewhere, Strike
from tests.lab.faults.stage import CONF, FOLDER, UNIT, UNIT_FILE

if TYPE_CHECKING:
    from tests.lab.faults.row import Edit, Row

BASHRC = "/root/.bashrc"
STATE = "/var/lib/hakit"


def with_package(name: str) -> Edit:
    def edit(system: dict[str, Any]) -> None:
        system["packages"] = [name]

    return edit


def with_daemon(system: dict[str, Any]) -> None:
    system["packages"] = ["hakit-daemon"]
    system["units"]["hakit-daemon.service"] = {}


def with_program(line: str) -> Edit:
    """The demo's unit runs another program."""

    def edit(system: dict[str, Any]) -> None:
        unit = system["files"][UNIT_FILE]
        unit["content"] = unit["content"].replace("ExecStart=/bin/sleep infinity", line)

    return edit


def with_new_folders(system: dict[str, Any]) -> None:
    system["files"]["/etc/hakit-more/deep/er/file"] = {"content": "x\n"}


def bashrc(line: str) -> Any:
    return script(f"cp -p {BASHRC} /root/kept; sed -i '1i {line}' {BASHRC}", f"mv /root/kept {BASHRC}")


ROWS: tuple[Row, ...] = (
    Strike(
        "full-disk",
        "host",
        "The disk is full",
        "Nothing is changed; the message names the file system and what is left on it",
        fault=full("/etc", "/var", "/srv", "/home"),
        says=(r"No space left on device", r"0 .*free"),
    ),
    Strike(
        "full-var",
        "host",
        "Only `/var` is full",
        "Nothing is changed, for hakit could not remember it",
        fault=full("/var"),
        says=(r"hakit can't keep its state in /var/lib/hakit", r"No space left on device", r"0 .*free"),
    ),
    Strike(
        "full-target",
        "host",
        "Only the file system of a managed file is full",
        "That file stays as it was, complete; the message names it",
        fault=full(FOLDER),
        says=(rf"files:{CONF}", r"No space left on device", r"0 .*free"),
    ),
    Strike(
        "full-tmp",
        "host",
        "Only `/tmp` is full",
        "Nobody notices: hakit uses no `/tmp`",
        fault=full("/tmp", "/var/tmp"),  # noqa: S108 - it is broken, not used
        edit=with_package("hakit-fault"),
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "read-only-tmp",
        "host",
        "Nobody can write to `/tmp`",
        "Nobody notices: hakit uses no `/tmp`",
        fault=read_only("/tmp", "/var/tmp"),  # noqa: S108 - it is broken, not used
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "no-inodes",
        "host",
        "The file system has room but no inodes",
        "The file stays as it was; the message says that it is inodes that are missing",
        fault=no_inodes(FOLDER),
        says=(r"No space left on device", r"no inodes"),
    ),
    Strike(
        "read-only-target",
        "host",
        "The file system of a managed file is read-only",
        "The file stays as it was; the message names it",
        fault=read_only(FOLDER),
        says=(r"Read-only file system", rf"files:{CONF}"),
    ),
    Strike(
        "read-only-disk",
        "host",
        "The whole disk is read-only",
        "Nothing is changed; the message says so",
        fault=read_only("/etc", "/var", "/srv", "/home"),
        says=(r"Read-only file system",),
    ),
    Strike(
        "immutable-file",
        "host",
        "A managed file is immutable (`chattr +i`)",
        "The file stays as it was; the message says how to see and take the attribute away",
        fault=script(f"chattr +i {CONF}", f"chattr -i {CONF}"),
        says=(r"Operation not permitted", r"immutable", r"chattr -i"),
    ),
    Strike(
        "apt-locked",
        "host",
        "Another process installs packages",
        "hakit waits, says for whom and how long at most, and goes on when it is done",
        fault=locked_apt(3),
        edit=with_package("hakit-fault"),
        says=(r"waiting for dpkg's lock, held by process \d+ \(python3\)", r"at most \d+ min"),
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "apt-no-network",
        "host",
        "The host reaches none of its package sources",
        "It fails soon and says what apt said; everything that needs no package is done",
        fault=script(
            f"cp {PROXY} /root/kept; echo 'Acquire::http::Proxy \"http://127.0.0.1:9\";' > {PROXY}",
            f"mv /root/kept {PROXY}",
        ),
        edit=with_package("no-such-package-here"),
        mend=with_package("hakit-fault"),
        says=(r"no source of this host has the package", r"[Cc]onnection refused"),
        ends="in part",
    ),
    Strike(
        "dead-dns",
        "host",
        "The host's name server does not answer",
        "Nobody notices, unless a package source is named by a name",
        fault=script(
            "cp /etc/resolv.conf /root/kept; echo nameserver 10.79.0.250 > /etc/resolv.conf",
            "mv /root/kept /etc/resolv.conf",
        ),
        exit=0,
        ends="as it should be",
        within=15,
    ),
    Strike(
        "postinst-fails",
        "host",
        "A package's own script fails and leaves it half configured",
        "The message carries what it said; the next apply completes it",
        fault=script("touch /run/postinst-fails", "rm /run/postinst-fails"),
        edit=with_package("hakit-fault"),
        says=(r"package:hakit-fault", r"could not install hakit-fault"),
        ends="in part",
    ),
    Strike(
        "stranger-half-configured",
        "host",
        "A package of somebody else's is half configured and can't be completed",
        "What hakit needs is installed all the same",
        fault=script(
            "touch /run/stranger-fails; apt-get install -y -q hakit-stranger; true",
            "rm /run/stranger-fails; dpkg --configure -a; apt-get purge -y -q hakit-stranger",
        ),
        edit=with_package("hakit-fault"),
        exit=0,
        ends="as it should be",
    ),
    Elsewhere(
        "dpkg-killed",
        "host",
        "dpkg was killed in the middle",
        "It is completed before anything else is installed",
        ("tests/lab/test_agent_resources.py::test_an_interrupted_dpkg_is_completed_first",),
    ),
    Strike(
        "masked-unit",
        "host",
        "A unit that shall run is masked",
        "It is unmasked and started, and the plan says so beforehand",
        fault=script("apt-get install -y -q hakit-daemon; systemctl -q mask --now hakit-daemon.service", "true"),
        edit=with_daemon,
        says=(r"unit hakit-daemon\.service +unmask",),
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "masked-managed-unit",
        "host",
        "A link to `/dev/null` stands where hakit keeps a unit's file",
        "Nothing on that host is touched; the message says what stands there",
        fault=script(
            f"mv {UNIT_FILE} /root/kept; ln -s /dev/null {UNIT_FILE}; systemctl daemon-reload",
            f"rm {UNIT_FILE}; mv /root/kept {UNIT_FILE}; systemctl daemon-reload",
        ),
        says=(rf"{UNIT_FILE} is a symbolic link",),
    ),
    Strike(
        "dies-at-once",
        "host",
        "A unit starts and dies at once",
        "It is reported with the end of its journal; the next apply starts it again",
        edit=with_program("ExecStart=/bin/sh -c 'echo no such luck; exit 3'"),
        mend=with_program("ExecStart=/bin/sleep 100001"),
        says=(rf"unit:{UNIT}", r"died after restart|restart failed", r"no such luck"),
        ends="in part",
    ),
    Strike(
        "dies-after-5s",
        "host",
        "A unit starts, says that all is well, and dies after 5 s",
        "It is found dead before the host is called done, with the end of its journal",
        edit=with_program("ExecStart=/bin/sh -c 'sleep 5; echo no such luck; exit 3'"),
        mend=with_program("ExecStart=/bin/sleep 100002"),
        says=(rf"unit:{UNIT}", r"no such luck"),
        ends="in part",
    ),
    Strike(
        "noisy-bashrc",
        "host",
        "The login's `.bashrc` prints",
        "Nobody notices",
        fault=bashrc('echo Welcome to $(hostname); printf "\\\\033[2J"; seq 500'),
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "endless-bashrc",
        "host",
        "The login's `.bashrc` prints without end",
        "The host is given up after 64 KiB; nothing is changed",
        fault=bashrc("yes"),
        says=(r"login shell prints without end",),
        within=20,
    ),
    Strike(
        "slow-bashrc",
        "host",
        "The login's `.bashrc` takes its time",
        "hakit waits up to 30 s for the agent",
        fault=bashrc("sleep 4"),
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "locale",
        "host",
        "The login has a locale in which i is no small I, and one that is not installed",
        "Nobody notices: commands run in the C locale",
        fault=bashrc("export LANG=tr_TR.UTF-8 LC_ALL=de_DE.UTF-8 LANGUAGE=tr"),
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "umask",
        "host",
        "The login has umask 077",
        "Files and the folders on their way get the mode that is declared",
        fault=bashrc("umask 077"),
        edit=with_new_folders,
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "state-garbage",
        "host",
        "hakit's records on the host are damaged",
        "They are kept aside, hakit says so and what that means, and goes on; nothing is removed",
        fault=script(f"echo garbage > {STATE}/manifest.json; head -c 9999 /dev/urandom > {STATE}/loaded.json", "true"),
        says=(r"manifest\.json is damaged", r"loaded\.json is damaged", r"nothing is removed"),
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "state-link",
        "host",
        "A symbolic link stands in the place of hakit's manifest",
        "It is not followed: neither read nor written through",
        fault=script(
            f"echo precious > /root/precious; ln -sf /root/precious {STATE}/manifest.json",
            'test "$(cat /root/precious)" = precious',
        ),
        says=(r"manifest\.json is damaged",),
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "state-open",
        "host",
        "hakit's folder belongs to somebody else and is open to everyone",
        "It is made root's own again; code that was kept there is not run",
        fault=script(
            f"chown -R nobody {STATE}; chmod 777 {STATE} {STATE}/agent",
            f'test "$(stat -c %U:%a {STATE})" = root:700; '
            f'test ! -e {STATE}/agent || test "$(stat -c %U {STATE}/agent)" = root',
        ),
        says=(r"/var/lib/hakit was open to others",),
        exit=0,
        ends="as it should be",
    ),
    Strike(
        "unfit-target",
        "host",
        "A directory stands where a file is declared",
        "Nothing on that host is touched; the message says what stands there",
        fault=script(f"mv {CONF} /root/kept; mkdir {CONF}", f"rmdir {CONF}; mv /root/kept {CONF}"),
        says=(rf"{CONF} is a directory",),
    ),
    Strike(
        "out-of-memory",
        "host",
        "The host has no memory left for the agent",
        "It says so; nothing is changed",
        fault=bashrc(f"rm -rf {STATE}/agent; ulimit -v 16000"),
        says=(r"one +✗ .*out of memory", r"free -m"),
    ),
    Elsewhere(
        "clock",
        "host",
        "The clock is off by a year",
        "No decision rests on a clock: content is compared by hash, a running unit by systemd's invocation. "
        "`hakit doctor` says how far the clock is off",
        (
            "tests/lab/qemu/test_clock.py::test_a_clock_that_is_off_by_a_year_misleads_nobody",
            "tests/lab/test_main_job.py::test_a_change_behind_its_back_of_equal_size_and_time_is_found_and_mended",
        ),
    ),
)
