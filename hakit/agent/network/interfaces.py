"""The stanzas of interfaces(5): what belongs to a link, which links it stands on, and in which order they come up."""

from __future__ import annotations

from hakit.agent import disk
from hakit.agent.network.found import SOURCES, sourced
from hakit.agent.network.place import IFSTATE, INTERFACES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakit.agent.work import Work

    Stanzas = dict[str, list[str]]

LOWER = ("bond-slaves", "slaves", "bridge_ports", "bridge-ports", "vlan-raw-device", "vlan_raw_device")
OPENING = ("auto", "mapping", "source", "source-directory", "template", "no-auto-down", "no-scripts", "rename")


def read(work: Work) -> Stanzas:
    """The lines of each link's stanzas on the host, the loopback's left out."""
    found: Stanzas = {}
    _take(_text(INTERFACES, work), INTERFACES, found, work, 0)
    return found


def parse(text: str, work: Work) -> Stanzas:
    """The same of a text that is to be INTERFACES."""
    found: Stanzas = {}
    _take(text, INTERFACES, found, work, 0)
    return found


def _take(text: str, path: str, found: Stanzas, work: Work, depth: int) -> None:
    current: list[str] | None = None
    for line in text.split("\n"):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "iface" and len(words) > 1:
            current = None if words[1] == "lo" else found.setdefault(words[1], [])
        elif words[0] in OPENING or words[0].startswith("allow-"):
            current = None
            if words[0].startswith("source") and len(words) > 1 and depth < SOURCES:
                for other in sourced(words[1], path, work):
                    _take(_text(other, work), other, found, work, depth + 1)
        if current is not None:
            current.append(" ".join(words))


def ordered(stanzas: Stanzas) -> tuple[str, ...]:
    """The links in the order in which they come up: each after those that it stands on."""
    done: dict[str, None] = {}
    waiting = list(stanzas)
    while waiting:
        ready = [name for name in waiting if not (stands_on(name, stanzas) & set(waiting)) - {name}]
        for name in ready or waiting[:1]:
            done[name] = None
            waiting.remove(name)
    return tuple(done)


def stands_on(name: str, stanzas: Stanzas) -> set[str]:
    """The links that a link's stanzas name below it."""
    lower = {name.rpartition(".")[0]} if "." in name else set()
    for line in stanzas.get(name, ()):
        words = line.split()
        if words[0] in LOWER:
            lower.update(words[1:])
        elif words[:5] == ["pre-up", "ip", "link", "add", "link"]:
            lower.update(words[5:6])
    return lower


def touched(old: Stanzas, new: Stanzas, also: set[str]) -> set[str]:
    """The links whose stanzas differ, and `also`, what stands on them, and the ports of such a bond or bridge."""
    known = {*old, *new}
    found = {name for name in known if old.get(name) != new.get(name)} | (also & known)
    while True:
        below = {lower for name in found for one in (old, new) for lower in stands_on(name, one)} & known
        above = {name for one in (old, new) for name in one if stands_on(name, one) & found}
        # A parent's parent only where it is a port: a VLAN that changes leaves the bond below it alone.
        ports = {name for name in below if any(_is_port(name, one, found) for one in (old, new))}
        more = (above | ports) - found
        if not more:
            return found
        found |= more


def _is_port(name: str, stanzas: Stanzas, of: set[str]) -> bool:
    """Whether a link is a member of a bond, or a port of a bridge, among `of`."""
    lines = [line.split() for one in of for line in stanzas.get(one, ())]
    return any(name in words[1:] for words in lines if words[0] in LOWER[:4])


def up(work: Work) -> tuple[str, ...]:
    """The links that ifupdown takes for up."""
    names = [line.partition("=")[0] for line in _text(IFSTATE, work).split()]
    return tuple(name for name in names if name != "lo")


def forget(names: Iterable[str], work: Work) -> None:
    """Have ifupdown take links for down. Raises OSError."""
    gone = set(names)
    text = _text(IFSTATE, work)
    kept = "".join(f"{line}\n" for line in text.split() if line.partition("=")[0] not in gone)
    if kept != text:
        disk.write(work.at(IFSTATE), kept.encode(), 0o644)


def _text(path: str, work: Work) -> str:
    try:
        with open(work.at(path), encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20).replace("\\\n", " ")
    except OSError:
        return ""
