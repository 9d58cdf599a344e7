"""How an array is at one moment, as its host tells it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hakit.agent.answers import typed
from hakit.agent.errors import FrameError
from hakit.errors import AgentError

if TYPE_CHECKING:
    from collections.abc import Mapping

SERIAL = "serial:"
WORDS = ("serial", "model", "now", "word", "role", "state", "path")
GOOD = ("clean", "resync", "check")
"""States in which every member that should hold data does."""
BUSY = ("rebuilding", "reshaping")


def is_called(word: str, name: str) -> bool:
    """Whether a word of the inventory is a disk that an operator names so, by the word or the serial number."""
    serial = name.removeprefix(SERIAL)
    return bool(word) and (word in (name, f"{SERIAL}{serial}") or word.endswith(f"_{serial}"))


@dataclass(frozen=True, slots=True)
class Disk:
    """A member, or a declared disk that is none.

    `word` is the inventory's for it, empty where it is not declared; `now` the kernel's name at this moment. `slot` is
    -1 where it has none. `role` is `active`, `spare` or `journal`. `state` of a member is `in_sync`, `rebuilding`,
    `faulty`, `spare`, `missing`; of another disk `absent`, `empty` or `refused` (`why` says what is on it). `size` is
    in bytes, `path` where it is plugged in (udev's ID_PATH), `errors` what md counted of it.
    """

    serial: str
    model: str
    now: str
    word: str
    slot: int
    role: str
    state: str
    size: int
    path: str
    errors: int
    why: str = ""

    def is_called(self, word: str) -> bool:
        """Whether an operator's word means it: a serial number, or what the inventory says."""
        return word != "" and (word.removeprefix(SERIAL) == self.serial or is_called(self.word, word))

    def text(self) -> str:
        """For a person who has to find it."""
        parts = [self.model, f"serial {self.serial}" if self.serial else self.word]
        parts += [f"now {self.now}" if self.now else "", f"at {self.path}" if self.path else ""]
        return ", ".join(part for part in (" ".join(parts[:2]).strip(), *parts[2:]) if part)


@dataclass(frozen=True, slots=True)
class Picture:
    """An array on its host.

    `state` is one of `clean`, `resync` (its first one), `check`, `degraded`, `rebuilding`, `reshaping`, `failed`,
    `absent`. `size` is in bytes, `slots` the members that it is meant to have, `degraded` how many of them it lacks.
    `action` is md's word for what it does, `progress` from 0 to 1, `speed` in bytes a second, `eta` in seconds, each
    None where it does nothing. `mismatches` are the sectors that the last check found to differ, `scrubbed` when that
    was (UTC), empty where nobody knows. `others` are declared disks that are no members.
    """

    host: str
    name: str
    state: str
    device: str
    uuid: str
    level: str
    size: int
    slots: int
    degraded: int
    members: tuple[Disk, ...] = ()
    others: tuple[Disk, ...] = ()
    action: str = "idle"
    progress: float | None = None
    speed: int | None = None
    eta: float | None = None
    mismatches: int | None = None
    scrubbed: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing is missing and no copies were found to differ."""
        return self.state in GOOD and not self.mismatches

    @property
    def busy(self) -> bool:
        """Whether it is on the way to be whole again."""
        return self.state in BUSY

    def member(self, word: str) -> Disk | None:
        """The member that a word means."""
        return next((disk for disk in self.members if disk.is_called(word)), None)

    def other(self, word: str) -> Disk | None:
        """The declared disk that is no member, and that a word means."""
        return next((disk for disk in self.others if disk.is_called(word)), None)


def picture(host: str, name: str, told: Mapping[str, Any]) -> Picture:
    """What a host told of an array. Raises AgentError for what is no proper answer."""
    try:
        return Picture(
            host=host,
            name=name,
            **{key: typed(told, key, str) for key in ("state", "device", "uuid", "level", "action", "scrubbed")},
            size=typed(told, "size", int),
            slots=typed(told, "devices", int),
            degraded=typed(told, "degraded", int),
            members=tuple(_disk(one) for one in typed(told, "members", list)),
            others=tuple(_disk(one) for one in typed(told, "others", list)),
            progress=_number(told, "progress"),
            speed=None if told.get("speed") is None else int(_number(told, "speed") or 0),
            eta=_number(told, "eta"),
            mismatches=None if told.get("mismatches") is None else typed(told, "mismatches", int),
        )
    except FrameError as error:
        raise AgentError(f"{host}: the agent tells nonsense of array {name}: {error}") from error


def _disk(told: Any) -> Disk:
    values: dict[str, Any] = {key: typed(told, key, str) for key in WORDS}
    values |= {key: typed(told, key, int) for key in ("slot", "size", "errors")}
    return Disk(**values, why=str(told.get("why", "")))


def _number(told: Mapping[str, Any], key: str) -> float | None:
    return None if told.get(key) is None else float(typed(told, key, (int, float)))
