"""The controller's side of the start: the command, the code that is sent, and what it means when no agent answers.

Not part of the bundle: it never runs on a host.
"""

from __future__ import annotations

import hashlib
import shlex
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hakit.agent import sudo as sudoing
from hakit.agent.boot import OLDEST
from hakit.agent.sudo import Reason

PYTHON = "/usr/bin/python3"
CONTROLLER_ONLY = ("answers", "boot", "bootstrap", "client", "starting", "sudo")
RESIDENT_ONLY = (
    *(f"postgres/{name}" for name in ("endpoint", "library", "resident", "serving", "watching")),
    *(f"network/{name}" for name in ("bringing", "changing", "library", "mending", "resident", "returning")),
)
"""Modules that live on a host as files of their own; the agent, which is compiled there at first, needs none."""
NEEDED = ("_json", "_socket", "_struct", "fcntl", "grp", "pwd", "re", "select", "zlib")
"""Modules of Python that the agent uses and a Python can lack: Debian's python3-minimal has no `_json`."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The agent's code: `digest` of the source, the source compressed, and the loader that is sent before it."""

    digest: str
    compressed: bytes
    loader: bytes


@cache
def bundle() -> Bundle:
    """The code of this installation; made once per process."""
    folder = Path(__file__).parent
    sources = {"hakit": ""}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if "/".join(parts) not in CONTROLLER_ONLY + RESIDENT_ONLY:
            names = [part for part in ("hakit", "agent", *parts) if part != "__init__"]
            sources[".".join(names)] = path.read_text(encoding="utf-8")
    text = "\0".join(part for pair in sources.items() for part in pair).encode()
    loader = (folder / "boot.py").read_bytes()
    digest = hashlib.sha256(text + b"\0" + loader).hexdigest()[:32]
    return Bundle(digest, zlib.compress(text, 9), loader)


def command(token: str, *, sudo: bool, asks: bool = False, python: str = PYTHON) -> str:
    """The command that starts the agent, quoted for any login shell: it reads its loader from stdin.

    `token` (letters and digits) is what the agent says first. Without `sudo` the login has to be root's. With `asks`
    sudo may ask for a password; then Python says `token root` before it reads, so that nobody sends it the password.
    """
    code = bundle()
    size = len(code.loader)
    # One line without quotes of its own kind, backslashes and exclamation marks: csh and fish take it as sh does.
    read = f'import posix;b=b"";exec("while len(b)<{size}:b+=posix.read(0,{size}-len(b))or posix._exit(3)");exec(b)'
    if asks:
        read = f'import sys;print(chr(10)+sys.argv[1],"root",flush=True);{read}'
    # Not the locale but UTF-8 decides how names of files are read.
    argv = [python, "-I", "-S", "-E", "-X", "utf8", "-c", read, token, code.digest, str(len(code.compressed))]
    return shlex.join([*(sudoing.words(token if asks else None) if sudo else []), *argv])


_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_NO_MEMORY = Reason("the host is out of memory", "see what takes it there with  free -m")
_INSTALLS = "hakit bootstrap  installs what is needed"
# What the shells and Python print, in the C locale or not translated at all; the first that is found counts.
_SIGNS = (
    ("This account is currently not available", Reason("the login has no shell", "give it one, or use another login")),
    ("restricted: cannot specify", Reason("the login's shell is restricted", "give it another, or use another login")),
    ("No space left on device", Reason("the host's disk is full", "free some space")),
    ("MemoryError", _NO_MEMORY),
    (f"{PYTHON}: command not found", Reason(f"there is no {PYTHON} on the host", _INSTALLS, python=True)),
)
_BROKEN = ("SyntaxError", "ImportError", "ModuleNotFoundError", "Fatal Python error", "error while loading shared")


def explain(stderr: str, exit_code: int | None) -> Reason:
    """Why a host gave no agent, from what it printed and its exit code (None: the connection just ended)."""
    reason = sudoing.complaint(stderr) or next((reason for sign, reason in _SIGNS if sign in stderr), None)
    if reason is not None:
        return reason
    last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
    if exit_code == _NOT_FOUND:
        return Reason(f"there is no {PYTHON} on the host", _INSTALLS, python=True)
    if exit_code == _NOT_EXECUTABLE or "Permission denied" in stderr:
        return Reason(f"the host does not let us run {PYTHON}: {last}", "see its permissions, and noexec mounts")
    if broken := broken_python(stderr):
        return broken
    ended = "the connection ended" if exit_code is None else f"exit {exit_code}"
    return Reason(f"the agent did not start ({ended}){': ' + last if last else ''}")


def broken_python(stderr: str) -> Reason | None:
    """Python's complaint of itself, when that is why the agent ended."""
    if "MemoryError" in stderr:
        return _NO_MEMORY
    line = next((line.strip() for line in reversed(stderr.splitlines()) if any(one in line for one in _BROKEN)), None)
    return Reason(f"{PYTHON} on the host can't run the agent: {line}", _INSTALLS, python=True) if line else None


def too_old(version: str) -> Reason:
    """For a Python that the loader finds too old; `version` is what it says of itself."""
    oldest = ".".join(map(str, OLDEST))
    return Reason(f"{PYTHON} on the host is {version}, hakit needs {oldest} or newer", None, python=True)
