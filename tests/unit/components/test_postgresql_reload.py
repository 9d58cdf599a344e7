"""`systemctl reload` of the server tells the truth: a real server, and stand-ins for what only a Debian host has."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from hakit.agent.postgres.place import SOCKETS, USER
from hakit.components.templates import Templates
from tests.unit.agent.postgres.conftest import folder, servers, template  # noqa: F401 - fixtures
from tests.unit.components.sites import site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.agent.postgres.servers import Server, Servers

    Reload = Callable[[], subprocess.CompletedProcess[str]]

AS_USER = """#!/bin/sh
shift 3
if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"; fi
exec "$@"
"""
CTL = """#!/bin/sh
kill -HUP "$(head -n 1 {data}/postmaster.pid)"
"""


@pytest.fixture
def server(servers: Servers) -> Server:  # noqa: F811 - the fixture
    return servers.member("db1").create().start()


@pytest.fixture
def reload(server: Server, tmp_path: Path) -> Reload:
    """Runs the script as systemd does, on this server."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("runuser", AS_USER), ("pg_ctlcluster", CTL.format(data=server.data))):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    here = site(tmp_path, {"db1": {}})
    own = {"unit": "x.service", "version": server.place.version, "cluster": "main", "port": server.place.port}
    values = {**own, "user": USER, "sockets": str(server.at(SOCKETS))}
    text = Templates(here).render("postgresql", "postgresql-reload", here.hosts["db1"], values).reveal()
    script = tmp_path / "reload"
    script.write_text(text)
    env = {"PATH": f"{programs}:{os.environ['PATH']}"}
    return lambda: subprocess.run(
        ["/usr/bin/python3", "-I", script], env=env, capture_output=True, text=True, check=False, timeout=60, cwd="/"
    )


def append(server: Server, name: str, line: str) -> None:
    path = server.at(server.place.config) / name
    path.write_text(path.read_text() + line + "\n")


def test_a_good_change_is_loaded_when_it_returns(server: Server, reload: Reload) -> None:
    append(server, "postgresql.conf", "work_mem = '8MB'")
    assert (reload().returncode, server.value("SHOW work_mem")) == (0, "8MB")


def test_what_waits_for_a_restart_is_no_failure(server: Server, reload: Reload) -> None:
    append(server, "postgresql.conf", "max_connections = 21")
    assert reload().returncode == 0
    assert server.value("SELECT string_agg(name, ',') FROM pg_settings WHERE pending_restart") == "max_connections"


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("postgresql.conf", "work_mem = 'much'", "work_mem setting could not be applied"),
        ("pg_hba.conf", "host all all all sesame", 'pg_hba.conf:4: invalid authentication method "sesame"'),
    ],
)
def test_what_the_server_does_not_take_is_told(server: Server, reload: Reload, name: str, line: str, said: str) -> None:
    append(server, name, line)
    done = reload()
    assert done.returncode == 1
    assert said in done.stderr
    assert server.value("SELECT 1") == "1"


def test_a_server_that_takes_no_questions_is_signalled_all_the_same(server: Server, reload: Reload) -> None:
    (server.at(server.place.config) / "pg_hba.conf").write_text("local all all reject\n")
    server.reload()
    done = reload()
    assert done.returncode == 0
    assert "can't be confirmed" in done.stderr
