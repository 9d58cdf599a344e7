from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.agent.postgres.conftest import _servers
from tests.unit.agent.postgres.objects.site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.agent.postgres.servers import Server, Servers

# A server that tells all it can, so that a password in its log is found.
TALKATIVE = (
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track_utility=on",
    "log_statement=all",
    "log_min_duration_statement=0",
    "log_transaction_sample_rate=1",
    "log_min_error_statement=debug5",
    "log_min_messages=debug1",
    "debug_print_parse=on",
    "debug_print_rewritten=on",
)


@pytest.fixture(scope="session")
def primary(template: Path) -> Iterator[Server]:
    """A primary that keeps running; tests use names of their own."""
    with _servers(template) as servers:
        yield servers.member("db1").create().start("-c", "log_connections=on")


@pytest.fixture
def site(primary: Server) -> Site:
    return Site(primary)


@pytest.fixture
def talkative(servers: Servers) -> Site:
    options = [word for option in TALKATIVE for word in ("-c", option)]
    return Site(servers.member("db1").create().start(*options))
