"""The real daemons, for tests of what is rendered for them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def program(name: str) -> str:
    """The path of an installed program; without it the test is skipped, but never under CI."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return found or _missing(name)


def server_programs() -> Path:
    """The folder of the newest PostgreSQL server's programs; without one as above."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return (found[-1] if found else Path(_missing("postgresql"))).parent


def _missing(name: str) -> NoReturn:
    message = f"{name} is not installed (apt-get install --no-install-recommends {name})"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
