"""Which systems hakit manages: one rule for plan, apply and bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from hakit.agent.starting import AgentGone
from hakit.errors import AgentError, HakitError, RefusedError

RELEASES = {12: "bookworm", 13: "trixie"}
"""Debian releases that hakit knows, with their code names."""
SUPPORTED = "hakit knows Debian 12 and 13, and what is built on them"


@dataclass(frozen=True, slots=True)
class System:
    """What a host says of itself in os-release(5), and whether systemd runs it."""

    id: str
    codename: str
    like: str
    pretty: str
    systemd: bool = True

    @classmethod
    def read(cls, text: str, *, systemd: bool = True) -> Self:
        """From the text of os-release(5)."""
        from hakit.agent.facts import release  # noqa: PLC0415 - with it come modules that only hosts need

        pairs = release(text)
        identity, codename = pairs.get("ID", ""), pairs.get("VERSION_CODENAME", "")
        return cls(identity, codename, pairs.get("ID_LIKE", ""), pairs.get("PRETTY_NAME", ""), systemd)

    def release(self, name: str) -> int:
        """The Debian release that it is, or is built on. Raises RefusedError, which calls the host `name`."""
        found = {codename: number for number, codename in RELEASES.items()}.get(self.codename)
        debian = self.id == "debian" or "debian" in self.like.split()
        shown = self.pretty or "an unknown system"
        if not debian or found is None:
            raise RefusedError(f"{name}: {shown} is not supported", why=SUPPORTED)
        if not self.systemd:
            raise RefusedError(
                f"{name}: {shown} runs without systemd, which is not supported",
                why="hakit starts, stops and watches daemons as units of systemd",
            )
        return found


def gone(name: str, error: Exception, inventory: str) -> HakitError:
    """The error for a host whose agent did not start or is gone, with what to do about it."""
    hint = getattr(error, "hint", None)
    if isinstance(error, AgentGone) and error.python and hint:
        hint = f"hakit bootstrap -i {inventory} --limit {name}  installs what is needed"
    if isinstance(error, AgentGone) and error.system:
        try:
            System.read(error.system).release(name)
        except RefusedError as refused:
            return refused
    return AgentError(f"{name}: {error}", hint=hint)
