"""Hosts to practise on, made from the inventory that they serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.lab.lab import Lab, down

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from hakit.inventory.model import Site

__all__ = ["Lab", "dialer"]


def dialer(site: Site) -> Callable[[str, int, float], socket.socket] | None:
    """How to reach a site's hosts when it declares a lab: `dial(address, port, timeout)`; None when it declares none.

    Raises LabError when the lab of this very inventory is not up.
    """
    if site.lab is None:
        return None
    lab = Lab.of(site)
    if not lab.is_up():
        raise down(lab.plan)
    return lab.dial
