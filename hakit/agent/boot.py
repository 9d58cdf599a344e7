"""The first code that runs on a host: finds the agent's code there, or receives it, and starts it.

It is sent as source on stdin, so that no login shell has to quote it. It may be trusted only with what root alone could
have written. Arguments: token, hash of the code, size of the compressed code. Read by `hakit.agent.bootstrap`.
"""

import posix
import sys
from _frozen_importlib import ModuleSpec
from marshal import dumps, loads

STATE = "/var/lib/hakit"
OLDEST = (3, 9)  # of the rest; this file itself runs on 3.6
FOLDER, FILE = 0o040000, 0o100000


def fit(info: posix.stat_result, kind: int) -> bool:
    """Whether we, who are root, own it and nobody else can write it."""
    return info.st_uid == posix.geteuid() and info.st_mode & 0o170022 == kind


def cached(name: str) -> "dict[str, bytes] | None":
    """The modules' compiled code by name, or None unless a file that only root can write holds it."""
    try:
        if not all(fit(posix.lstat(folder), FOLDER) for folder in (STATE, STATE + "/agent")):
            return None
        fd = posix.open(name, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_CLOEXEC)
        with open(fd, "rb") as file:
            found = loads(file.read()) if fit(posix.fstat(fd), FILE) else None  # noqa: S302 - root's own
    except (OSError, EOFError, TypeError, ValueError):
        return None
    return found if type(found) is dict else None


def receive(size: int) -> "dict[str, str]":
    """The modules' source by name, from stdin."""
    import zlib

    data = bytearray()
    while len(data) < size:
        part = posix.read(0, size - len(data))
        if not part:
            posix._exit(3)  # noqa: SLF001 - the controller is gone, nothing is to be cleaned up
        data += part
    words = zlib.decompress(data).decode().split("\0")
    return dict(zip(words[::2], words[1::2]))  # noqa: B905 - Python 3.9 knows no strict


class Finder:
    """Imports modules from their marshalled code in memory (importlib's finder and loader in one)."""

    def __init__(self, modules: "dict[str, bytes]") -> None:
        self.modules = modules

    def find_spec(self, name: str, path: object = None, target: object = None) -> "ModuleSpec | None":
        """The module, when it is ours."""
        del path, target
        if name not in self.modules:
            return None
        package = any(other.startswith(name + ".") for other in self.modules)
        return ModuleSpec(name, self, origin="hakit", is_package=package)  # type: ignore[arg-type]  # a loader by shape

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make an ordinary module."""

    def exec_module(self, module: object) -> None:
        """Run its code."""
        exec(loads(self.modules[module.__name__]), module.__dict__)  # type: ignore[attr-defined]  # noqa: S102, S302


def start(token: str, digest: str, size: str) -> None:
    """Answer, get the code, run it."""
    if sys.version_info[:2] < OLDEST:
        posix.write(1, f"\n{token} old {'.'.join(map(str, sys.version_info[:3]))}\n".encode())
        return
    name = f"{STATE}/agent/{digest}.{sys.hexversion:x}"
    modules = cached(name)
    posix.write(1, f"\n{token} {'have' if modules else 'need'}\n".encode())
    fresh = None
    if not modules:
        sources = receive(int(size))
        modules = {n: dumps(compile(s, f"<{n}>", "exec", dont_inherit=True, optimize=2)) for n, s in sources.items()}
        fresh = (name, dumps(modules))
    sys.meta_path.insert(0, Finder(modules))
    from hakit.agent.main import main

    main(fresh=fresh)


if __name__ == "__main__":
    start(*sys.argv[1:4])
