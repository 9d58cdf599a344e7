"""What lives on the host for good: the boot guard and the role endpoint.

Started as `python3 -I -S -E LIBRARY guard FILE` before the server is, and as `… endpoint FILE` by systemd with its
listening sockets. FILE is the `Place` as JSON.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from time import monotonic

from hakit.agent import disk, jsonlite
from hakit.agent.errors import Failure, from_os
from hakit.agent.postgres.place import USER, Member, Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FIRST = 3  # descriptor of the first socket that systemd passes (sd_listen_fds(3))
ALIVE = 1.0  # seconds between two signs of life for systemd's watchdog


def main(arguments: list[str]) -> int:
    """Run one of the two; the exit code."""
    if len(arguments) != 2 or arguments[0] not in {"guard", "endpoint"}:  # noqa: PLR2004 - the two of them
        sys.stderr.write("usage: guard FILE | endpoint FILE\n")
        return 2
    what, file = arguments
    try:
        place, root = described(file)
        _become_user()
        if what == "guard":
            from hakit.agent.postgres.guard import guard

            return 0 if guard(place, root) else 1
        return _endpoint(place, root)
    except Failure as failure:
        sys.stderr.write(f"{failure.message}\n")
        return 1


def described(file: str) -> tuple[Place, str]:
    """The place that a file describes, and what stands before its paths: nothing, but for tests. Raises Failure."""
    try:
        data: dict[str, Any] = jsonlite.loads(disk.read(file).decode("utf-8").strip())
        members = tuple(Member(**one) for one in data.pop("members", ()))
        place = Place(members=members, **data)
    except OSError as error:
        raise from_os(error, "reading what cluster this is", (file,)) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise Failure(f"{file} describes no member of a cluster: {error}", path=file) from None
    return place, file[: -len(place.file)] if file.endswith(place.file) else ""


def _become_user() -> None:
    """Give up root for good: all that is needed is the server's user's."""
    if os.geteuid() != 0:
        return
    import pwd

    try:
        found = pwd.getpwnam(USER)
    except KeyError:
        raise Failure(f"there is no user {USER} on this host") from None
    os.initgroups(USER, found.pw_gid)
    os.setgid(found.pw_gid)
    os.setuid(found.pw_uid)


def _endpoint(place: Place, root: str) -> int:
    from hakit.agent.postgres.endpoint import answer
    from hakit.agent.postgres.serving import Allowed, Server
    from hakit.agent.postgres.watching import Watch

    listeners = _sockets()
    if not listeners:
        raise Failure(f"no socket was passed: start hakit-postgresql@{place.label}.socket")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    watch = Watch(place, root, _say)
    watch.start()
    allowed = Allowed([*(one.address for one in place.members), *place.allow])
    server = Server(listeners, allowed, lambda path: answer(path, watch.view()))
    notify = _Notify()
    notify.tell("READY=1")
    server.serve(notify.alive)
    return 0


def _sockets() -> list[socket.socket]:
    """The listening sockets that systemd passed."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    return [socket.socket(fileno=fd) for fd in range(FIRST, FIRST + count)]


class _Notify:
    """Words for systemd (sd_notify(3)); nobody hears them where it does not listen."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._last = float("-inf")

    def tell(self, words: str) -> None:
        """Send some words."""
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            try:
                out.sendto(words.encode(), address)
            except OSError as error:
                _say(f"systemd does not listen: {error}")

    def alive(self) -> None:
        """Say now and then that we go on."""
        if monotonic() - self._last > ALIVE:
            self._last = monotonic()
            self.tell("WATCHDOG=1")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
