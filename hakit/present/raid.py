"""How arrays look: a line each, their members below, what stands in the way and the command that helps."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hakit.present.commands import pasteable
from hakit.present.plan import failure
from hakit.present.progress import Live
from hakit.present.terminal import count, fold, paint, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hakit.errors import HakitError
    from hakit.raid.picture import Disk, Picture

COLOURS = {"clean": "green", "resync": "green", "check": "green", "failed": "red", "absent": "red"}
BAR = 20
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
MINUTE, HOUR, DAY = 60, 3600, 86400


def status_text(pictures: Iterable[Picture], errors: Mapping[str, HakitError], now: datetime) -> str:
    """All arrays for a terminal."""
    blocks = ["\n".join(_array(one, now)) for one in pictures]
    blocks += [fold(f"{paint(host, bold=True)}  {failure(host, error)}", "    ") for host, error in errors.items()]
    return "\n".join(blocks) if blocks else "no host of the inventory declares an array"


def status_json(pictures: Iterable[Picture], errors: Mapping[str, HakitError]) -> dict[str, Any]:
    """The same for programs: by host and array, as the host tells it."""
    hosts: dict[str, dict[str, Any]] = {}
    for one in pictures:
        told = asdict(one)
        host, name = told.pop("host"), told.pop("name")
        told["devices"] = told.pop("slots")
        hosts.setdefault(host, {})[name] = told
    return {"hosts": hosts, "errors": {host: error.text() for host, error in errors.items()}}


def _array(one: Picture, now: datetime) -> Iterator[str]:
    state = paint(one.state, COLOURS.get(one.state, "yellow"))
    inside = one.slots - one.degraded
    parts = [f"RAID {one.level}" if one.level else "", size(one.size) if one.size else "", one.device]
    parts.append(f"{inside} of {count(one.slots, 'member')}" if one.slots else "")
    yield fold(f"{paint(f'{one.host}  {one.name}', bold=True)}  {state}  {printable('  '.join(filter(None, parts)))}")
    for disk in (*one.members, *(disk for disk in one.others if disk.state != "absent" or one.degraded)):
        yield fold(printable(f"  {_disk(disk)}"), "      ")
    if one.progress is not None:
        yield f"  {progress(one)}"
    if one.scrubbed or one.mismatches is not None:
        yield f"  {_scrubbed(one, now)}"
    yield from _help(one)


def _disk(disk: Disk) -> str:
    slot = str(disk.slot) if disk.slot >= 0 else "-"
    known = [
        f"{slot:>2}",
        disk.serial or disk.word or "?",
        disk.state.replace("_", " "),
        disk.model,
        disk.now,
        disk.path,
    ]
    tail = [f"{count(disk.errors, 'error')}" if disk.errors else "", disk.why]
    tail.append("not declared" if not disk.word else "")
    return "  ".join(part for part in (*known, *tail) if part)


def progress(one: Picture) -> str:
    """`█████░░░░░  43 %  112 MiB/s  5 h 12 min left`."""
    done = one.progress or 0.0
    full = min(BAR, max(0, round(done * BAR)))
    parts = [f"{'█' * full}{'░' * (BAR - full)}", f"{done * 100:.0f} %"]
    parts.append(f"{size(one.speed)}/s" if one.speed else "")
    parts.append(f"{span(one.eta)} left" if one.eta is not None else "")
    return "  ".join(part for part in (*parts, "" if one.busy else one.action) if part)


def _scrubbed(one: Picture, now: datetime) -> str:
    text = "never read through that anybody knows of"
    if one.scrubbed:
        try:
            since = now - datetime.fromisoformat(one.scrubbed).astimezone(UTC)
            text = f"read through {span(since.total_seconds())} ago"
        except ValueError:
            text = f"read through {printable(one.scrubbed)}"
    if one.mismatches:
        differ = paint(f"{count(one.mismatches, 'sector')} differ", "yellow")
        return f"{text}, {differ}"
    return f"{text}, no copies differ" if one.mismatches == 0 and one.scrubbed else text


def _help(one: Picture) -> Iterator[str]:
    """What to do next."""
    dead = [disk for disk in one.members if disk.state in ("faulty", "missing")]
    for disk in dead:
        name = disk.serial or disk.word
        sign = paint("!", "red")
        yield f"  {sign} {printable(name or 'a member')} is {disk.state}"
        if name:
            yield f"    {pasteable(f'hakit raid replace {one.host} {one.name} {printable(name)}')}"
    if one.state == "degraded" and not dead:
        yield f"  {paint('!', 'yellow')} {count(one.degraded, 'member')} missing"
    if one.state == "absent":
        yield f"  {paint('!', 'red')} it does not run; see what its disks say with  {pasteable('hakit plan')}"
    if one.mismatches and one.action == "idle":
        yield f"    {pasteable(f'hakit raid scrub {one.host} {one.name} --repair')}"


def size(number: float) -> str:
    """Bytes as people read them: 512 B, 3 MiB, 1.5 GiB."""
    value, unit = float(number), 0
    while value >= 1024 and unit < len(_UNITS) - 1:  # noqa: PLR2004  1024 of one are one of the next
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 10 else f"{value:.1f} {_UNITS[unit]}"  # noqa: PLR2004


def span(seconds: float) -> str:
    """A long time rounded to what matters: 40 s, 12 min, 5 h 12 min, 3 days."""
    whole = round(max(0.0, seconds))
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return count(whole // DAY, "day")


class Watching(Live):
    """Shows what is waited for on a terminal; in a pipe a line for each ten per cent."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._line = ""
        self._told: tuple[str, int] = ("", -1)

    def lines(self) -> list[str]:
        """The last look."""
        return [self._line] if self._line else []

    def show(self, one: Picture, what: str) -> None:
        """A look at an array that is waited for."""
        bar = f"  {progress(one)}" if one.progress is not None else ""
        self._line = printable(f"{one.host}  {one.name}  {what}{bar}")
        step = (what, int((one.progress or 0.0) * 10))
        if not self.live and step != self._told:
            self._told = step
            self.say(self._line)
