"""Logs in with keys and a password, in as many steps as the server wants, and explains why it was not let in."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING

import paramiko

from hakit.errors import LoginError, SecretError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hakit.ssh.keys import Offer, Offers
    from hakit.ssh.password import Password
    from hakit.ssh.wire import Transport

_KEYS_BEFORE_PASSWORD = 4
"""Keys tried where there is a password too: sshd hangs up after six failures (MaxAuthTries) whatever they were."""
_MOST_STEPS = 5
"""Steps of a login that are gone along with; AuthenticationMethods of two or three are what people use."""
_ASK = "Use -k to be asked for the password, or set  hakit: {ssh: {password: {secret: NAME}}}"
_KEY, _PASSWORD, _QUESTIONS = "publickey", "password", "keyboard-interactive"


class _Result(Enum):
    """How one attempt ended: let in, one more step wanted, refused, this way of logging in is not offered."""

    IN = 1
    MORE = 2
    NO = 3
    NOT_OFFERED = 4


@dataclass(slots=True)
class _Questions:
    """Answers keyboard-interactive questions: the one hidden question is the password's, no other can be answered."""

    password: str
    answered: bool = False
    strange: str | None = None

    def answer(self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        """The answers; paramiko calls it in its own thread. Raises SSHException, which ends the connection."""
        del title, instructions
        answers = []
        for text, echoed in prompts:
            if echoed or self.answered:
                self.strange = "".join(char for char in text if char.isprintable()).strip()[:80]
                raise paramiko.SSHException("a question that can't be answered")
            self.answered = True
            answers.append(self.password)
        return answers


@dataclass(slots=True)
class Login:
    """One login as `user` on the host `name`, until the deadline (monotonic); waiting for others does not count."""

    transport: Transport
    name: str
    user: str
    offers: Offers
    password: Password | None
    deadline: float
    _keys: Iterator[Offer] = field(init=False)
    _allowed: tuple[str, ...] | None = None
    _passed: list[str] = field(default_factory=list)
    _tried: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._keys = iter(self.offers)

    def run(self) -> None:
        """Log in. Raises LoginError."""
        for _ in range(_MOST_STEPS):
            result = self._step()
            if result is _Result.IN:
                return
            if result is not _Result.MORE:
                break
        # Where nothing is at hand to try, this asks what is wanted, or lets us in as it is (RFC 4252, 5.2).
        untried = not self._tried and not self._passed and self._allowed is None
        if untried and self._attempt(lambda: self.transport.auth_none(self.user)) is _Result.IN:
            return
        raise self._refused()

    def _step(self) -> _Result:
        """One factor: a key if one is taken, else the password."""
        for method in (self._by_key, self._by_password):
            result = method()
            if result in (_Result.IN, _Result.MORE):
                return result
        return _Result.NO

    def _offered(self, method: str) -> bool:
        return self._allowed is None or method in self._allowed

    def _by_key(self) -> _Result:
        if not self._offered(_KEY):
            return _Result.NOT_OFFERED
        for offer in self._keys:
            self._tried.append(offer.label)
            result = self._attempt(lambda key=offer.key: self.transport.auth_publickey(self.user, key))  # type: ignore[misc] # a default binds the loop's value
            if result in (_Result.IN, _Result.MORE):
                self._passed.append("the key")
            if result is _Result.NOT_OFFERED:
                self._keys = chain([offer], self._keys)  # a later step may want it
            if result is not _Result.NO:
                return result
            if self.password and len(self._tried) >= _KEYS_BEFORE_PASSWORD:
                break
        return _Result.NO

    def _by_password(self) -> _Result:
        if self.password is None or "the password" in self._passed:
            return _Result.NOT_OFFERED
        if not (self._offered(_PASSWORD) or self._offered(_QUESTIONS)):
            return _Result.NOT_OFFERED
        value = self._value(self.password)
        waiting = time.monotonic()
        with self.password.turn(self.user) as turn:
            self.deadline += time.monotonic() - waiting
            if turn.refused_by:
                raise LoginError(
                    f"{self.name}: the password of {self.user} was not tried, {turn.refused_by} refused it before",
                    why="A wrong password that is tried on every host locks the account.",
                    hint=self.password.hint,
                )
            result = self._send(value)
            if result in (_Result.IN, _Result.MORE):
                turn.proven()
                self._passed.append("the password")
            elif result is _Result.NO:
                turn.refused(self.name)
                raise LoginError(
                    f"{self.name}: {self.user} can't log in: the password is wrong",
                    why="sshd refuses it: it is another one, has expired, or sshd lets this account in by keys only.",
                    hint=self.password.hint,
                )
        return result

    def _value(self, password: Password) -> str:
        try:
            return password()
        except SecretError as error:
            raise LoginError(
                f"{self.name}: no password for {self.user}: {error.message}", why=error.why, hint=error.hint
            ) from error

    def _send(self, value: str) -> _Result:
        """The password as such where sshd takes it so, else as the answer to its question; never both."""
        result = _Result.NOT_OFFERED
        if self._offered(_PASSWORD):
            result = self._attempt(lambda: self.transport.auth_password(self.user, value, fallback=False))
        if result is _Result.NOT_OFFERED and self._offered(_QUESTIONS):
            questions = _Questions(value)
            try:
                result = self._attempt(lambda: self.transport.auth_interactive(self.user, questions.answer))
            except LoginError as error:
                if questions.strange is None:
                    raise
                raise LoginError(
                    f"{self.name}: sshd asks {self.user} {questions.strange!r}, which hakit can't answer",
                    why="One question for a password is answered; a code or a new password is not.",
                    hint="Use an account that logs in with a key or a password alone.",
                ) from error
        return result

    def _attempt(self, call: Callable[[], Sequence[str]]) -> _Result:
        """One request to log in. Raises LoginError when the connection does not survive it."""
        self.transport.auth_timeout = max(0.1, self.deadline - time.monotonic())
        try:
            more = call()
        except paramiko.BadAuthenticationType as error:
            self._allowed = tuple(error.allowed_types)
            return _Result.NOT_OFFERED
        except paramiko.SSHException as error:
            self._raise_if_over(error)
            return _Result.NO
        except (OSError, EOFError) as error:
            raise self._refused("It closed the connection.") from error
        if not more:
            return _Result.IN
        self._allowed = tuple(more)
        return _Result.MORE

    def _raise_if_over(self, error: paramiko.SSHException) -> None:
        if time.monotonic() >= self.deadline:
            raise LoginError(
                f"{self.name}: hangs while {self.user} logs in",
                why="sshd answers, but what it asks for the login (PAM, a directory, a full disk) does not.",
                hint="Log in on the host's console and look at  journalctl -u ssh",
            ) from error
        if "Illegal info request" in str(error):  # paramiko's words for message 60, here a change request (RFC 4252, 8)
            raise LoginError(
                f"{self.name}: the password of {self.user} has expired and must be changed first",
                hint=f"Change it with  ssh {self.user}@…, then start again.",
            ) from error
        if not self.transport.is_active():
            raise self._refused(f"It closed the connection: {_plain(str(error))}") from error

    def _refused(self, ending: str | None = None) -> LoginError:
        """Why the host lets nobody in: another step is wanted, keys are not taken, or none fits."""
        allowed = self._allowed or ()
        reasons = [f"Tried {', '.join(self._tried)}." if self._tried else "There is no key to offer."]
        reasons += [f"Not usable: {problem}." for problem in self.offers.problems()]
        reasons += [ending] if ending else []
        by_password = self.password is None and not {_PASSWORD, _QUESTIONS}.isdisjoint(allowed)
        if self._passed:
            return LoginError(
                f"{self.name}: {' and '.join(self._passed)} alone does not let {self.user} in, "
                f"sshd also wants {', '.join(allowed)}",
                why=" ".join(reasons) if _KEY in allowed else ending,
                hint=_ASK if by_password else "Use an account that needs less, or mend AuthenticationMethods there.",
            )
        if allowed and _KEY not in allowed:
            return LoginError(
                f"{self.name}: sshd takes no keys from {self.user}, it wants {', '.join(allowed)}",
                why=ending,
                hint=_ASK if by_password else "Set PubkeyAuthentication yes in the host's sshd_config.",
            )
        return LoginError(
            f"{self.name}: {self.user} can't log in",
            why=" ".join(reasons),
            hint=f"Put your public key into ~{self.user}/.ssh/authorized_keys there (ssh-copy-id), or name another key "
            f"with ansible_ssh_private_key_file, another user with ansible_user; or use -k to be asked for a password.",
        )


def _plain(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:200]
