"""`hakit trust`: see the host keys, compare them, pin them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from hakit.cli import options
from hakit.cli.prompts import ask_pass
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from hakit.errors import ConnectError
    from hakit.inventory.model import Site
    from hakit.ssh import Connector, Target
    from hakit.ssh.scan import HostScan, Scanned

STATES = {"known": "known", "unknown": "new", "changed": "CHANGED", "revoked": "REVOKED"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the hosts brought: their keys, and the hosts that showed none."""

    scans: Sequence[HostScan]
    failures: Mapping[str, ConnectError]
    replace: frozenset[str] = field(default_factory=frozenset)

    def pins(self, one: HostScan) -> tuple[Scanned, ...]:
        """The keys of a host to pin: new ones, and changed ones where the user said so."""
        wanted = {"unknown", "changed"} if one.host in self.replace else {"unknown"}
        return () if self.refused(one) else tuple(key for key in one.keys if key.verdict.standing in wanted)

    def refused(self, one: HostScan) -> bool:
        """Whether nothing of this host may be pinned: a key that changed or was revoked spoils the others."""
        standings = {key.verdict.standing for key in one.keys}
        return "revoked" in standings or ("changed" in standings and one.host not in self.replace)

    @property
    def pinned(self) -> tuple[HostScan, ...]:
        """The hosts that have something to pin."""
        return tuple(one for one in self.scans if self.pins(one))

    @property
    def news(self) -> Seen:
        """The same without the hosts that are known already and without failures, which the hosts behind tell."""
        fresh = [one for one in self.scans if self.pins(one) or self.refused(one)]
        return Seen(fresh, {}, self.replace)

    def with_(self, other: Seen) -> Seen:
        """Both together."""
        return Seen((*self.scans, *other.scans), {**self.failures, **other.failures}, self.replace)

    @property
    def clean(self) -> bool:
        """Whether every host answered and none was refused."""
        return not self.failures and not any(map(self.refused, self.scans))

    def twins(self) -> dict[str, str]:
        """Hosts that show a key of an earlier host too: clones, which can stand in for each other unnoticed."""
        first: dict[bytes, str] = {}
        found: dict[str, str] = {}
        for one in self.scans:
            for scanned in one.keys:
                other = first.setdefault(scanned.key.blob, one.host)
                if other != one.host:
                    found.setdefault(one.host, other)
        return found


@click.command(
    epilog="""\b
Examples:
  hakit trust -i inventories/site                    # look, compare, answer
  hakit trust -i inventories/site --limit 'web*'
  hakit trust -i inventories/site --replace db2      # db2 was reinstalled: forget its old keys
  hakit trust -i inventories/site --yes              # on a network that you trust at this moment

\b
To compare, on the host's own console:
  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
""",
)
@options.inventory
@click.option("--limit", multiple=True, metavar="PATTERN", help="Only these hosts or groups: names, globs (web*).")
@click.option("--replace", multiple=True, metavar="HOST", help="Forget the pinned keys of this host. Repeatable.")
@click.option("-y", "--yes", "assume_yes", is_flag=True, help="Pin new keys without a question.")
@options.as_json
@options.no_lab
@ask_pass
@click.option("--forks", type=click.IntRange(1, 512), default=10, show_default=True, help="Hosts asked at once.")
@click.pass_context
def trust(
    ctx: click.Context,
    *,
    inventory: Path,
    limit: tuple[str, ...],
    replace: tuple[str, ...],
    assume_yes: bool,
    as_json: bool,
    no_lab: bool,
    forks: int,
) -> None:
    """Show the hosts' SSH keys and pin the new ones.

    hakit talks to no host whose key it does not know. A jump host comes before the hosts behind it: it is logged in on
    to see their keys, once its own is known. Keys are pinned in .hakit/known_hosts beside the inventory, which
    is read before ~/.ssh/known_hosts. A key that changed is refused unless --replace names the host. Exit codes: 0 all
    hosts are known now, 1 a host could not be asked, was refused or left out, 2 the inventory or command line is wrong.
    """
    import json

    from hakit.cli.reach import target
    from hakit.engine.select import select

    site, _ = options.load(inventory, need_secrets=False)
    look = Look(site, no_lab=no_lab, forks=forks)
    jumps = look.jumps([target(host) for host in site.hosts.values()])
    _known(replace, {*site.hosts, *(one.name for level in jumps for one in level)})
    hosts = [
        target(site.hosts[name]) for name in select(site, (*limit, *(name for name in replace if name in site.hosts)))
    ]
    file = look.file
    rounds = [*look.jumps(hosts), hosts]
    found = Seen((), {}, frozenset(replace))
    for number, targets in enumerate(rounds, 1):
        seen = look.at(targets, frozenset(replace))
        last = number == len(rounds)
        found = found.with_(seen if last else seen.news)
        if not as_json and (text := table(seen if last else seen.news)):
            click.echo(text)
        if seen.pinned and not as_json and not assume_yes and not _agreed(seen, file):
            click.echo("Nothing was pinned." if number == 1 else "No more was pinned.")
            ctx.exit(1)
        if seen.pinned:
            pin_all(seen, file if assume_yes or not as_json else None)
            if not as_json:
                click.echo(f"Pinned the keys of {_hosts(seen.pinned)} in {file}.")
            if not last:
                look.again()
    if as_json:
        click.echo(json.dumps(as_data(found, pinned=assume_yes), indent=2))
        ctx.exit(0 if found.clean and (assume_yes or not found.pinned) else 1)
    if found.clean:
        click.echo(f"All keys are known. Next:  hakit plan -i {inventory}")
    ctx.exit(0 if found.clean else 1)


class Look:
    """Asks hosts for their keys, several at once, through their jump hosts."""

    def __init__(self, site: Site, *, no_lab: bool, forks: int) -> None:
        """Read what is known now. Raises LabError, UsageError, ConnectError."""
        self._site = site
        self._no_lab = no_lab
        self._forks = forks
        self._reach = self._connector()

    @property
    def file(self) -> Path:
        """Where keys are pinned: beside the inventory; a lab's among the lab's own."""
        from hakit.cli.reach import pinned

        return self._reach.options.pinned or pinned(self._site)

    def at(self, targets: Sequence[Target], replace: frozenset[str]) -> Seen:
        """What these hosts show; those whose keys `replace` names show all of them."""
        from hakit.cli.reach import announce
        from hakit.engine.threads import each
        from hakit.errors import ConnectError
        from hakit.ssh.scan import scan

        def ask(one: Target) -> HostScan | ConnectError:
            try:
                return scan(self._reach, one, everything=one.name in replace)
            except ConnectError as error:
                return error

        announce(len(targets))
        answers = list(zip(targets, each(ask, targets, self._forks), strict=True))
        return Seen(
            [answer for _, answer in answers if not isinstance(answer, ConnectError)],
            {one.name: answer for one, answer in answers if isinstance(answer, ConnectError)},
            replace,
        )

    def jumps(self, targets: Sequence[Target]) -> list[list[Target]]:
        """The jump hosts before these, those first that are reached directly, each once."""
        from hakit.errors import ConnectError

        levels: list[dict[tuple[object, ...], Target]] = []
        for target in targets:
            try:
                chain = self._reach.jumps(target)
            except ConnectError:  # told when the host itself is asked
                continue
            for depth, hop in enumerate(chain):
                if depth == len(levels):
                    levels.append({})
                levels[depth].setdefault((hop.host, hop.port, hop.name), hop)
        return [list(level.values()) for level in levels]

    def again(self) -> None:
        """Read anew what is known, after keys were pinned."""
        self._reach.close()
        self._reach = self._connector()

    def _connector(self) -> Connector:
        from hakit.cli.reach import connector

        return connector(self._site, no_lab=self._no_lab, ready=False)


def pin_all(seen: Seen, file: Path | None) -> None:
    """Write what is to be pinned, all at once; nothing without a file. Raises HakitError when it can't be written."""
    from hakit.errors import HakitError
    from hakit.ssh.known_hosts import pin

    if file is None or not seen.pinned:
        return
    lines = dict.fromkeys(scanned.key.line(one.names[0]) for one in seen.pinned for scanned in _kept(one, seen))
    forget = [name for one in seen.pinned if one.host in seen.replace for name in one.names]
    try:
        pin(file, tuple(lines), forget)
    except OSError as error:
        raise HakitError(f"{file}: can't be written: {error.strerror}") from error


def table(seen: Seen) -> str:
    """host, type, fingerprint and state of every key, then what is wrong."""
    from hakit.present.terminal import paint, printable

    wide = max((len(one.host) for one in seen.scans), default=0)
    colours = {"new": "yellow", "CHANGED": "red", "REVOKED": "red"}
    lines: list[str] = []
    for one in seen.scans:
        for scanned in one.keys:
            host = one.host if scanned is one.keys[0] else ""
            state = STATES[scanned.verdict.standing]
            about = f"{host:{wide}}  {scanned.key.kind:7}  {scanned.key.fingerprint:50}"
            lines.append(f"{about}  {paint(state, colours.get(state))}")
    lines += list(_warnings(seen))
    lines += [printable(error.text()) for error in seen.failures.values()]
    return "\n".join(lines)


def as_data(seen: Seen, *, pinned: bool) -> dict[str, Any]:
    """The same for programs."""
    return {
        "hosts": {
            one.host: [
                {
                    "type": scanned.key.type,
                    "fingerprint": scanned.key.fingerprint,
                    "state": STATES[scanned.verdict.standing].lower(),
                    "pinned": pinned and scanned in seen.pins(one),
                }
                for scanned in one.keys
            ]
            for one in seen.scans
        },
        "unreachable": {name: error.message for name, error in seen.failures.items()},
        "same_key": seen.twins(),
    }


def _kept(one: HostScan, seen: Seen) -> Iterable[Scanned]:
    """What is written for a host: with --replace all it shows, because its old lines go."""
    return one.keys if one.host in seen.replace else seen.pins(one)


def _warnings(seen: Seen) -> Iterable[str]:
    from hakit.present.terminal import paint

    for one in seen.scans:
        for scanned in one.keys:
            if scanned.verdict.standing in ("changed", "revoked") and one.host not in seen.replace:
                places = ", ".join(f"{entry.place} says {entry.key.fingerprint}" for entry in scanned.verdict.entries)
                yield paint(f"{one.host}: {STATES[scanned.verdict.standing]}: {places}", "red")
        if seen.refused(one):
            yield f"  {one.host} is left out. If it was reinstalled:  --replace {one.host}"
    for host, other in seen.twins().items():
        yield paint(f"{host} shows the key of {other}: is it a clone? Each could pass for the other.", "yellow")


def _agreed(seen: Seen, file: Path) -> bool:
    import sys

    from hakit.errors import RefusedError

    if not sys.stdin.isatty():
        raise RefusedError(
            f"{_hosts(seen.pinned)}: new keys, and no terminal to ask on",
            hint="Compare the fingerprints, then run it again with  --yes",
        )
    return click.confirm(f"Pin the keys of {_hosts(seen.pinned)} in {file}?", default=False)


def _hosts(scans: Sequence[HostScan]) -> str:
    from hakit.present.terminal import names

    return names([one.host for one in scans])


def _known(names: Sequence[str], hosts: Collection[str]) -> None:
    from hakit.errors import UsageError

    for name in names:
        if name not in hosts:
            raise UsageError(f"--replace {name}: no such host{did_you_mean(name, hosts)}")
