"""Rendered text that knows, line by line, where it came from, and that never shows a secret by accident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hakit.inventory.origin import Origin
    from hakit.inventory.secrets import Secret


@dataclass(frozen=True, slots=True)
class LineSource:
    """Where one rendered line comes from.

    `template` and `line` (1-based) name the template line that wrote it (None for a literal); `origins` are the
    inventory values printed on it, in order.
    """

    template: str | None
    line: int | None
    origins: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """Text in parts, each a plain string or a secret, with the source of every line (one entry per line)."""

    parts: tuple[str | Secret, ...]
    lines: tuple[LineSource, ...] = ()

    @property
    def secret(self) -> bool:
        """Whether a secret is in it."""
        return any(not isinstance(part, str) for part in self.parts)

    def reveal(self) -> str:
        """The text as it lands on the host. Raises SecretError."""
        return "".join(part if isinstance(part, str) else part.reveal() for part in self.parts)

    def masked(self) -> str:
        """The text with `<secret:NAME>` for each secret."""
        return "".join(str(part) for part in self.parts)

    def source(self, line: int) -> LineSource | None:
        """The source of a 1-based line, or None when there is none."""
        return self.lines[line - 1] if 0 < line <= len(self.lines) else None
