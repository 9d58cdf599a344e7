"""Growing an array to what the inventory declares: new disks are added, then it is reshaped step by step.

Each step first looks whether it is done already: what was cut short is gone on with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hakit.agent.answers import typed
from hakit.agent.errors import FrameError
from hakit.errors import AgentError, RefusedError
from hakit.raid.replacing import PAUSE

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.raid.picture import Picture
    from hakit.raid.replacing import Hands

MOST = 20
"""Steps of one growth: level, members, chunk, layout, size and policy are some; more would be a host that errs."""
STOPPED = ("absent", "failed")
"""How an array is called that the boot has not started, or could not."""


class Growth:
    """One array on its way to what is declared."""

    def __init__(
        self,
        hands: Hands,
        host: str,
        array: str,
        show: Callable[[Picture, str], None],
        sleep: Callable[[float], None],
    ) -> None:
        self._hands = hands
        self._host = host
        self._array = array
        self._show = show
        self._sleep = sleep

    def steps(self) -> tuple[str, ...]:
        """What would be done, in words. Raises RefusedError where a new disk is not there or not empty, AgentError."""
        new = () if self._stopped() else self._new()
        found = self._told("growth", "steps")
        return (*(f"add {disk}" for disk in new), *found)

    def run(self, backup: str) -> Picture:
        """Do it, and wait for the end of each step; `backup` is where mdadm keeps what a crash needs.

        Raises RefusedError, AgentError, ConnectError.
        """
        if self._stopped():
            self._hands.do(self._array, "resume")
            self._settle()
        for word in self._new():
            self._hands.do(self._array, "add", device=word)
        for number in range(MOST):
            self._settle()
            told = self._hands.do(self._array, "grow", backup=backup if not number else f"{backup}.{number}")
            if not told.get("step") and not told.get("left"):
                return self._settle()
        raise AgentError(f"{self._host}: array {self._array} is not as declared after {MOST} steps")

    def _stopped(self) -> bool:
        """Whether it does not run: a reshape that a crash has cut off may leave it so. Its host knows what it can."""
        return self._hands.look(self._array).state in STOPPED

    def _new(self) -> list[str]:
        """Declared disks that are no members yet. Raises RefusedError where one can't become one."""
        picture = self._hands.look(self._array)
        if picture.state in STOPPED or picture.degraded:
            raise RefusedError(
                f"{self._host}: array {self._array} is {picture.state}, and is not reshaped so",
                hint="mend it first; see  hakit raid status",
            )
        for disk in picture.others:
            if disk.state != "empty":
                raise RefusedError(
                    f"{self._host}: {disk.serial or disk.word} can't become a member of {self._array}: "
                    f"{disk.why or disk.state}"
                )
        return [disk.word for disk in picture.others]

    def _told(self, verb: str, key: str) -> tuple[str, ...]:
        answer: dict[str, Any] = self._hands.do(self._array, verb)
        try:
            return tuple(str(one) for one in typed(answer, key, list))
        except FrameError as error:
            raise AgentError(f"{self._host}: the agent tells nonsense of array {self._array}: {error}") from error

    def _settle(self) -> Picture:
        """Wait until nothing moves."""
        while True:
            picture = self._hands.look(self._array)
            if picture.state == "failed":
                raise RefusedError(f"{self._host}: array {self._array} failed while it was reshaped")
            if picture.action in ("idle", "frozen") and not picture.busy:
                return picture
            self._show(picture, "reshapes" if picture.action == "reshape" else f"waits for the {picture.action}")
            self._sleep(PAUSE)
