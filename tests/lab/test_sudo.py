"""Every sudo there is: it gets the password when it asks, and why it makes nobody root is told at once."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import pytest

from hakit.agent.client import Client
from hakit.agent.starting import AgentGone
from hakit.cli.reach import connector, target
from hakit.errors import LoginError
from tests.lab.logins import NO_OPS, PASSWORD, on, typed, with_own_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hakit.agent.answers import Hello
    from tests.lab.conftest import LabFactory, LabHandle

INVENTORY = """
all:
  vars:
    ansible_user: ops
    hakit:
      lab: {driver: nspawn, network: 10.77.0.0/24}
  hosts:
    one: {ansible_host: 10.77.0.11}
"""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    return with_own_test(lab_factory(INVENTORY))


@pytest.fixture
def sudoer(lab: LabHandle) -> Iterator[Callable[[str], str]]:
    """Writes the rules of a user with a password, and runs scripts; the host is as before afterwards."""
    public = lab.lab.identity_file.with_suffix(".pub").read_text()
    on(
        lab,
        "one",
        f"{NO_OPS}; useradd -m -s /bin/bash ops; mkdir -p ~ops/.ssh; cat > ~ops/.ssh/authorized_keys",
        public,
    )
    on(lab, "one", "chpasswd", f"ops:{PASSWORD}\n")

    def rules(text: str) -> str:
        return on(lab, "one", "cat > /etc/sudoers.d/ops; chmod 440 /etc/sudoers.d/ops", text)

    yield rules
    on(lab, "one", NO_OPS)


def greet(lab: LabHandle, password: str | None, host: str = "one") -> tuple[Hello, int]:
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
    assert (hello.hostname, number) == ("one", asked)


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
    on(lab, "one", break_it)
    try:
        if message is None:
            assert greet(lab, PASSWORD)[1] == 1  # sudo goes past it, and so do we
        else:
            with pytest.raises((AgentGone, LoginError), match=message):
                greet(lab, PASSWORD)
    finally:
        on(lab, "one", mend)


def test_the_password_is_seen_nowhere_on_the_host(lab: LabHandle, sudoer: Callable[[str], str]) -> None:
    sudoer(ASKS)
    watch = (
        "for n in $(seq 40); do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; sleep 0.05; done > /run/seen 2>/dev/null"
    )
    on(lab, "one", f"systemd-run -q --collect --unit watch sh -c {shlex.quote(watch)}")
    assert greet(lab, PASSWORD)[1] == 1
    lab.eventually(lambda: "watch.service" not in on(lab, "one", "systemctl list-units --no-legend"), "all was seen")
    assert "sudo" in on(lab, "one", "tr '\\0' ' ' < /run/seen")
    assert PASSWORD not in on(lab, "one", "tr '\\0' ' ' < /run/seen; rm /run/seen; journalctl -q --no-pager")


def test_every_command_becomes_root_with_a_typed_password(lab: LabHandle, sudoer: Callable[[str], str]) -> None:
    sudoer(f"Defaults lecture=always\n{ASKS}")
    for command in ("plan", "verify", "bootstrap"):
        code, shown = typed(lab, [command, "--limit", "one", "-K"], [("sudo password", PASSWORD)])
        assert code == 0, (command, shown)
        assert PASSWORD not in shown
    code, shown = typed(lab, ["plan", "--limit", "one", "-K"], [("sudo password", "wrong")])
    assert (code, "sudo refuses the password of ops" in shown) == (1, True)
    code, shown = typed(lab, ["verify", "--limit", "one", "-K"], [("sudo password", "wrong")])
    assert (code, "sudo refuses the password of ops" in shown) == (1, True)
    done = lab.hakit("plan", "--limit", "one")
    assert (done.returncode, "sudo asks for a password" in done.stdout + done.stderr) == (1, True)
