"""How a host is taken out of the pools that it serves in, and back: at run time, on each balancer that knows it."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.agent.actions import Action
from hakit.agent.probes import Probe
from hakit.components.base import Order, Withdrawal
from hakit.components.haproxy import view
from hakit.components.haproxy.paths import ADMIN_SOCKET, ALL_SERVERS, DRAINED
from hakit.components.once import once_per_site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.inventory.model import Host, Site


@dataclass(frozen=True, slots=True)
class Place:
    """A host as a server: in which pool, under which name, on which balancer, and in which state it is out."""

    balancer: str
    pool: str
    server: str
    state: str

    @property
    def out(self) -> tuple[Order, ...]:
        """Remember it, then do it: whatever dies in between, the next start of HAProxy does it."""
        return (
            Order(self.balancer, Action(kind="write", target=self._note, text=f"{self.state}\n")),
            self._set(self.state),
        )

    @property
    def back(self) -> tuple[Order, ...]:
        """Forget it, then undo it."""
        return (Order(self.balancer, Action(kind="remove", target=self._note)), self._set("ready"))

    @property
    def gone(self) -> Probe:
        """Whether no session is on the server, and none waits for it; also when the balancer does not know it."""
        row = f"{re.escape(self.pool)},{re.escape(self.server)}"
        # The third and the fifth field are qcur and scur (HAProxy's management guide, 9.1).
        match = rf"^{row},0,\d*,0,|\A# pxname(?![\s\S]*^{row},)"
        return Probe(
            kind="socket",
            target=ADMIN_SOCKET,
            text=ALL_SERVERS,
            match=match,
            seen_from=self.balancer,
            timeout=3.0,
            no=f"{self.pool} on {self.balancer} has sessions on it",
        )

    @property
    def _note(self) -> str:
        return f"{DRAINED}/{self.pool}:{self.server}"

    def _set(self, state: str) -> Order:
        text = f"set server {self.pool}/{self.server} state {state}"
        return Order(self.balancer, Action(kind="socket", target=ADMIN_SOCKET, text=text))


def withdrawals(site: Site, host: Host) -> Iterator[Withdrawal]:
    """One for each pool that a host serves in."""
    by_pool: dict[str, list[Place]] = defaultdict(list)
    for place in _places(site).get(host.name, ()):
        by_pool[place.pool].append(place)
    for pool, places in by_pool.items():
        yield Withdrawal(
            what=f"haproxy pool {pool}",
            out=tuple(order for place in places for order in place.out),
            back=tuple(order for place in places for order in place.back),
            gone=tuple(place.gone for place in places),
        )


@once_per_site
def _places(site: Site) -> Mapping[str, list[Place]]:
    """Every host of the inventory that is a server, by its name or by its address.

    Not in a pool for writes: who gets them is the primary, nobody else could help it out, and whoever becomes it must
    not be found drained.
    """
    by_address = {host.address: host.name for host in site.hosts.values()}
    found: dict[str, list[Place]] = defaultdict(list)
    for balancer, _, pool in view.every_pool(site):
        for server in pool.servers if pool.settings.role != "primary" else ():
            name = server.name if server.name in site.hosts else by_address.get(server.address)
            if name is not None:
                found[name].append(Place(balancer.name, pool.name, server.name, way_out(pool)))
    return found


def way_out(pool: view.PoolView) -> str:
    """The state in which a server of this pool is out of service.

    `drain` takes no new clients, but those that stick to the server still come, so it would never be free of them. In
    `maint` they go elsewhere with their next request, and requests under way end in peace; but sessions are cut where
    the pool cuts those of a server that is down, so such a pool drains.
    """
    return "maint" if pool.settings.sticky and not pool.shutdown_sessions else "drain"
