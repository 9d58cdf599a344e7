"""Replacing a disk of an array, guided: take it out, say which one to pull, wait for the new one, see it rebuilt.

Each step first looks whether it is done already, so that a replacement that was cut short is gone on with.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hakit.errors import RefusedError, UsageError
from hakit.raid.picture import GOOD, SERIAL
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.components.storage import SeenDisk, SeenStorage
    from hakit.raid.picture import Disk, Picture

PAUSE = 2.0
"""Seconds between two looks."""


class Hands(Protocol):
    """What carries the steps out: `hakit.raid.hands.Hands`."""

    def look(self, name: str) -> Picture:
        """How an array is now."""

    def do(self, name: str, verb: str, **arguments: str) -> dict[str, Any]:
        """Have the host carry a step out."""

    def exchange(self, name: str, old: str, new: str) -> None:
        """Take an array as one of another disk."""

    def disks(self) -> SeenStorage:
        """All disks of the host."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Who is asked and told. `confirm` gets a question and the word that is to be typed; `pick` a disk to take, or not.

    `show` gets each look while something is waited for. `pick` is None where there is nobody to ask.
    """

    tell: Callable[[str], None]
    confirm: Callable[[str, str], bool]
    show: Callable[[Picture, str], None]
    pick: Callable[[SeenDisk], bool] | None = None


@dataclass(frozen=True, slots=True)
class Replaced:
    """What came of it: the disk that went, the word of the one that came, how long its rebuild was watched.

    `new` is empty where there was nothing to do: the array lacks no member, and the old disk is none.
    """

    old: str
    new: str
    seconds: float
    picture: Picture


class Replacement:
    """One disk of one array for another."""

    def __init__(self, hands: Hands, host: str, array: str, operator: Operator, sleep: Callable[[float], None]) -> None:
        self._hands = hands
        self._host = host
        self._array = array
        self._operator = operator
        self._sleep = sleep

    def run(self, old: str, new: str = "") -> Replaced:
        """Replace the disk `old` (serial number or word) by `new`; empty: the one declared, or the one that comes.

        Raises RefusedError, UsageError, AgentError, ConnectError.
        """
        picture = self._hands.look(self._array)
        if picture.state in ("absent", "failed"):
            raise RefusedError(
                f"{self._host}: array {self._array} is {picture.state}: a new disk could be rebuilt from nothing",
                hint="see what its disks say with  hakit raid status",
            )
        if picture.member(old) is None and not new and picture.state in GOOD and not picture.others:
            return Replaced(old, "", 0.0, picture)
        coming = new or _entering(picture) or self._declared(picture, old)
        gone = self._known(picture, old, coming)
        if coming and gone is not None and gone.is_called(coming):
            raise UsageError(f"{old} can't be replaced by itself", hint="name the new disk after it:  serial:SERIAL")
        if not coming and self._operator.pick is None:
            raise UsageError(
                f"nothing says which disk comes in place of {old}; nothing was changed",
                hint="write it into the inventory in its place, or name it after the old one:  serial:SERIAL",
            )
        before = {disk.serial for disk in self._hands.disks().disks}
        if gone is not None:
            self._take_out(gone)
        elif any(not disk.serial and disk.state != "missing" for disk in picture.members):
            self._let_go(_word(old))  # md still has a member whose disk was pulled
        if not coming:
            coming = self._await_newcomer(before)
        self._hands.exchange(self._array, gone.serial if gone is not None and gone.serial else old, coming)
        self._add(coming)
        began = time.monotonic()
        last = self._await(lambda now: _settled(now, coming), "rebuilds")
        return Replaced(
            gone.serial if gone is not None and gone.serial else old, coming, time.monotonic() - began, last
        )

    def _known(self, picture: Picture, old: str, coming: str) -> Disk | None:
        """The member that is to go; None where it went already. Raises UsageError for a word that means nothing.

        One that is declared may have gone without a gap: a spare has taken its place, and the new disk will stand by.
        """
        found = picture.member(old)
        went = picture.member(coming) or picture.other(old) or any(not disk.serial for disk in picture.members)
        if found is not None or went:
            return found
        names = [disk.serial or disk.word for disk in picture.members]
        raise UsageError(
            f"{old} is no member of {self._array} on {self._host}, which lacks none{did_you_mean(old, names)}",
            hint=f"its members are {', '.join(names)}",
        )

    def _declared(self, picture: Picture, old: str) -> str:
        """The disk that the inventory names and that is no member yet, where there is exactly one."""
        others = [disk for disk in picture.others if not disk.is_called(old)]
        ready = [disk for disk in others if disk.state != "absent"] or others
        return ready[0].word if len(ready) == 1 else ""

    def _let_go(self, word: str) -> None:
        self._hands.do(self._array, "fail", device=word)
        self._hands.do(self._array, "remove", device=word)

    def _take_out(self, gone: Disk) -> None:
        """Have the array do without a disk, and say which one to pull."""
        known = gone.serial or gone.word
        if gone.state == "in_sync":
            question = f"{gone.text()} is in sync: {self._array} has one copy less until the new disk is rebuilt"
            if not self._operator.confirm(question, known):
                raise UsageError(
                    f"taking {known} out was not confirmed; nothing was changed", hint=f"add  --confirm {known}"
                )
        self._let_go(gone.word or _word(gone.serial))
        self._operator.tell(f"{known} is out of {self._array}. Pull the disk {gone.text()}")

    def _await_newcomer(self, before: set[str]) -> str:
        """Wait for a disk that was not there before, and that the operator means."""
        pick = self._operator.pick
        refused: set[str] = set()
        while True:
            for disk in self._hands.disks().disks:
                if disk.serial and disk.serial not in before | refused and pick is not None:
                    if pick(disk):
                        return f"{SERIAL}{disk.serial}"
                    refused.add(disk.serial)
            self._operator.show(self._hands.look(self._array), "waits for the new disk")
            self._sleep(PAUSE)

    def _add(self, word: str) -> None:
        """Wait until the new disk is there, and add it unless it is a member by now."""
        while True:
            picture = self._hands.look(self._array)
            if picture.member(word) is not None:
                return
            found = picture.other(word)
            if found is None or found.state != "absent":
                break
            self._operator.show(picture, f"waits for {word}")
            self._sleep(PAUSE)
        self._hands.do(self._array, "add", device=word)
        self._operator.tell(f"{word.removeprefix(SERIAL)} is in {self._array}")

    def _await(self, ended: Callable[[Picture], bool], what: str) -> Picture:
        while True:
            picture = self._hands.look(self._array)
            if picture.state == "failed":
                raise RefusedError(f"{self._host}: array {self._array} failed while it {what}")
            if ended(picture):
                return picture
            self._operator.show(picture, what)
            self._sleep(PAUSE)


def _word(name: str) -> str:
    """What the inventory would call a disk that is named by its serial number alone."""
    return name if name.startswith(("/dev/", SERIAL, "wwn:")) else f"{SERIAL}{name}"


def _entering(picture: Picture) -> str:
    """The disk that is being rebuilt already, where it is one."""
    found = [disk for disk in picture.members if disk.state == "rebuilding"]
    return found[0].word or _word(found[0].serial) if len(found) == 1 else ""


def _settled(picture: Picture, word: str) -> bool:
    """Whether a new disk holds what it should, or stands by where nothing lacks."""
    disk = picture.member(word)
    if disk is None or picture.busy:
        return False
    return disk.state == "in_sync" or (disk.state == "spare" and not picture.degraded)
