"""Asks hosts for their host keys, so that a person can compare and pin them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.ssh.handshake import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hakit.ssh.connector import Connector
    from hakit.ssh.known_hosts import PublicKey, Verdict
    from hakit.ssh.options import Target

KEY_TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
"""The types of host key that paramiko can check, the best first."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """A key that a host showed, and what the known_hosts files say of it."""

    key: PublicKey
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class HostScan:
    """What a host showed. `names` are those its keys stand under, the first is the one to pin."""

    host: str
    names: tuple[str, ...]
    keys: tuple[Scanned, ...]


def scan(connector: Connector, target: Target, *, everything: bool = False) -> HostScan:
    """The keys of a host: of the types it is known by, or all where that says nothing or `everything` is asked.

    One connection per type, none goes as far as a login there; jump hosts before it are logged in on. A host whose
    certificate holds shows the key of that alone. Raises ConnectError.
    """
    route = connector.route(target)
    known = connector.known_hosts(route)
    if known.authorities(route.names) and not everything:
        shown = connector.certified(target)
        verdict = judge(known, route.names, shown)[0] if shown else None
        if shown and verdict and verdict.standing == "known":
            return HostScan(target.name, route.names, (Scanned(shown.key, verdict),))
    types = [] if everything else [name for name in KEY_TYPES if name in known.types(route.names)]
    keys = _ask(connector, target, types) or _ask(connector, target, KEY_TYPES)
    found = tuple(Scanned(key, known.check(route.names, key)) for key in keys)
    return HostScan(target.name, route.names, found)


def _ask(connector: Connector, target: Target, types: Sequence[str]) -> list[PublicKey]:
    answers = (connector.scan(target, key_type) for key_type in types)
    return [key for key in answers if key]
