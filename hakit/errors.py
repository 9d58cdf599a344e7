"""Every error that hakit raises on purpose.

    HakitError                      exit 1   something could not be done
    ├── UsageError                  exit 2   the command line asks for what can't be
    ├── InventoryError              exit 2   findings, each with its place
    │   └── TemplateError           exit 2   a template is missing or broken, with its line
    ├── SecretError                 exit 2   a secret is missing, unreadable or badly formed
    ├── RefusedError                exit 1   allowed by the inventory, forbidden by safety
    ├── ConnectError                exit 1   a host can't be reached
    │   ├── HostKeyError            exit 1   unknown or changed host key
    │   └── LoginError              exit 1   the host does not let us in, or not as root
    ├── AgentError                  exit 1   the host's side ended unexpectedly or speaks nonsense
    ├── LockedError                 exit 1   another run works on the host
    ├── LabError                    exit 1   the lab can't do what is asked
    └── StoppedError                exit 130 interrupted, and what was begun was undone

An error owns its text: `message` says what and where, `why` the reason, `hint` what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakit.inventory.origin import Problem


class HakitError(Exception):
    """Something could not be done; shown as one message, never as a traceback."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, why: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.hint = hint

    def text(self) -> str:
        """The message, then why, then what to do, each on a line of its own."""
        return "\n".join(
            [self.message] + ([f"  {self.why}"] if self.why else []) + ([f"  {self.hint}"] if self.hint else [])
        )


class UsageError(HakitError):
    """The command line asks for something that can't be."""

    exit_code = 2


class InventoryError(HakitError):
    """The inventory is wrong; carries every problem found, not only the first."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.text() for problem in self.problems), hint=hint)


class SecretError(HakitError):
    """A secret is missing, can't be decrypted, or its store is damaged."""

    exit_code = 2


class RefusedError(HakitError):
    """Safety forbids it, whatever the inventory says."""


class ConnectError(HakitError):
    """A host can't be reached: no route, refused, timed out, no such name."""


class HostKeyError(ConnectError):
    """A host's key is unknown, changed or revoked."""


class LoginError(ConnectError):
    """The host refuses our login, or refuses to make us root."""


class AgentError(HakitError):
    """The hakit side on the host ended unexpectedly or broke the protocol."""


class LockedError(HakitError):
    """Another run holds the host's lock."""


class TemplateError(InventoryError):
    """A template is missing or broken: syntax, undefined name, wrong type."""


class LabError(HakitError):
    """The lab can't do what is asked: not up, not root, packages missing."""


class StoppedError(HakitError):
    """Somebody interrupted, and what was begun was undone: things are as before."""

    exit_code = 130
