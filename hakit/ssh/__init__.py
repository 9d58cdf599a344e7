"""SSH connections: keys, host keys, ssh_config, sudo.

`Target` and `Options` are light; the first use of `Connector` brings paramiko (0.2 s).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from hakit.ssh.options import Completed, Dialer, Options, Target

if TYPE_CHECKING:
    from hakit.ssh.connection import Connection, ExecChannel
    from hakit.ssh.connector import Connector

__all__ = ["Completed", "Connection", "Connector", "Dialer", "ExecChannel", "Options", "Target"]

# paramiko loads invoke, and with it asyncio and unittest, for the `Match exec` of its own ssh_config reader, which is
# not used here: a third of its import time.
sys.modules.setdefault("invoke", None)  # type: ignore[arg-type]  # None means: not to be had


def __getattr__(name: str) -> Any:
    """The classes that need paramiko, imported when they are first asked for."""
    if name == "Connector":
        from hakit.ssh.connector import Connector  # noqa: PLC0415 - paramiko is slow to import

        return Connector
    if name in ("Connection", "ExecChannel"):
        from hakit.ssh import connection  # noqa: PLC0415 - paramiko is slow to import

        return getattr(connection, name)
    raise AttributeError(name)
