"""Signs of life while a request is worked on: a hung host is told from one that is busy with a long step.

A beat proves that the process runs and that its main thread does, too; how long a step may take is the step's affair.
"""

from __future__ import annotations

from _thread import start_new_thread
from time import sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from signal import SIG_BLOCK, SIGALRM, SIGHUP, SIGINT, SIGTERM, pthread_sigmask
else:
    from _signal import SIG_BLOCK, SIGALRM, SIGHUP, SIGINT, SIGTERM, pthread_sigmask  # `signal` builds enums for 4 ms

BEAT = 5.0  # seconds between two beats
STILL = 6
"""Beats after which a main thread that has not run once is stuck. It looks about at least once a second while it waits
for a command, and every network wait has seconds; only the kernel can hold it longer (a disk that does not answer)."""
RAN = (
    "/proc/self/schedstat"  # proc(5): how long the main thread has run, has waited, and how often it was given the CPU
)


class Pulse:
    """Calls `beat` every few seconds between `begin` and `rest`, from a thread that lives as long as the process."""

    def __init__(self, beat: Callable[[], object]) -> None:
        self._beat = beat
        self._busy = False
        self._started = False

    def begin(self) -> None:
        """A request is worked on from now on. The thread costs 0.1 ms, once."""
        self._busy = True
        if not self._started:
            self._started = True
            start_new_thread(self._run, ())

    def rest(self) -> None:
        """Nothing is worked on."""
        self._busy = False

    def _run(self) -> None:
        # A signal has to interrupt what the main thread waits for.
        pthread_sigmask(SIG_BLOCK, {SIGTERM, SIGHUP, SIGINT, SIGALRM})
        seen = ""
        still = 0
        while True:
            sleep(BEAT)
            now = _ran()
            still = still + 1 if now and now == seen else 0
            seen = now
            if self._busy and still < STILL:
                self._beat()


def _ran() -> str:
    """What changes whenever the main thread runs; empty where the kernel does not tell."""
    try:
        with open(RAN, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
