"""A jump host as people write it: `[user@]host[:port]`, as `ssh -J` takes it."""

from __future__ import annotations

import re
from typing import Final

PATTERN: Final = (
    r"(?:ssh://)?(?:(?P<user>[^@\s,:/-][^@\s,:/]*)@)?"
    r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*))(?::(?P<port>[0-9]{1,5}))?/?"
)
_HIGHEST_PORT = 65535


def parse(text: str) -> tuple[str | None, str, int | None]:
    """User, host and port; None where it says nothing. Raises ValueError."""
    parts = re.fullmatch(PATTERN, text.strip())
    port = int(parts["port"]) if parts and parts["port"] else None
    if parts is None or port == 0 or (port or 0) > _HIGHEST_PORT:
        raise ValueError(text)
    return parts["user"], parts["v6"] or parts["host"], port
