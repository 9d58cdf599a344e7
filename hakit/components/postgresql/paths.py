"""What hakit's files and units beside the server's own are called on a database host."""

from __future__ import annotations

CREATECLUSTER = "/etc/postgresql-common/createcluster.d/50-hakit.conf"
"""Read by the package's own maintainer scripts (pg_createcluster(1))."""
NEEDRESTART = "/etc/needrestart/conf.d/50-hakit-postgresql.conf"
UNATTENDED = "/etc/apt/apt.conf.d/51hakit-postgresql"
TMPFILES = "/etc/tmpfiles.d/hakit-postgresql.conf"
LASTING = "/var/lib/hakit-postgresql"
"""Holds a folder for each cluster with what was decided of it."""
TOOLS = "/usr/local/lib/hakit"
RELOAD = f"{TOOLS}/postgresql-reload"
SYSTEMD = "/etc/systemd/system"


def endpoint_unit(label: str, kind: str) -> str:
    """The unit of the role endpoint: `kind` is `socket` or `service`."""
    return f"hakit-postgresql@{label}.{kind}"
