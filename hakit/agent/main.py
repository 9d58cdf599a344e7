"""Where the agent starts on a host."""

from __future__ import annotations

import os
import sys

from hakit.agent.errors import FrameError
from hakit.agent.session import Channel, Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import SIG_IGN, SIGHUP, SIGINT, SIGPIPE, SIGTERM, signal
else:
    from _signal import SIG_IGN, SIGHUP, SIGINT, SIGPIPE, SIGTERM, signal  # `signal` builds enums for 4 ms

KEPT = 3  # codes kept in the cache: several controllers may come with different versions of hakit


def main(root: str = "", fresh: tuple[str, bytes] | None = None) -> None:
    """Serve one controller on stdin and stdout until it says bye or goes away.

    `root` stands before every path (tests); `fresh` is compiled code to cache: file name and bytes.
    """
    channel = Channel(os.dup(0), os.dup(1))
    # What anything else reads or prints must not be mistaken for frames.
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.chdir(root or "/")
    os.umask(0o022)  # of maintainer scripts and useradd; what is ours gets its mode explicitly
    for number in (SIGTERM, SIGHUP, SIGINT):
        signal(number, lambda *_: channel.stop())
    signal(SIGPIPE, SIG_IGN)
    session = Session(root, channel)
    try:
        session.serve()
    except FrameError as error:
        channel.send({"ev": "crash", "message": str(error), "trace": ""})
    except Exception as error:  # noqa: BLE001 - whatever it is, the controller has to be told
        import traceback

        words = f"the agent failed: {type(error).__name__}: {error}"
        channel.send({"ev": "crash", "message": words, "trace": traceback.format_exc()[-8000:]})
    finally:
        session.close()
    if fresh is not None:
        cache(*fresh)
    sys.stderr.flush()
    os._exit(0)  # nothing is left to be torn down, and that costs milliseconds


def cache(name: str, data: bytes) -> None:
    """Keep compiled code for the next run where root alone can write; where that can't be, there is no cache."""
    from hakit.agent import disk

    folder = os.path.dirname(name)
    try:
        disk.make_folder(folder)
        info = os.lstat(folder)
        if info.st_uid != os.geteuid() or info.st_mode & 0o022:
            return
        disk.write(name, data, 0o600)
        others = [f"{folder}/{entry}" for entry in os.listdir(folder)]
        by_age = sorted(others, key=lambda path: os.lstat(path).st_mtime_ns)
        for old in by_age[:-KEPT]:
            os.unlink(old)
    except OSError:
        return
