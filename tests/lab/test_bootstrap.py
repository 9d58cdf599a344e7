"""Bare hosts made manageable, every sudo and login shell there is, and hosts that hakit can't manage: on real hosts."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import sys
import time
from typing import TYPE_CHECKING

import pytest

from hakit.agent.client import Client
from hakit.agent.starting import AgentGone
from hakit.cli.reach import connector, target
from hakit.errors import LoginError
from hakit.ssh import Target
from tests.lab.conftest import ROOT

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hakit.agent.answers import Hello
    from tests.lab.conftest import LabFactory, LabHandle

INVENTORY = """
all:
  vars:
    ansible_user: ops
    hakit:
      lab: {driver: nspawn, network: 10.77.0.0/24}
  hosts:
    bare: {ansible_host: 10.77.0.11}
    shell: {ansible_host: 10.77.0.12}
    odd: {ansible_host: 10.77.0.13, ansible_user: root, hakit: {system: {sysctl: {net.core.somaxconn: 512}}}}
"""
PASSWORD = "a pässword, quoted '\"$(id)"  # noqa: S105 - of a host that lives for a minute
NO_OPS = "userdel -rf ops; rm -f /etc/sudoers.d/*ops*; true"
NO_PYTHON = "apt-get -qy purge 'python3*' 'libpython3*' && test ! -e /usr/bin/python3"


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    made = lab_factory(INVENTORY)
    (made.inventory / "tests").mkdir()
    own = "def test_root(host):\n    done = host.run('id -u')\n    assert (done.stdout, done.stderr) == ('0\\n', '')\n"
    (made.inventory / "tests/test_own.py").write_text(own)
    return made


def on(lab: LabHandle, host: str, script: str, given: str | None = None) -> str:
    """Run a shell script on a host as root, past SSH."""
    done = lab.lab.exec(host, ["sh", "-c", script], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return done.stdout.strip()


def bootstrap(lab: LabHandle, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return lab.hakit("bootstrap", "--limit", "bare", *words, timeout=timeout)


# A bare host.


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
    on(lab, "shell", f"{NO_OPS}; cp -p /etc/os-release /run/os; sed -i s/=bookworm/=focal/ /etc/os-release")
    try:
        done = lab.hakit("bootstrap", "--limit", "bare,shell", "--yes")
    finally:
        on(lab, "shell", "cp -p /run/os /etc/os-release")
    assert done.returncode == 1
    assert "bare  manageable as ops" in done.stdout
    assert "shell: Debian GNU/Linux 12 (bookworm) is not supported" in done.stdout


# Sudo.


@pytest.fixture
def sudoer(lab: LabHandle) -> Iterator[Callable[[str], str]]:
    """Writes the rules of a user with a password, and runs scripts; the host is as before afterwards."""
    public = lab.lab.identity_file.with_suffix(".pub").read_text()
    on(
        lab,
        "shell",
        f"{NO_OPS}; useradd -m -s /bin/bash ops; mkdir -p ~ops/.ssh; cat > ~ops/.ssh/authorized_keys",
        public,
    )
    on(lab, "shell", "chpasswd", f"ops:{PASSWORD}\n")

    def rules(text: str) -> str:
        return on(lab, "shell", "cat > /etc/sudoers.d/ops; chmod 440 /etc/sudoers.d/ops", text)

    yield rules
    on(lab, "shell", NO_OPS)


def greet(lab: LabHandle, password: str | None, host: str = "shell") -> tuple[Hello, int]:
    """What the agent says to a login whose sudo wants this password, and how often that was asked for."""
    asked = 0

    def ask() -> str:
        nonlocal asked
        asked += 1
        assert password is not None
        return password

    with connector(lab.site) as reach:
        connection = reach.connect(target(lab.site.hosts[host]))
        client = Client.start(connection.exec, sudo=not connection.root, password=None if password is None else ask)
        hello = client.hello(run="r", who="tests", lock=False, packages=())
        client.close()
    return hello, asked


ASKS = "ops ALL=(ALL) ALL\n"


@pytest.mark.parametrize(
    ("rules", "asked"),
    [
        (ASKS, 1),
        (f"Defaults lecture=always, use_pty, log_input, log_output\n{ASKS}", 1),
        (f'Defaults !use_pty, timestamp_timeout=0\nDefaults passprompt="Kennwort: "\n{ASKS}', 1),
        ("ops ALL=(ALL) NOPASSWD: ALL\n", 0),
    ],
    ids=["asks", "lectures", "its own prompt", "no password"],
)
def test_sudo_gets_the_password_when_it_asks(
    lab: LabHandle, sudoer: Callable[[str], str], rules: str, asked: int
) -> None:
    sudoer(rules)
    hello, number = greet(lab, PASSWORD)
    assert (hello.hostname, number) == ("shell", asked)


@pytest.mark.parametrize(
    ("rules", "password", "message"),
    [
        (ASKS, "wrong", "^sudo refuses the password of ops$"),
        (f"Defaults passwd_tries=1\n{ASKS}", "wrong", "^sudo refuses the password"),
        (f"Defaults rootpw\n{ASKS}", "wrong", "^sudo refuses the password of root$"),
        (ASKS, None, "sudo asks for a password"),
        (f"Defaults requiretty\n{ASKS}", PASSWORD, "requiretty"),
        ("", PASSWORD, "the login may not use sudo"),
        ("ops ALL=(ALL) /usr/bin/id\n", PASSWORD, "may not become root with sudo for every command"),
    ],
)
def test_why_sudo_makes_nobody_root_is_told_at_once(
    lab: LabHandle, sudoer: Callable[[str], str], rules: str, password: str | None, message: str
) -> None:
    sudoer(rules)
    began = time.monotonic()
    with pytest.raises(AgentGone, match=message) as found:
        greet(lab, password)
    assert time.monotonic() - began < 8  # PAM itself waits 2 s after a wrong password
    assert PASSWORD not in f"{found.value}{found.value.hint}"


@pytest.mark.parametrize(
    ("break_it", "mend", "message"),
    [
        ("chage -E 1 ops", "chage -E -1 ops", "can't log in"),
        ("chmod u-s /usr/bin/sudo", "chmod u+s /usr/bin/sudo", "setuid"),
        ("mv /usr/bin/sudo /usr/bin/odus", "mv /usr/bin/odus /usr/bin/sudo", "sudo is not installed"),
        ("echo nonsense > /etc/sudoers.d/zz", "rm /etc/sudoers.d/zz", None),
    ],
    ids=["expired", "no setuid", "no sudo", "a rule that is none"],
)
def test_a_sudo_that_is_out_of_order_is_named(
    lab: LabHandle, sudoer: Callable[[str], str], break_it: str, mend: str, message: str | None
) -> None:
    sudoer(ASKS)
    on(lab, "shell", break_it)
    try:
        if message is None:
            assert greet(lab, PASSWORD)[1] == 1  # sudo goes past it, and so do we
        else:
            with pytest.raises((AgentGone, LoginError), match=message):
                greet(lab, PASSWORD)
    finally:
        on(lab, "shell", mend)


def test_the_password_is_seen_nowhere_on_the_host(lab: LabHandle, sudoer: Callable[[str], str]) -> None:
    sudoer(ASKS)
    watch = (
        "for n in $(seq 40); do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; sleep 0.05; done > /run/seen 2>/dev/null"
    )
    on(lab, "shell", f"systemd-run -q --collect --unit watch sh -c {shlex.quote(watch)}")
    assert greet(lab, PASSWORD)[1] == 1
    lab.eventually(lambda: "watch.service" not in on(lab, "shell", "systemctl list-units --no-legend"), "all was seen")
    assert "sudo" in on(lab, "shell", "tr '\\0' ' ' < /run/seen")
    assert PASSWORD not in on(lab, "shell", "tr '\\0' ' ' < /run/seen; rm /run/seen; journalctl -q --no-pager")


# Login shells, their files, and the locale.

FILES = ".bashrc .profile .cshrc .zshenv .config/fish/config.fish"


@pytest.fixture
def root_shell(lab: LabHandle) -> Iterator[Callable[[str], str]]:
    """Runs scripts on a host whose root has a login shell to try; afterwards root has its own again."""
    on(lab, "odd", "cp -a /root/.bashrc /run/bashrc; grep ^root: /etc/passwd > /run/root")
    yield lambda script: on(lab, "odd", script)
    on(lab, "odd", "cp -a /run/bashrc /root/.bashrc; rm -f /root/.zshenv /root/.cshrc; usermod -s /bin/bash root")
    on(lab, "odd", "rm -f /etc/default/locale.hakit; sed -i /hakit/d /etc/environment")


@pytest.mark.parametrize(
    "bashrc",
    [
        "echo Welcome; echo Welcome >&2",
        "printf 'no end of line'",
        "head -c 60000 /dev/urandom",
        "sleep 5",
        "set -x; export PS4='+ noise '",
        "umask 077",
        "export LC_ALL=tr_TR.UTF-8 LANG=de_DE.UTF-8 PYTHONPATH=/nowhere PYTHONIOENCODING=latin-1 PATH=/bin",
        "alias python3=false sudo=false; cd /tmp; exec 3>/dev/null",
        "exec 2>&1",
    ],
)
def test_a_bashrc_is_listened_past(lab: LabHandle, root_shell: Callable[[str], str], bashrc: str) -> None:
    root_shell(f"printf '%s\\n' {shlex.quote(bashrc)} > /root/.bashrc")
    done = lab.hakit("apply", "--limit", "odd", "--yes")
    assert done.returncode == 0, done
    assert root_shell("stat -c %a /etc/sysctl.d/*hakit*") == "644"
    assert lab.hakit("verify", "--limit", "odd").returncode == 0
    root_shell("rm -f /etc/sysctl.d/*hakit*")


def test_a_bashrc_that_hangs_is_given_up_in_time(lab: LabHandle, root_shell: Callable[[str], str]) -> None:
    root_shell("echo 'echo waiting for the file server >&2; sleep 600' > /root/.bashrc")
    began = time.monotonic()
    done = lab.hakit("plan", "--limit", "odd")
    assert time.monotonic() - began < 45
    assert done.returncode == 1
    assert "the agent did not start within 30 s: waiting for the file server" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("shell", "package"), [("zsh", "zsh"), ("fish", "fish"), ("tcsh", "tcsh"), ("dash", "dash"), ("ksh93", "ksh")]
)
def test_any_login_shell_will_do(lab: LabHandle, root_shell: Callable[[str], str], shell: str, package: str) -> None:
    root_shell(f"apt-get -qy install --no-install-recommends {package}; usermod -s $(command -v {shell}) root")
    for command in ("plan", "verify", "bootstrap"):
        done = lab.hakit(command, "--limit", "odd")
        assert done.returncode == 0, (command, done)


@pytest.mark.parametrize(
    ("shell", "message"),
    [("/usr/sbin/nologin", "the login has no shell"), ("/bin/rbash", "the login's shell is restricted")],
)
def test_a_shell_that_is_none_is_named(
    lab: LabHandle, root_shell: Callable[[str], str], shell: str, message: str
) -> None:
    root_shell(f"usermod -s {shell} root")
    done = lab.hakit("plan", "--limit", "odd")
    assert done.returncode == 1
    assert message in done.stdout + done.stderr


# Hosts that hakit can't manage.


@pytest.fixture
def odd(lab: LabHandle) -> Iterator[Callable[[str], str]]:
    """Runs scripts on a host whose system is to be another; it is itself afterwards."""
    save = "cp --remove-destination -L /etc/os-release /run/os; cp -a /usr/bin/python3.11 /run/python; true"
    on(lab, "odd", save)
    yield lambda script: on(lab, "odd", script)
    on(lab, "odd", "cp --remove-destination /run/os /etc/os-release; mkdir -p /run/systemd/system")
    on(lab, "odd", "ln -sf python3.11 /usr/bin/python3; cp -a /run/python /usr/bin/python3.11")


@pytest.mark.parametrize("command", ["plan", "apply"])
@pytest.mark.parametrize("python", [True, False], ids=["with Python", "without Python"])
@pytest.mark.parametrize(
    "system",
    [
        'PRETTY_NAME="Ubuntu 20.04.6 LTS"\nID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=focal\n',
        'PRETTY_NAME="Rocky Linux 9.3 (Blue Onyx)"\nID="rocky"\nID_LIKE="rhel centos fedora"\n',
        'PRETTY_NAME="Alpine Linux v3.20"\nID=alpine\n',
        'PRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\nID=debian\nVERSION_CODENAME=bullseye\n',
    ],
    ids=["Ubuntu", "Rocky", "Alpine", "old Debian"],
)
def test_another_system_is_named(
    lab: LabHandle, odd: Callable[[str], str], *, system: str, python: bool, command: str
) -> None:
    odd(f"rm -f /etc/os-release; printf %s {shlex.quote(system)} > /etc/os-release")
    if not python:
        odd("rm /usr/bin/python3")
    done = lab.hakit(command, "--limit", "odd", *(["--yes"] if command == "apply" else []))
    assert done.returncode == 1
    assert system.split('"')[1] + " is not supported" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_host_without_systemd_is_named(lab: LabHandle, odd: Callable[[str], str]) -> None:
    odd("mv /run/systemd/system /run/systemd/away")
    try:
        for command in ("plan", "bootstrap"):
            done = lab.hakit(command, "--limit", "odd")
            assert done.returncode == 1
            assert "runs without systemd" in done.stdout + done.stderr
    finally:
        odd("mv /run/systemd/away /run/systemd/system")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        ("rm /usr/bin/python3", "there is no /usr/bin/python3 on the host"),
        ("chmod -x /usr/bin/python3.11", "does not let us run /usr/bin/python3"),
        ("rm /usr/bin/python3; ln -s /bin/false /usr/bin/python3", "the agent did not start (exit 1)"),
        (
            "cd /usr/bin; rm python3; printf '#!/bin/sh\\necho SyntaxError >&2; exit 1\\n' > python3; chmod +x python3",
            "/usr/bin/python3 on the host can't run the agent",
        ),
    ],
)
def test_a_python_that_is_none_is_named(lab: LabHandle, odd: Callable[[str], str], break_it: str, message: str) -> None:
    odd(break_it)
    done = lab.hakit("plan", "--limit", "odd")
    assert done.returncode == 1
    text = done.stdout + done.stderr
    assert message in text
    if "there is no" in message:
        assert f"hakit bootstrap -i {lab.inventory} --limit odd" in text
    assert "Traceback" not in text


def test_a_python_that_is_too_old_is_named(lab: LabHandle, odd: Callable[[str], str], tmp_path: Path) -> None:
    del tmp_path
    site = "import sys; sys.version_info = (3, 8, 10, 'final', 0)"
    odd(
        "rm /usr/bin/python3; printf '%s\\n' '#!/usr/bin/python3.11 -ISE' 'import sys' "
        "'sys.argv = sys.argv[sys.argv.index(\"-c\"):]' 'code = sys.argv.pop(1)' "
        f"{shlex.quote(site)} 'exec(code)' > /usr/bin/python3; chmod +x /usr/bin/python3"
    )
    done = lab.hakit("plan", "--limit", "odd")
    assert done.returncode == 1
    assert "/usr/bin/python3 on the host is 3.8.10, hakit needs 3.9 or newer" in done.stdout + done.stderr


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


# Passwords that somebody types.


def typed(lab: LabHandle, words: list[str], answers: list[tuple[str, str]]) -> tuple[int, str]:
    """Run hakit on a terminal and answer its prompts; the exit code and all that the terminal showed."""
    environment = {**os.environ, "HAKIT_INVENTORY": str(lab.inventory), "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "hakit", *words], environment)  # noqa: S606 - no shell wanted
    shown = ""
    deadline = time.monotonic() + 120
    try:
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1.0)[0]:
                continue
            try:
                shown += os.read(terminal, 4096).decode(errors="replace")
            except OSError:  # how Linux says that the other end of a terminal is closed
                break
            if answers and answers[0][0] in shown:
                os.write(terminal, f"{answers.pop(0)[1]}\n".encode())
    finally:
        os.close(terminal)
    assert not answers, shown
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown


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


def test_every_command_becomes_root_with_a_typed_password(lab: LabHandle, sudoer: Callable[[str], str]) -> None:
    sudoer(f"Defaults lecture=always\n{ASKS}")
    for command in ("plan", "verify", "bootstrap"):
        code, shown = typed(lab, [command, "--limit", "shell", "-K"], [("sudo password", PASSWORD)])
        assert code == 0, (command, shown)
        assert PASSWORD not in shown
    code, shown = typed(lab, ["plan", "--limit", "shell", "-K"], [("sudo password", "wrong")])
    assert (code, "sudo refuses the password of ops" in shown) == (1, True)
    code, shown = typed(lab, ["verify", "--limit", "shell", "-K"], [("sudo password", "wrong")])
    assert (code, "sudo refuses the password of ops" in shown) == (1, True)
    done = lab.hakit("plan", "--limit", "shell")
    assert (done.returncode, "sudo asks for a password" in done.stdout + done.stderr) == (1, True)
