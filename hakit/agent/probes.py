"""Probes: declarations that an agent evaluates to tell whether a member serves, seen from where it matters."""

from __future__ import annotations

from hakit.agent.declare import Declaration


class Probe(Declaration):
    """One question with a yes or no: whether it serves.

    `kind` is
    - `tcp`: the target `address:port` accepts;
    - `http`: the target URL answers 2xx or 3xx; with `match` the detail is the answer's body, at most 256 KiB, and the
      regex has to be found in it as well;
    - `unit`: the target is active;
    - `address`, `absent`: the target is, or is not, an address of this host;
    - `array`: the md array that is `target` in mdadm.conf runs with all its redundancy; the detail begins with one word
      for its state (`hakit.agent.raid.status`);
    - `says`: the file `target` has a text that the regex `match` is found in; the detail is the file's text;
    - `socket`: the daemon behind the UNIX socket `target` answers the line `text` with what the regex `match` (with
      re.MULTILINE) is found in; the detail is the answer, at most 256 KiB of it. With `missing` it is a yes as well
      that nobody listens there.
    `seen_from` names the host that asks; empty: the member itself. `timeout` is in seconds. `no` is what a no means, in
    words, where the answer itself tells a reader little.
    """

    kind: str
    target: str
    seen_from: str = ""
    timeout: float = 1.0
    text: str = ""
    match: str = ""
    missing: bool = False
    no: str = ""
