"""What holds for all tests without a host."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from hakit.present.commands import remember

if TYPE_CHECKING:
    from collections.abc import Iterator


settings.register_profile("whatever else runs", deadline=None)


def pytest_configure() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, which some tests send.

    How long an example of a property takes says more of the machine than of the code.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.load_profile("whatever else runs")


@pytest.fixture(autouse=True)
def no_inventory_was_given() -> Iterator[None]:
    """A command line that ran in this process gave an inventory, which messages would name from then on."""
    remember("")
    yield
    remember("")
