from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.agent.postgres.servers import Servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.agent.postgres.servers import Server


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder with a short name (the path of a UNIX socket has 107 bytes at most), in memory where there is one."""
    shared = Path("/dev/shm")  # noqa: S108 - the folder in it gets a name of its own
    folder = Path(tempfile.mkdtemp(prefix="hakit-pg-", dir=shared if shared.is_dir() else None))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _servers(template: Path) -> Iterator[Servers]:
    with _folder() as folder:
        made = Servers(folder, template=template)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the servers' user may enter."""
    with _folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A data directory of which all others are copies: initdb takes a second."""
    with _folder() as folder:
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
