"""Becoming root by a sudo that asks for a password: the prompt, the order of what is sent, and every refusal.

The sudo here is a script of few lines that prompts and reads as sudo(8) does; real ones are asked in tests/lab.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from hakit.agent import bootstrap, starting
from hakit.agent import sudo as sudoing
from hakit.agent.client import Client
from hakit.agent.starting import AgentGone
from tests.unit.agent.agent_support import PipeChannel
from tests.unit.agent.test_boot import change_loader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASSWORD = "kéép out"  # noqa: S105 - of nobody
# Reads a byte at a time, so that nothing but the line of the password is taken from the command's stdin.
SUDO = """#!{python}
import os, sys
who, tries, want = "ops", {tries}, {password!r}
prompt = sys.argv[4].replace("%p", who) if sys.argv[2] == "-S" else None
os.write(2, {before!r}.encode())
for number in range(tries):
    if prompt is None:
        os.write(2, b"sudo: a password is required\\n")
        sys.exit(1)
    os.write(2, {shape!r}.format(prompt).encode())
    line = b""
    while not line.endswith(b"\\n"):
        byte = os.read(0, 1)
        if not byte:
            sys.exit(1)
        line += byte
    if line.decode() == want + "\\n":
        break
    os.write(2, b"Sorry, try again.\\n")
else:
    if tries:
        os.write(2, b"sudo: 1 incorrect password attempt\\n")
        sys.exit(1)
{after}
words = sys.argv[sys.argv.index("--") + 1:]
os.execv(words[0], words)
"""


class Remembering(PipeChannel):
    """Keeps what came on stderr and what was sent, as a connection keeps the first."""

    def __init__(self, argv: str, **options: object) -> None:
        super().__init__(argv, **options)
        self.said = ""
        self.sent: list[bytes] = []

    def stderr_tail(self) -> str:
        self.said += super().stderr_tail()
        return self.said

    def send(self, data: bytes) -> None:
        self.sent.append(data)
        super().send(data)


class Machine:
    """A host whose only way to root is a sudo."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.channels: list[Remembering] = []
        self.commands: list[str] = []
        self.asked = 0

    def sudo(
        self, *, tries: int = 3, password: str = PASSWORD, before: str = "", shape: str = "{}", after: str = ""
    ) -> None:
        fields = {"tries": tries, "password": password, "before": before, "shape": shape, "after": after}
        (self.folder / "sudo").write_text(SUDO.format(python=sys.executable, **fields))
        (self.folder / "sudo").chmod(0o755)

    def start(self, password: str | None, noise: str = "") -> Client:
        """An agent that is started with a password, or with none."""

        def ask() -> str:
            self.asked += 1
            assert password is not None
            return password

        return self.run(None if password is None else ask, noise)

    def run(self, ask: Callable[[], str] | None, noise: str = "") -> Client:
        """An agent that is started with whom to ask for a password."""
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}"}

        def execute(command: str) -> Remembering:
            self.commands.append(command)
            line = noise + command.replace(bootstrap.PYTHON, sys.executable)
            self.channels.append(Remembering(line, env=environment))
            return self.channels[-1]

        return Client.start(execute, sudo=True, password=ask)

    def sent(self) -> bytes:
        return b"".join(self.channels[-1].sent)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    change_loader(monkeypatch, 'STATE = "/var/lib/hakit"', f'STATE = "{tmp_path}/state"')
    return Machine(tmp_path)


def works(client: Client) -> bool:
    try:
        return bool(client.hello(run="r", who="w", lock=False, packages=()).kernel)
    finally:
        client.close()


@pytest.mark.parametrize("shape", ["{}", "[sudo: {}] Password: ", "We trust you have received the lecture\n\n{} "])
def test_the_password_is_given_once_when_asked_for(machine: Machine, shape: str) -> None:
    machine.sudo(shape=shape)
    assert works(machine.start(PASSWORD))
    assert machine.asked == 1
    assert machine.channels[-1].sent[0] == f"{PASSWORD}\n".encode()
    assert len(machine.channels) == 1  # one exec


def test_a_sudo_that_asks_for_nothing_is_given_nothing(machine: Machine) -> None:
    machine.sudo(tries=0)
    assert works(machine.start(PASSWORD))
    assert machine.asked == 0
    assert PASSWORD.encode() not in machine.sent()


def test_a_shell_that_shows_its_commands_is_no_prompt(machine: Machine) -> None:
    machine.sudo(tries=0)
    assert works(machine.start(PASSWORD, noise="set -x; echo noise; "))
    assert machine.asked == 0


def test_a_second_prompt_is_the_end(machine: Machine) -> None:
    machine.sudo()
    with pytest.raises(AgentGone, match=r"^sudo refuses the password of ops$"):
        machine.start("wrong")
    assert machine.asked == 1
    assert machine.sent() == b"wrong\n"  # not a byte of the loader


def test_a_sudo_that_asks_only_once_refuses_too(machine: Machine) -> None:
    machine.sudo(tries=1)
    with pytest.raises(AgentGone, match="sudo refuses the password"):
        machine.start("wrong")


def test_the_password_is_in_no_command_and_no_message(machine: Machine) -> None:
    machine.sudo(password=PASSWORD[::-1])
    with pytest.raises(AgentGone) as found:
        machine.start(PASSWORD)
    assert PASSWORD not in f"{found.value}{found.value.hint}{found.value.trace}{machine.commands}"
    assert PASSWORD not in machine.channels[0].said


def test_without_a_password_sudo_never_asks(machine: Machine) -> None:
    machine.sudo()
    with pytest.raises(AgentGone, match="sudo asks for a password") as found:
        machine.start(None)
    assert "-K" in str(found.value.hint)
    assert machine.commands[0].startswith("env LC_ALL=C sudo -n -- ")


def test_who_can_not_be_asked_says_so_himself(machine: Machine) -> None:
    machine.sudo()

    class NobodyError(Exception):
        pass

    def ask() -> str:
        raise NobodyError

    environment = {"PATH": f"{machine.folder}:{os.environ['PATH']}"}
    with pytest.raises(NobodyError):
        Client.start(
            lambda command: Remembering(command.replace(bootstrap.PYTHON, sys.executable), env=environment),
            sudo=True,
            password=ask,
        )


@pytest.mark.parametrize("password", ["two\nlines", "nul\0"])
def test_a_password_that_is_no_line_is_not_sent(machine: Machine, password: str) -> None:
    machine.sudo()
    with pytest.raises(AgentGone, match="line break"):
        machine.start(password)
    assert machine.sent() == b""


def test_a_question_that_is_not_about_the_password_is_shown(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "START", 0.5)
    machine.sudo(tries=1, shape="Verification code: ")
    with pytest.raises(AgentGone, match="Verification code:") as found:
        machine.start(PASSWORD)
    assert "passprompt_override" in str(found.value.hint)
    assert machine.asked == 0


def test_an_expired_password_is_not_waited_for(machine: Machine) -> None:
    machine.sudo(tries=1, shape="sudo: Account or password is expired, reset your password and try again\nCurrent: ")
    with pytest.raises(AgentGone, match="has expired"):
        machine.start(PASSWORD)


def test_a_host_without_sudo_says_so(machine: Machine) -> None:
    (machine.folder / "env").symlink_to("/usr/bin/env")
    for name in ("sh", "cat"):
        (machine.folder / name).symlink_to(f"/bin/{name}")

    def execute(command: str) -> PipeChannel:
        return Remembering(command, env={"PATH": str(machine.folder)})

    with pytest.raises(AgentGone, match="sudo is not installed"):
        Client.start(execute, sudo=True, password=None)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("sudo: a password is required", "sudo asks for a password"),
        ("sudo: interactive authentication is required", "sudo asks for a password"),
        ("sudo: sorry, you must have a tty to run sudo", "requiretty"),
        ("ops is not in the sudoers file.\nThis incident has been reported to the administrator.", "may not use sudo"),
        ("Sorry, user ops may not run sudo on db1.", "may not use sudo"),
        ("I'm sorry ops. I'm afraid I can't do that", "may not use sudo"),
        ("Sorry, user ops is not allowed to execute '/usr/bin/python3' as root on db1.", "may not become root"),
        ('sudo: Account expired or PAM config lacks an "account" section for sudo', "has expired"),
        ("sudo: account validation failure, is your account locked?", "has expired"),
        ("sudo: 3 incorrect password attempts", "refuses the password"),
        ('sudo: The "no new privileges" flag is set, which prevents sudo from running as root.', "no_new_privs"),
        ("sudo: effective uid is not 0, is /usr/bin/sudo on a file system with the 'nosuid' option set", "nosuid"),
        ("/etc/sudoers:3:9: syntax error\nsudo: no valid sudoers sources found, quitting", "sudoers can't be read"),
        ("sudo: /etc/sudo.conf is owned by uid 1000, should be 0", "damaged"),
        ("sh: 1: sudo: not found", "not installed"),
        ("-bash: line 1: sudo: command not found", "not installed"),
        ("env: 'sudo': No such file or directory", "not installed"),
        ("env: »sudo“: Datei oder Verzeichnis nicht gefunden", "not installed"),
    ],
)
def test_what_sudo_says_is_understood(said: str, message: str) -> None:
    reason = sudoing.complaint(f"noise\n{said}\n")
    assert reason is not None
    assert message in reason.message


@pytest.mark.parametrize("said", ["", "Traceback (most recent call last):\n", "sudo: unable to resolve host db1\n"])
def test_what_is_no_complaint_is_none(said: str) -> None:
    assert sudoing.complaint(said) is None


@pytest.mark.parametrize(
    ("stderr", "who"),
    [
        ("T0 for ops:", ["ops"]),
        ("lecture\nT0 for DOMAIN\\ops:Sorry, try again.\nT0 for DOMAIN\\ops:", ["DOMAIN\\ops"] * 2),
        ("[sudo: T0 for ops:] Password: ", ["ops"]),
        ("+ env LC_ALL=C sudo -S -p 'T0 for %p:' -- /usr/bin/python3", []),
        ("Password: ", []),
    ],
)
def test_prompts_are_counted(stderr: str, who: list[str]) -> None:
    assert sudoing.asked("T0", stderr) == who
