from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.unit.agent.postgres.servers import Servers, short_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.agent.postgres.servers import Server


@contextmanager
def _servers(template: Path) -> Iterator[Servers]:
    with short_folder() as folder:
        made = Servers(folder, template=template)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the servers' user may enter."""
    with short_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A data directory of which all others are copies: initdb takes a second."""
    with short_folder() as folder:
        yield Servers(folder).template


@pytest.fixture(scope="session")
def shared(template: Path) -> Iterator[tuple[Server, Server]]:
    """A primary and its standby for tests that only look, or tidy up behind them; they keep running."""
    with _servers(template) as servers:
        yield servers.pair()


@pytest.fixture
def servers(template: Path) -> Iterator[Servers]:
    """A test's own servers: it may do anything with them."""
    with _servers(template) as servers:
        yield servers
