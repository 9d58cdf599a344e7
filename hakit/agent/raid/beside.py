"""Several slow looks at once: disks seek beside each other, and a dozen of them one by one would take minutes."""

from __future__ import annotations

from _thread import allocate_lock, start_new_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Found = TypeVar("Found")


def beside(looks: list[Callable[[], Found]]) -> list[Found]:
    """What each of them finds, in their order, once all have ended. Raises what the first of them raised that did."""
    results: dict[int, Found] = {}
    errors: dict[int, BaseException] = {}
    ends = []

    def run(number: int, end: object) -> None:
        try:
            results[number] = looks[number]()
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            errors[number] = error
        finally:
            end.release()  # type: ignore[attr-defined]  # a lock

    for number in range(len(looks)):
        end = allocate_lock()
        end.acquire()
        ends.append(end)
        start_new_thread(run, (number, end))
    for end in ends:
        end.acquire()
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(len(looks))]
