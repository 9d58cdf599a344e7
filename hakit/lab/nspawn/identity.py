"""The identity of this machine: systemd-nspawn makes no cable without one, and images of containers lack it."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MACHINE_ID = Path("/etc/machine-id")


def ensure_identity(progress: Callable[[str], None], path: Path = MACHINE_ID) -> None:
    """Give this machine a random id, in the form of machine-id(5), if it has none.

    Where it can't be written it stays, and hosts fail to start with systemd-nspawn's own message.
    """
    try:
        if path.exists() and re.fullmatch(r"[0-9a-f]{32}\n?", path.read_text(encoding="ascii", errors="replace")):
            return
        path.write_text(f"{uuid.uuid4().hex}\n", encoding="ascii")
        path.chmod(0o444)
    except OSError:
        return
    progress(f"wrote {path}: this machine had no id, and each host's network addresses are made from it")
