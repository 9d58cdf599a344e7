"""Makes a bare host manageable: what it lacks, bringing that, and the proof that the inventory's own login works.

`prepare.sh` does the work on the host; it runs in /bin/sh, because a bare host has no Python.
"""

from __future__ import annotations

import secrets
import shlex
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hakit.agent.boot import OLDEST
from hakit.agent.bootstrap import NEEDED
from hakit.agent.client import Client
from hakit.agent.errors import FrameError
from hakit.agent.starting import AgentGone
from hakit.engine.become import become, sudo_password
from hakit.engine.manageable import Key, State, Step, Wish, check_user, lacking
from hakit.engine.systems import System, gone
from hakit.errors import AgentError, HakitError, LoginError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hakit.engine.become import Root
    from hakit.ssh import Connection

LOOK = 60.0
"""Seconds for a look at a host."""
SILENCE = 1200.0
"""Seconds between two lines of the script: a transaction of apt that is quiet, or a slow mirror."""
_CHUNK = 1 << 16
_LINES = 1000  # of a host's answer: it may be anybody's


@dataclass(slots=True)
class Preparation:
    """One host on its way to being manageable.

    `own` logs in as the inventory says, `guest` where that does not work yet (None: there is no other way). `find_key`
    brings the public key for `user`; it is asked where his own login does not work, or `always_key` says so.
    """

    name: str
    inventory: str
    user: str
    own: Callable[[], Connection]
    guest: Callable[[], Connection] | None
    find_key: Callable[[], Key]
    always_key: bool = False
    steps: tuple[Step, ...] = ()
    login: str = ""
    _wish: Wish = field(default_factory=lambda: Wish("root"))
    _connection: Connection | None = None
    _root: Root | None = None

    def look(self) -> None:
        """Log in, see what is lacking (`steps`). Raises ConnectError, AgentError, RefusedError."""
        owns = self._log_in()
        key = self.find_key() if self.always_key or not owns else None
        self._wish = Wish(self.user, key)
        state = self._state()
        if owns:
            state = replace(state, root=True)  # with a password, perhaps: that is the user's choice
        state.system.release(self.name)
        if not state.account:
            check_user(self.user)
        self.steps = lacking(state, self._wish)

    def carry_out(self, on_line: Callable[[str, str], None]) -> None:
        """Bring what is lacking; `on_line` hears of `begin`, `note`, `wait` and `done`, each with a text.

        Raises AgentError when a step fails: the steps before it are done, and may be done again.
        """
        tail: list[str] = []
        failed = ""
        ended = False

        def hear(kind: str, text: str) -> None:
            nonlocal failed, ended
            if kind == "fail":
                failed = text
            elif kind == "tail":
                tail.append(text)
            elif kind == "end":
                ended = True
            else:
                on_line(kind, text)

        code, said = self._script("make", [step.name for step in self.steps], hear, SILENCE)
        if failed:
            raise AgentError(f"{self.name}: {failed}", why="\n  ".join(tail) or None)
        if not ended:
            raise AgentError(f"{self.name}: the preparation ended half-way (exit {code})", why=said or None)

    def prove(self) -> None:
        """Log in anew as the inventory says, become root, start the agent. Raises ConnectError, AgentError."""
        try:
            connection = self.own()
        except LoginError as error:
            raise LoginError(
                f"{error.message} although it was prepared",
                why=error.why,
                hint="See AllowUsers, AllowGroups and AuthorizedKeysFile in the host's sshd_config, and its journal.",
            ) from error
        try:
            with sudo_password(connection) as password:
                client = Client.start(connection.exec, sudo=not connection.root, password=password)
            try:
                hello = client.hello(run="bootstrap", who="", lock=False, packages=())
            finally:
                client.close()
        except (AgentGone, FrameError) as error:
            raise gone(self.name, error, self.inventory) from error
        finally:
            connection.close()
        System(hello.id, hello.codename, hello.like, hello.pretty, hello.systemd).release(self.name)

    def close(self) -> None:
        """Hang up; never raises."""
        if self._connection is not None:
            self._connection.close()

    def _log_in(self) -> bool:
        """Whether the inventory's own login could be used, and became root."""
        try:
            self._enter(self.own)
        except LoginError:
            if self.guest is None:
                raise
            self._enter(self.guest)
            return False
        return True

    def _enter(self, connect: Callable[[], Connection]) -> None:
        self.close()
        self._connection = connect()
        self._root = become(self._connection)
        self.login = self._connection.user

    def _state(self) -> State:
        found: dict[str, str] = {}
        system: list[str] = []

        def hear(kind: str, text: str) -> None:
            if kind == "os":
                system.append(text)
            else:
                found[kind] = text

        code, said = self._script("look", [], hear, LOOK)
        if found.get("uid", "0") != "0":
            raise LoginError(f"{self.name}: {self.login} is not root there", why="Its user number is not 0.")
        if "end" not in found:
            raise AgentError(f"{self.name}: /bin/sh there can't tell what the host is (exit {code})", why=said or None)
        return State(
            System.read("\n".join(system), systemd="systemd" in found),
            found.get("python", "missing"),
            *(name in found for name in ("sudo", "account", "key", "root")),
        )

    def _script(
        self, mode: str, steps: list[str], hear: Callable[[str, str], None], patience: float
    ) -> tuple[int | None, str]:
        """Run the script; its exit code and the last thing that came on stderr."""
        if self._connection is None or self._root is None:
            raise HakitError(f"{self.name}: nobody has logged in yet")
        token = secrets.token_hex(16)
        key = self._wish.key.text if self._wish.key else ""
        words = [mode, token, self.user, self._wish.sudoers, key, python_check(), *steps]
        channel = self._connection.exec(self._root.command(["sh", "-s"]))
        try:
            with suppress(BrokenPipeError):  # why it takes no script comes on stderr
                channel.send(self._root.line + script(words))
                channel.finish()
            rest, lines = b"", 0
            while data := channel.recv(_CHUNK, patience):
                *whole, rest = (rest + data).split(b"\n")
                rest = rest[-_CHUNK:]
                for line in whole:
                    said, _, text = line.decode("utf-8", "replace").partition(" ")
                    if said == token and (lines := lines + 1) < _LINES:
                        kind, _, text = text.partition(" ")
                        hear(kind, text)
            code = channel.exit_status(2.0)
        except TimeoutError as error:
            raise AgentError(f"{self.name}: nothing was heard from the host for {patience:.0f} s") from error
        finally:
            channel.close()
        said = channel.stderr_tail().strip()
        return code, said.splitlines()[-1] if said else ""


def script(words: list[str]) -> bytes:
    """The text of prepare.sh with its arguments, which no login shell gets to see."""
    text = (Path(__file__).parent / "prepare.sh").read_bytes()
    return f"set -- {shlex.join(words)}\n".encode() + text


@cache
def python_check() -> str:
    """A program that prints `ok VERSION`, or what is wrong with the Python that runs it; runs on any Python 3."""
    return f"""import sys
version = ".".join(str(part) for part in sys.version_info[:3])
if sys.version_info[:2] < {OLDEST}:
    sys.exit(print("Python " + version + " is older than {".".join(map(str, OLDEST))}"))
for name in {NEEDED}:
    try:
        __import__(name)
    except ImportError:
        sys.exit(print("it lacks the module " + name))
print("ok " + version)
"""
