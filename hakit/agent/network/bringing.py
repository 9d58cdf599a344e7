"""How a network is brought about by its manager: files, links that go, commands, in this order.

The same for the new network and for the old one: what differs is whose files are put in place, and whether a step that
fails ends it (`strict`) or is only told of.
"""

from __future__ import annotations

import os
from time import monotonic, sleep

from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure
from hakit.agent.network import interfaces, versions
from hakit.agent.network.comparing import differences, is_same, names_of
from hakit.agent.network.leaving import Command, clearing, leaving, remade, sizing
from hakit.agent.network.live import read
from hakit.agent.network.place import INTERFACES
from hakit.agent.resources.network import IFUPDOWN, NETPLAN, NETWORKD, Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakit.agent.network.live import Live
    from hakit.agent.network.record import Record
    from hakit.agent.work import Work

UP = 60.0  # seconds for ifup or ifdown of a link: a DHCP client may ask as long as that
SYSTEMD = 45.0  # seconds for systemd to start or stop a manager
ENABLED = 90.0  # seconds for systemctl to enable or disable one, whose units it reads again
# systemd's docs/ENVIRONMENT.md. Links of old init scripts, for which systemd has a unit, are read by nobody; to have
# them follow takes four times as long as all else, while the host waits to be reached.
NATIVE = {"SYSTEMCTL_SKIP_SYSV": "1"}
ASK = 20.0  # seconds for networkctl and netplan
SETTLED = 10.0  # seconds in which networkd, which answers at once, has brought its links up
BUS = "/run/dbus/system_bus_socket"
KEPT = ("address", "-4", "-6")  # what networkd leaves where it is: ip(8)'s words of addresses and routes
UNITS = {
    NETWORKD: ("systemd-networkd.service", "systemd-networkd.socket"),
    NETPLAN: ("systemd-networkd.service", "systemd-networkd.socket"),
    IFUPDOWN: ("networking.service",),
}
"""What starts a manager; the first is the manager."""


class Goal(Declaration):
    """A network to be brought about: its files lie in `folder`, `before` has it now and `manager` shall have it.

    `up` are the links that ifupdown shall have up beyond those that changed, `also` links that are this network's
    or the other's, whatever they are.
    """

    network: Network
    folder: str
    before: str
    manager: str
    up: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def moves(self) -> bool:
        """Whether other units than before bring it up."""
        return UNITS[self.before] != UNITS[self.manager]


class Doing:
    """Carries commands out, and writes into the log what fails. With `strict` a failure of `must` is raised."""

    def __init__(self, work: Work, record: Record, *, strict: bool) -> None:
        self.work = work
        self.log = record.log
        self._strict = strict

    def must(self, *argv: str, timeout: float = ASK) -> None:
        """A step without which the rest is of no use. Raises Failure."""
        why = self._run(Command(argv=argv, timeout=timeout))
        if why and self._strict:
            raise Failure(why)

    def may(self, *argv: str, timeout: float = ASK) -> bool:
        """A step that the rest does not need; whether it went well."""
        return not self._run(Command(argv=argv, timeout=timeout))

    def all(self, commands: Iterable[Command]) -> None:
        """Steps whose effect is looked at afterwards."""
        for command in commands:
            self._run(command)

    def _run(self, command: Command) -> str:
        """Why it failed; empty when it did not."""
        self.log(command.told())
        if not command.argv:
            return self._write(command)
        done = self.work.run(command.argv, command.timeout, env=NATIVE)
        if not done.code and not done.late:
            return ""
        how = f"did not end within {command.timeout:g} s" if done.late else f"failed with exit {done.code}"
        why = f"{command.told()} {how}"
        said = done.tail()
        self.log(f"{why}{': ' if said else ''}{said}")
        return f"{why}{': ' if said else ''}{said.splitlines()[-1] if said else ''}"

    def _write(self, command: Command) -> str:
        try:
            with open(self.work.at(command.path), "w", encoding="ascii") as file:
                file.write(command.text)
        except OSError as error:
            why = f"{command.told()}: {error.strerror or error}"
            self.log(why)
            return why
        return ""


def bring(goal: Goal, doing: Doing) -> None:
    """Bring a network about, until the next boot. Raises Failure with a strict `doing`, OSError."""
    again = _take_down(goal, doing)
    for path in versions.put(goal.folder, doing.work):
        doing.log(f"put {path} in place")
    if NETPLAN in (goal.before, goal.manager):
        doing.must("netplan", "generate")
    live = read(doing.work)
    anew = remade(goal.network, live)
    doing.all(leaving(goal.network, live, goal.also))
    if goal.manager == IFUPDOWN:
        _ifupdown(goal, doing, again)
    else:
        _networkd(goal, doing, anew=anew)


def reload(units: Iterable[str], doing: Doing) -> None:
    """Have units that hold on to links as they were see those that are there now, where they run."""
    for unit in units:
        if not doing.work.run(["systemctl", "is-active", "--quiet", unit], ASK).code:
            doing.may("systemctl", "reload-or-restart", unit, timeout=SYSTEMD)


def for_boots(goal: Goal, doing: Doing) -> None:
    """Have the next boots bring it about. Apart from `bring`: the network need not wait for it.

    Raises Failure with a strict `doing`.
    """
    if goal.moves:
        # One that stays enabled would come up beside the other, at some later boot when nobody looks.
        doing.must("systemctl", "disable", *UNITS[goal.before], timeout=ENABLED)
        doing.must("systemctl", "enable", *UNITS[goal.manager], timeout=ENABLED)


def bring_files(goal: Goal, doing: Doing) -> None:
    """Bring about what the boot reads, before its managers of networks start. Raises Failure, OSError."""
    for path in versions.put(goal.folder, doing.work):
        doing.log(f"put {path} in place")
    if NETPLAN in (goal.before, goal.manager):
        doing.may("netplan", "generate")
    if goal.moves:
        # Jobs of this boot are queued already, and wait for us: they are changed, not waited for.
        for_boots(goal, doing)
        doing.may("systemctl", "stop", "--no-block", *UNITS[goal.before], timeout=SYSTEMD)
        doing.may("systemctl", "start", "--no-block", UNITS[goal.manager][0], timeout=SYSTEMD)


def _take_down(goal: Goal, doing: Doing) -> set[str]:
    """Have the manager of now give up what changes, by the files of now; the links that ifupdown is to bring up."""
    work = doing.work
    changed: set[str] = set()
    coming = _coming(goal, work) if goal.manager == IFUPDOWN else {}
    if goal.before == IFUPDOWN:
        here = interfaces.read(work)
        up = interfaces.up(work)
        changed = (
            set(up) | set(here) if goal.moves else interfaces.touched(here, coming, _drifted(goal.network, read(work)))
        )
        down = [name for name in (*interfaces.ordered(here), *up) if name in changed and name in up]
        for name in reversed(list(dict.fromkeys(down))):
            doing.may("ifdown", name, timeout=UP)
        interfaces.forget(changed, work)
    elif goal.moves:
        changed = set(coming)
    if goal.moves:
        doing.may("systemctl", "stop", *UNITS[goal.before], timeout=SYSTEMD)
    missing = set(goal.up) - set(interfaces.up(work)) if goal.manager == IFUPDOWN else set()
    return (changed | missing) & set(coming)


def _coming(goal: Goal, work: Work) -> interfaces.Stanzas:
    """The stanzas that are to be: of the file that comes, or of the one that stays."""
    for version in versions.listed(goal.folder):
        if version.path == INTERFACES and version.kind == versions.FILE:
            text = versions.content(version, goal.folder).decode("utf-8", "replace")
            return interfaces.parse(text.replace("\\\n", " "), work)
    return interfaces.read(work)


def _ifupdown(goal: Goal, doing: Doing, again: set[str]) -> None:
    os.makedirs(doing.work.at("/run/network"), exist_ok=True)
    doing.all(clearing(again, read(doing.work)))
    for name in interfaces.ordered(interfaces.read(doing.work)):
        if name in again:
            doing.must("ifup", name, timeout=UP)
    if goal.moves:
        doing.must("systemctl", "start", UNITS[IFUPDOWN][0], timeout=SYSTEMD)


def _drifted(network: Network, live: Live) -> set[str]:
    """The declared links that the kernel has otherwise, and their masters, which bring their ports up."""
    names = names_of(network, live)
    told = {line.partition(":")[0] for line in differences(network, live)}
    found = {names[link.name] for link in network.links if names[link.name] in told}
    found |= {
        names.get(route.link, route.link)
        for route in network.routes
        if not any(is_same(route, now, names) for now in live.routes)
    }
    return found | {link.master for link in network.links if link.master and names[link.name] in found}


def _networkd(goal: Goal, doing: Doing, *, anew: bool) -> None:
    """Have networkd read its files; one that forgot links which we deleted is started anew, so that it makes them."""
    unit = UNITS[NETWORKD][0]
    # networkctl speaks to networkd over the system's bus, and a small Debian has none.
    deaf = not os.path.exists(doing.work.at(BUS))
    if goal.moves or anew or deaf or not doing.may("systemctl", "is-active", "--quiet", unit):
        doing.must("systemctl", "restart", unit, timeout=SYSTEMD)
    else:
        doing.must("networkctl", "reload")
        live = read(doing.work)
        # A VLAN that is not there yet is made when the link below it is configured.
        below = {link.on for link in goal.network.links if link.on and live.link(link.name) is None}
        drifted = _drifted(goal.network, live) | below
        for name in (one.name for one in live.links if one.name in drifted):
            doing.must("networkctl", "reconfigure", name)
    end = monotonic() + SETTLED
    tried: set[tuple[str, ...]] = set()
    while True:
        live = read(doing.work)
        # It keeps addresses that its files no longer name.
        doing.all(one for one in leaving(goal.network, live, goal.also) if one.argv[1] in KEPT)
        if not differences(goal.network, live) or monotonic() > end:
            return
        sizes = [one for one in sizing(goal.network, live) if one.argv not in tried]
        tried.update(one.argv for one in sizes)
        doing.all(sizes)
        sleep(0.25)
