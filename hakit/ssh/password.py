"""A password that many logins share: never shown, and proven by one login before the others use it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(slots=True)
class _Trial:
    """What is known of the password for one user: by whom it was found right or wrong, whether it is being tried."""

    proven: bool = False
    refused_by: str | None = None
    busy: bool = False


class Turn:
    """A login's permission to try the password; it reports how that went."""

    def __init__(self, trial: _Trial) -> None:
        self._trial = trial

    @property
    def refused_by(self) -> str | None:
        """The host that refused the password before, None when it may be tried."""
        return self._trial.refused_by

    def proven(self) -> None:
        """The password is right: everyone may use it."""
        self._trial.proven = True

    def refused(self, host: str) -> None:
        """The password is wrong on `host`: nobody who did not know it to be right tries it again."""
        if not self._trial.proven:
            self._trial.refused_by = host


class Password:
    """A password: calling it gives the value, everything else masks it. Safe for threads.

    A wrong password on fifty hosts locks an account fifty times over, so the first login with it is made alone: the
    others wait, and go on only when it was right. Users are told apart, since they may have different passwords.
    """

    def __init__(self, supply: Callable[[], str], hint: str) -> None:
        """`supply` gives the value at the first call, `hint` says what to do when it is wrong."""
        self._supply = supply
        self.hint = hint
        self._trials: dict[str, _Trial] = {}
        self._changed = threading.Condition()

    def __call__(self) -> str:
        """The value. Raises SecretError when its source can't give it."""
        return self._supply()

    def __repr__(self) -> str:
        return "<password>"

    @contextmanager
    def turn(self, user: str) -> Iterator[Turn]:
        """Wait until the password is known to be right or wrong for the user, or nobody else is trying it."""
        with self._changed:
            trial = self._trials.setdefault(user, _Trial())
            self._changed.wait_for(lambda: trial.proven or trial.refused_by is not None or not trial.busy)
            alone = not trial.proven and trial.refused_by is None
            trial.busy = trial.busy or alone
        try:
            yield Turn(trial)
        finally:
            if alone:
                with self._changed:
                    trial.busy = False
                    self._changed.notify_all()
