"""The drivers by the names that an inventory gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hakit.lab.machine import Driver


def driver(name: str) -> Driver:
    """The driver of that name; only it is imported. Raises KeyError for another name than the inventory allows."""
    match name:
        case "nspawn":
            from hakit.lab.nspawn import Nspawn  # noqa: PLC0415 - one lab has one driver

            return Nspawn()
        case "qemu":
            from hakit.lab.qemu import Qemu  # noqa: PLC0415 - as above

            return Qemu()
        case "vagrant":
            from hakit.lab.vagrant import Vagrant  # noqa: PLC0415 - as above

            return Vagrant()
    raise KeyError(name)
