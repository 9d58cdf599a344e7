"""Every way to log in: passwords, questions, steps, passphrases. The users are real, in an /etc of their own."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hakit.errors import LoginError, SecretError
from hakit.ssh import Connector, Options, Target
from hakit.ssh.password import Password
from tests.unit.ssh.sshd import Sshd, keygen, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RIGHT = "correct horse / “battery” staple"
USERS = {"deploy": RIGHT, "other": "something else"}
QUESTIONS = {"UsePAM": "yes", "KbdInteractiveAuthentication": "yes", "PubkeyAuthentication": "no"}
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an sshd with users of its own needs root")


@pytest.fixture(scope="module")
def by_password(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(
        tmp_path_factory.mktemp("password"),
        ("ed25519",),
        USERS,
        PasswordAuthentication="yes",
        PubkeyAuthentication="no",
    ) as server:
        yield server


@pytest.fixture(scope="module")
def by_question(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("question"), ("ed25519",), USERS, **QUESTIONS) as server:
        yield server


def password(value: str) -> Password:
    return Password(lambda: value, hint="type the right one")


def reach(server: Sshd, *keys: Path, **more: object) -> Options:
    options = Options(known_hosts=(server.known_hosts,), identity_files=keys or (server.client_key,))
    return replace(options, **more)  # type: ignore[arg-type] # fields of Options by name


def target(server: Sshd, user: str = "deploy", value: str | None = RIGHT) -> Target:
    return Target("web1", "127.0.0.1", user=user, port=server.port, password=password(value) if value else None)


def whoami(options: Options, one: Target) -> bytes:
    with Connector(options) as connector:
        return connector.connect(one).run("id -un || id -u", 10).stdout.strip()


def failure(options: Options, one: Target) -> LoginError:
    with Connector(options) as connector, pytest.raises(LoginError) as caught:
        connector.connect(one)
    assert RIGHT not in caught.value.text()
    return caught.value


def test_a_password_lets_us_in(by_password: Sshd) -> None:
    assert whoami(reach(by_password), target(by_password))
    assert "Accepted password for deploy" in by_password.log()


def test_the_one_of_the_run_serves_hosts_without_their_own(by_password: Sshd) -> None:
    options = reach(by_password, password=password(RIGHT))
    assert whoami(options, target(by_password, value=None))


def test_a_question_is_answered_with_the_password(by_question: Sshd) -> None:
    assert whoami(reach(by_question), target(by_question))
    assert "Accepted keyboard-interactive/pam for deploy" in by_question.log()


@pytest.mark.parametrize("server", ["by_password", "by_question"])
def test_a_wrong_password_fails_at_once_and_is_tried_once(server: str, request: pytest.FixtureRequest) -> None:
    sshd: Sshd = request.getfixturevalue(server)
    before = sshd.log().count("Failed")
    error = failure(reach(sshd), target(sshd, "other", RIGHT))
    assert error.message == "web1: other can't log in: the password is wrong"
    assert error.hint == "type the right one"
    assert sshd.log().count("Failed") <= before + 2  # the key, and the password


def test_without_a_password_it_is_told_how_to_give_one(by_password: Sshd) -> None:
    error = failure(reach(by_password), target(by_password, value=None))
    assert error.message == "web1: sshd takes no keys from deploy, it wants password"
    assert "-k" in (error.hint or "")
    assert "hakit: {ssh: {password: {secret: NAME}}}" in (error.hint or "")


def test_a_secret_that_can_not_be_had_is_told_for_the_host(by_password: Sshd) -> None:
    def missing() -> str:
        raise SecretError("the secret ssh is not set", hint="hakit secret set ssh")

    one = replace(target(by_password), password=Password(missing, hint=""))
    error = failure(reach(by_password), one)
    assert error.message == "web1: no password for deploy: the secret ssh is not set"
    assert error.hint == "hakit secret set ssh"


STEPS = [
    ({"AuthenticationMethods": "publickey,password", "PasswordAuthentication": "yes"}, ["publickey", "password"]),
    ({"AuthenticationMethods": "password,publickey", "PasswordAuthentication": "yes"}, ["password", "publickey"]),
    (
        {
            "AuthenticationMethods": "publickey,keyboard-interactive",
            "UsePAM": "yes",
            "KbdInteractiveAuthentication": "yes",
        },
        ["publickey", "keyboard-interactive/pam"],
    ),
]


@pytest.mark.parametrize(("settings", "methods"), STEPS)
def test_a_login_in_steps(tmp_path: Path, settings: dict[str, str], methods: list[str]) -> None:
    with running(tmp_path / "sshd", ("ed25519",), USERS, **settings) as server:
        assert whoami(reach(server), target(server))
        for method in methods[:-1]:
            assert f"Partial {method} for deploy" in server.log()
        assert f"Accepted {methods[-1]} for deploy" in server.log()


def test_two_keys_in_two_steps(tmp_path: Path) -> None:
    with running(tmp_path / "sshd", ("ed25519",), AuthenticationMethods="publickey,publickey") as server:
        server.authorize(keygen(tmp_path / "second"))
        one = target(server, "root", None)
        assert whoami(reach(server, server.client_key, tmp_path / "second"), one) == b"root"
        error = failure(reach(server, server.client_key), one)
        assert error.message == "web1: the key alone does not let root in, sshd also wants publickey"


def test_many_keys_leave_a_try_for_the_password(tmp_path: Path) -> None:
    settings = {"PasswordAuthentication": "yes", "MaxAuthTries": "6"}
    with running(tmp_path / "sshd", ("ed25519",), USERS, **settings) as server:
        keys = [keygen(tmp_path / f"key{number}") for number in range(8)]
        assert whoami(reach(server, *keys), target(server))


def test_a_second_question_is_not_answered(tmp_path: Path) -> None:
    with running(tmp_path / "sshd", ("ed25519",), USERS, **QUESTIONS) as server:
        (server.folder / "etc/shadow").write_text(
            (server.folder / "etc/shadow").read_text().replace(":19000:0:99999:", ":0:0:99999:")
        )
        error = failure(reach(server), target(server))
    assert "web1: sshd asks deploy " in error.message
    assert "which hakit can't answer" in error.message


def test_a_wrong_password_is_not_tried_on_every_host(by_password: Sshd) -> None:
    before = by_password.log().count("Failed password for other")
    shared = password("wrong")
    targets = [replace(target(by_password, "other"), name=f"web{number}", password=shared) for number in range(20)]

    def attempt(one: Target) -> str:
        with pytest.raises(LoginError) as caught:
            connector.connect(one)
        return caught.value.message

    with Connector(reach(by_password)) as connector, ThreadPoolExecutor(10) as pool:
        messages = list(pool.map(attempt, targets))
    assert sum("the password is wrong" in message for message in messages) == 1
    assert sum("was not tried, web" in message for message in messages) == 19
    assert by_password.log().count("Failed password for other") == before + 1


def test_a_right_password_is_proven_once_and_then_used_in_parallel(by_password: Sshd) -> None:
    shared = password(RIGHT)
    with Connector(reach(by_password)) as connector, ThreadPoolExecutor(10) as pool:
        targets = [replace(target(by_password), name=f"web{number}", password=shared) for number in range(10)]
        assert all(one.alive for one in pool.map(connector.connect, targets))


def test_who_waits_for_the_proof_goes_on_when_the_one_who_tried_learnt_nothing() -> None:
    shared = password("x")
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with shared.turn("me"):
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(10)
    with shared.turn("somebody else") as turn:
        turn.refused("web1")
    threading.Timer(0.2, leave.set).start()
    started = time.monotonic()
    with shared.turn("me") as turn:
        assert time.monotonic() - started > 0.1
        assert turn.refused_by is None
        turn.proven()
        turn.refused("web2")
    thread.join()
    with shared.turn("me") as turn:
        assert turn.refused_by is None
    with shared.turn("somebody else") as turn:
        assert turn.refused_by == "web1"


def test_a_password_is_never_shown(by_password: Sshd) -> None:
    one = target(by_password)
    assert RIGHT not in f"{one} {one!r} {one.password} {replace(Options(), password=one.password)}"


class Person:
    """Someone who types passphrases, and remembers what was asked."""

    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, bool]] = []

    def __call__(self, path: Path, wrong: bool) -> str | None:
        self.asked.append((path.name, wrong))
        return self.answers.pop(0)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running(tmp_path_factory.mktemp("plain"), ("ed25519",)) as server:
        yield server


@pytest.mark.parametrize(("kind", "pem"), [("ed25519", False), ("ecdsa", False), ("rsa", False), ("rsa", True)])
def test_a_key_is_unlocked_once_for_all_hosts(sshd: Sshd, tmp_path: Path, *, kind: str, pem: bool) -> None:
    key = keygen(tmp_path / "locked", kind, "open ſesame", pem=pem)  # the key is only this test's
    sshd.authorize(key)
    person = Person("nonsense", "open ſesame")
    options = reach(sshd, tmp_path / "none", passphrase=person)
    one = replace(target(sshd, "root", None), key_file=str(key))
    with Connector(options) as connector, ThreadPoolExecutor(5) as pool:
        assert all(found.alive for found in pool.map(lambda _: connector.connect(one), range(5)))
    assert person.asked == [("locked", False), ("locked", True)]


def test_questions_come_before_the_work(sshd: Sshd, tmp_path: Path) -> None:
    key = keygen(tmp_path / "locked", passphrase="some words")  # noqa: S106 - of a key that only this test has
    sshd.authorize(key)
    person = Person("some words")
    one = replace(target(sshd, "root", None), key_file=str(key))
    with Connector(reach(sshd, passphrase=person)) as connector:
        connector.prepare([one, replace(one, jump=(replace(one, name="gate"),)), replace(one, port=1)])
        assert person.asked == [("locked", False)]
        assert connector.connect(one).alive


def test_no_passphrase_is_asked_for_without_need(sshd: Sshd, tmp_path: Path) -> None:
    key = keygen(tmp_path / "locked", passphrase="some words")  # noqa: S106 - of a key that only this test has
    person = Person()
    assert whoami(reach(sshd, key, sshd.client_key, passphrase=person), target(sshd, "root", None)) == b"root"
    assert person.asked == []


@pytest.mark.parametrize(
    ("answers", "reason"), [((None,), "no agent holds it"), (("a", "b", "c"), "the passphrase was wrong")]
)
def test_a_key_that_stays_locked_is_told(
    sshd: Sshd, tmp_path: Path, answers: tuple[str | None, ...], reason: str
) -> None:
    key = keygen(tmp_path / "locked", passphrase="some words")  # noqa: S106 - of a key that only this test has
    person = Person(*answers)
    options = reach(sshd, key, passphrase=person)
    error = failure(options, target(sshd, "root", None))
    assert f"{key}: encrypted, and {reason}" in (error.why or "")
    assert not person.answers
