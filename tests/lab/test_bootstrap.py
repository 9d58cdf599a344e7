"""Bare hosts made manageable: what is lacking is brought once, and what can't be is told."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest

from hakit.cli.reach import connector, target
from hakit.ssh import Target
from tests.lab.logins import NO_OPS, PASSWORD, on, typed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from tests.lab.conftest import LabFactory, LabHandle

INVENTORY = """
all:
  vars:
    ansible_user: ops
    hakit:
      lab: {driver: nspawn, network: 10.77.0.0/24}
  hosts:
    bare: {ansible_host: 10.77.0.11}
    other: {ansible_host: 10.77.0.12}
"""
NO_PYTHON = "apt-get -qy purge 'python3*' 'libpython3*' && test ! -e /usr/bin/python3"


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    return lab_factory(INVENTORY)


def bootstrap(lab: LabHandle, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return lab.hakit("bootstrap", "--limit", "bare", *words, timeout=timeout)


@pytest.fixture
def bare(lab: LabHandle) -> Iterator[Callable[[str], str]]:
    """Runs scripts on a host without the managing user; it is manageable again afterwards."""
    on(lab, "bare", NO_OPS)
    yield lambda script: on(lab, "bare", script)
    assert bootstrap(lab, "--yes").returncode == 0


def test_a_bare_host_becomes_manageable_once(lab: LabHandle, bare: Callable[[str], str]) -> None:
    bare(f"{NO_PYTHON} && SUDO_FORCE_REMOVE=yes apt-get -qy purge sudo")
    assert bootstrap(lab).returncode == 2  # without a terminal to ask on
    done = bootstrap(lab, "--yes")
    assert (done.returncode, "Done: 1 host prepared, 0 failed." in done.stdout) == (0, True), done
    for step in ("package python3", "package sudo", "user ops", "~ops/.ssh/authorized_keys", "50-hakit-ops"):
        assert step in done.stdout
    assert bare("stat -c '%a %U' /etc/sudoers.d/50-hakit-ops ~ops/.ssh ~ops/.ssh/authorized_keys").splitlines() == [
        "440 root",
        "700 ops",
        "600 ops",
    ]
    before = bare("find /etc /home -newer /etc/sudoers.d/50-hakit-ops -type f; ls -A /etc/sudoers.d /tmp")
    again = bootstrap(lab, "--json")
    assert json.loads(again.stdout)["hosts"]["bare"] == {
        "state": "manageable",
        "user": "ops",
        "login": "ops",
        "steps": [],
        "error": None,
    }
    assert bare("find /etc /home -newer /etc/sudoers.d/50-hakit-ops -type f; ls -A /etc/sudoers.d /tmp") == before
    assert lab.hakit("plan", "--limit", "bare").returncode == 0


def test_python_minimal_is_not_enough(lab: LabHandle, bare: Callable[[str], str]) -> None:
    bare(f"{NO_PYTHON}; apt-get -qy install --no-install-recommends python3-minimal")
    done = bootstrap(lab, "--yes")
    assert done.returncode == 0, done
    assert "it lacks the module _json" in done.stdout


def test_only_what_is_lacking_is_brought(lab: LabHandle, bare: Callable[[str], str]) -> None:
    bare("useradd -m ops; mkdir -m 777 ~ops/.ssh; printf '# mine\\nssh-ed25519 AAAAother' > ~ops/.ssh/authorized_keys")
    done = bootstrap(lab, "--yes")
    assert done.returncode == 0, done
    assert "package" not in done.stdout
    lines = bare("cat ~ops/.ssh/authorized_keys").splitlines()
    assert lines[:2] == ["# mine", "ssh-ed25519 AAAAother"]
    assert len(lines) == 3


def test_a_sudoers_that_was_broken_before_is_told(lab: LabHandle, bare: Callable[[str], str]) -> None:
    bare("echo 'this is no rule' > /etc/sudoers.d/10-broken; chmod 440 /etc/sudoers.d/10-broken")
    try:
        done = bootstrap(lab, "--yes")
    finally:
        bare("rm /etc/sudoers.d/10-broken")
    assert done.returncode == 0, done  # sudo goes past such a line, and the login proves it
    assert "visudo finds an error that was there before: /etc/sudoers.d/10-broken:1" in done.stdout


def test_a_rule_that_visudo_refuses_with_the_others_is_taken_back(lab: LabHandle, bare: Callable[[str], str]) -> None:
    """A visudo that finds the whole wrong once our rule is there."""
    bare("mv /usr/sbin/visudo /usr/sbin/visudo.away")
    bare(
        "printf '%s\\n' '#!/bin/sh' 'test $# -gt 1 -o ! -e /etc/sudoers.d/50-hakit-ops || { echo boom; exit 1; }'"
        " > /usr/sbin/visudo; chmod +x /usr/sbin/visudo"
    )
    try:
        done = bootstrap(lab, "--yes")
    finally:
        bare("mv /usr/sbin/visudo.away /usr/sbin/visudo")
    assert done.returncode == 1
    assert "visudo finds an error in sudoers; /etc/sudoers.d/50-hakit-ops is as it was\n  boom" in done.stdout
    assert bare("ls -A /etc/sudoers.d") == "README"


def test_a_lock_of_apt_is_waited_for(lab: LabHandle, bare: Callable[[str], str]) -> None:
    hold = (
        "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'w'); fcntl.lockf(f, fcntl.LOCK_EX);"
        "open('/run/held', 'w').close(); time.sleep(6)"
    )
    bare("SUDO_FORCE_REMOVE=yes apt-get -qy purge sudo")
    on(lab, "bare", f"systemd-run -q --collect python3 -c {shlex.quote(hold)}")
    lab.eventually(lambda: bare("ls /run").split().count("held") == 1, "the lock is held")
    done = bootstrap(lab, "--yes")
    assert done.returncode == 0, done
    assert "waiting for apt's lock, held by process" in done.stdout
    assert "(python3)" in done.stdout


def test_apt_without_network_says_so(lab: LabHandle, bare: Callable[[str], str]) -> None:
    bare("SUDO_FORCE_REMOVE=yes apt-get -qy purge sudo; apt-get clean; rm -rf /var/lib/apt/lists/*")
    bare("mkdir /run/apt.away; mv /etc/apt/sources.list* /etc/apt/apt.conf.d /run/apt.away 2>/dev/null; true")
    bare("echo 'deb http://10.77.0.250/debian bookworm main' > /etc/apt/sources.list")
    try:
        done = bootstrap(lab, "--yes")
        assert done.returncode == 1
        assert "apt reaches no package source to install sudo from" in done.stdout
    finally:
        bare("rm /etc/apt/sources.list; mv /run/apt.away/* /etc/apt/; rmdir /run/apt.away; apt-get -q update")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--user", "nobody-here"], "nobody-here can't log in"),
        (["--port", "1"], "connection refused"),
        (["--key", "/etc/hostname"], "holds no public key"),
        (["--key", "/no/such.pub"], "No such file"),
        (["--limit", "bear"], "did you mean bare?"),
    ],
)
def test_what_can_not_be_is_told(lab: LabHandle, bare: Callable[[str], str], words: list[str], message: str) -> None:
    done = bootstrap(lab, "--yes", *words)
    assert done.returncode in {1, 2}
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert bare("ls -A /etc/sudoers.d") == "README"


def test_a_user_that_would_be_a_rule_of_sudo_is_refused(lab: LabHandle, bare: Callable[[str], str]) -> None:
    hosts = lab.inventory / "hosts.yml"
    text = hosts.read_text()
    try:
        hosts.write_text(text.replace("ansible_user: ops", "ansible_user: '%ops ALL'", 1))
        done = bootstrap(lab, "--yes")
    finally:
        hosts.write_text(text)
    assert done.returncode != 0
    assert "can't be made a user" in done.stdout + done.stderr
    assert bare("ls -A /etc/sudoers.d") == "README"


def test_a_failing_host_does_not_stop_the_others(lab: LabHandle, bare: Callable[[str], str]) -> None:
    del bare
    on(lab, "other", f"{NO_OPS}; cp -p /etc/os-release /run/os; sed -i s/=bookworm/=focal/ /etc/os-release")
    try:
        done = lab.hakit("bootstrap", "--limit", "bare,other", "--yes")
    finally:
        on(lab, "other", "cp -p /run/os /etc/os-release")
    assert done.returncode == 1
    assert "bare  manageable as ops" in done.stdout
    assert "other: Debian GNU/Linux 12 (bookworm) is not supported" in done.stdout


def test_a_named_login_is_used_for_a_bare_host(lab: LabHandle) -> None:
    """A cloud image's user with sudo, not root."""
    on(lab, "bare", NO_OPS)
    public = lab.lab.identity_file.with_suffix(".pub").read_text()
    on(lab, "bare", "useradd -m image; mkdir -p ~image/.ssh; cat > ~image/.ssh/authorized_keys", public)
    on(lab, "bare", "echo 'image ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/image")
    try:
        done = bootstrap(lab, "--user", "image", "--yes")
    finally:
        on(lab, "bare", "userdel -rf image; rm /etc/sudoers.d/image")
    assert done.returncode == 0, done.stdout
    assert "bare  image logs in" in done.stdout
    with connector(lab.site) as reach:
        own = target(lab.site.hosts["bare"])
        connection = reach.connect(Target(name="bare", host=own.host, user="ops"))
        assert connection.run("sudo -n id -u", 10).stdout == b"0\n"


def test_one_password_login_makes_a_host_manageable(lab: LabHandle, bare: Callable[[str], str]) -> None:
    on(lab, "bare", "chpasswd; mv /root/.ssh /root/ssh.away", f"root:{PASSWORD}\n")
    bare(
        "echo 'PermitRootLogin yes' > /etc/ssh/sshd_config.d/00.conf; echo 'PasswordAuthentication yes' >> "
        "/etc/ssh/sshd_config.d/00.conf; systemctl restart ssh"
    )
    words = ["bootstrap", "--limit", "bare", "-k"]
    try:
        code, shown = typed(lab, words, [("SSH password", "wrong")])
        assert code == 1
        assert "root can't log in" in shown
        code, shown = typed(lab, words, [("SSH password", PASSWORD), ("Prepare 1 host? [y/N]", "y")])
    finally:
        bare("mv /root/ssh.away /root/.ssh; rm /etc/ssh/sshd_config.d/00.conf; systemctl restart ssh")
    assert code == 0, shown
    assert "bare  manageable as ops" in shown
    assert PASSWORD not in shown
    assert lab.hakit("plan", "--limit", "bare").returncode == 0
