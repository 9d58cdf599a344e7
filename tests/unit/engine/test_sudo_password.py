"""sudo's password is proven on one host before it is given to the others; a wrong one is given to one host only."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from hakit.agent.starting import AgentGone
from hakit.engine.become import sudo_password
from hakit.errors import LoginError
from hakit.ssh import Target
from hakit.ssh.password import Password
from tests.unit.agent.test_sudo import PASSWORD, Machine, machine

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["machine"]
HOSTS = 5
WRONG = "wrong"


@dataclass
class Reached:
    """As much of a connection as a start of an agent asks for."""

    target: Target
    user: str = "ops"


def login(name: str, password: Callable[[], str] | None, machine: Machine) -> str:
    """How the start of an agent went there."""
    reached: Any = Reached(Target(name=name, host=name, sudo_password=password))
    try:
        with sudo_password(reached) as ask:
            machine.run(ask).close()
    except (AgentGone, LoginError) as error:
        return str(error)
    return "started"


def everywhere(password: Password, machine: Machine) -> list[str]:
    with ThreadPoolExecutor(HOSTS) as pool:
        return sorted(pool.map(lambda number: login(f"h{number}", password, machine), range(HOSTS)))


def given(machine: Machine, line: str) -> int:
    return sum(f"{line}\n".encode() in channel.sent for channel in machine.channels)


@pytest.mark.parametrize("tries", [1, 3])
def test_a_wrong_password_is_given_to_one_host(machine: Machine, tries: int) -> None:
    machine.sudo(tries=tries)
    said = everywhere(Password(lambda: WRONG, "type the right one"), machine)
    assert given(machine, WRONG) == 1
    assert sum("refuses the password of" in one for one in said) == 1, said
    assert sum("was not tried" in one and "refused it before" in one for one in said) == HOSTS - 1, said


def test_a_right_password_is_given_to_all(machine: Machine) -> None:
    machine.sudo()
    assert everywhere(Password(lambda: PASSWORD, ""), machine) == ["started"] * HOSTS
    assert given(machine, PASSWORD) == HOSTS


def test_once_it_is_proven_nobody_waits_for_another(machine: Machine) -> None:
    machine.sudo()
    password = Password(lambda: PASSWORD, "")
    assert login("h1", password, machine) == "started"
    with password.turn("ops, for sudo"):
        waiting = threading.Thread(target=login, args=("h2", password, machine), daemon=True)
        waiting.start()
        waiting.join(20)
        assert not waiting.is_alive()


def test_a_host_that_fails_otherwise_proves_nothing(machine: Machine) -> None:
    password = Password(lambda: WRONG, "")
    machine.sudo(after='os.write(2, b"sudo: ops is not allowed to run this\\n"); sys.exit(1)', password=WRONG)
    assert "may not become root" in login("h1", password, machine)
    machine.sudo()
    assert "refuses the password" in login("h2", password, machine)
    assert "h2 refused it before" in login("h3", password, machine)


def test_nobody_waits_where_sudo_does_not_ask(machine: Machine) -> None:
    """The one who has the turn is not the one who is let in without a password."""
    machine.sudo(tries=0)
    password = Password(lambda: PASSWORD, "")
    with password.turn("ops, for sudo"):
        waiting = threading.Thread(target=login, args=("h1", password, machine), daemon=True)
        waiting.start()
        waiting.join(20)
        assert not waiting.is_alive()


def test_without_a_password_nobody_is_asked() -> None:
    reached: Any = Reached(Target(name="h1", host="h1"))
    with sudo_password(reached) as ask:
        assert ask is None
