"""Probes: declarations that an agent evaluates to tell whether a member serves, seen from where it matters."""

from __future__ import annotations

from hakit.agent.declare import Declaration


class Probe(Declaration):
    """One question with a yes or no: whether it serves.

    `kind` is `tcp` (target `address:port` accepts), `http` (target URL answers 2xx or 3xx), `unit` (target is active)
    or `address` (target is an address of this host). `seen_from` names the host that asks; empty: the member itself.
    `timeout` is in seconds.
    """

    kind: str
    target: str
    seen_from: str = ""
    timeout: float = 1.0
