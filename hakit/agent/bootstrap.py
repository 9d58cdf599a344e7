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

PYTHON = "/usr/bin/python3"
CONTROLLER_ONLY = ("boot", "bootstrap", "client", "starting")


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
        if parts[0] not in CONTROLLER_ONLY:
            names = [part for part in ("hakit", "agent", *parts) if part != "__init__"]
            sources[".".join(names)] = path.read_text(encoding="utf-8")
    text = "\0".join(part for pair in sources.items() for part in pair).encode()
    loader = (folder / "boot.py").read_bytes()
    digest = hashlib.sha256(text + b"\0" + loader).hexdigest()[:32]
    return Bundle(digest, zlib.compress(text, 9), loader)


def command(token: str, *, sudo: bool, python: str = PYTHON) -> str:
    """The command that starts the agent, quoted for any login shell: it reads its loader from stdin.

    `token` (letters and digits) is what the agent says first. Without `sudo` the login has to be root's.
    """
    code = bundle()
    size = len(code.loader)
    # One line without quotes of its own kind, backslashes and exclamation marks: csh and fish take it as sh does.
    read = f'import posix;b=b"";exec("while len(b)<{size}:b+=posix.read(0,{size}-len(b))or posix._exit(3)");exec(b)'
    argv = [python, "-I", "-S", "-E", "-c", read, token, code.digest, str(len(code.compressed))]
    return shlex.join([*(["sudo", "-n", "--"] if sudo else []), *argv])


@dataclass(frozen=True, slots=True)
class Reason:
    """Why no agent answered, and what to do."""

    message: str
    hint: str | None = None


_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
# What sudo(8), the shells and Python print, in the C locale or not translated at all; the first that is found counts.
_SIGNS = (
    (
        "a password is required",
        Reason("sudo asks for a password", "let the login use sudo without one (NOPASSWD), or log in as root"),
    ),
    ("a terminal is required", Reason("sudo asks for a password", "let the login use sudo without one (NOPASSWD)")),
    ("must have a tty", Reason("sudo wants a terminal (requiretty)", "exempt the login in sudoers: !requiretty")),
    ("is not in the sudoers", Reason("the login may not use sudo", "add it to sudoers, or log in as root")),
    ("is not allowed to execute", Reason("the login may not become root with sudo", "allow it in sudoers")),
    ("unknown user", Reason("sudo knows no root here", None)),
    ("sudo: command not found", Reason("sudo is not installed", "install it, or log in as root")),
    ("sudo: not found", Reason("sudo is not installed", "install it, or log in as root")),
    ("This account is currently not available", Reason("the login has no shell", "give it one, or use another login")),
    ("No space left on device", Reason("the host's disk is full", "free some space")),
    ("MemoryError", Reason("the host is out of memory", None)),
)


def explain(stderr: str, exit_code: int | None) -> Reason:
    """Why a host gave no agent, from what it printed and its exit code (None: the connection just ended)."""
    for sign, reason in _SIGNS:
        if sign in stderr:
            return reason
    last = next((line.strip() for line in reversed(stderr.splitlines()) if line.strip()), "")
    if exit_code == _NOT_FOUND:
        return Reason(f"there is no {PYTHON} on the host", "install it there:  apt-get install python3-minimal")
    if exit_code == _NOT_EXECUTABLE or "Permission denied" in stderr:
        return Reason(f"the host does not let us run {PYTHON}: {last}", "see its permissions, and noexec mounts")
    if "SyntaxError" in stderr or "ImportError" in stderr or "ModuleNotFoundError" in stderr:
        return Reason(f"{PYTHON} on the host can't run the agent: {last}", "hakit needs Python 3.9 or newer there")
    ended = "the connection ended" if exit_code is None else f"exit {exit_code}"
    return Reason(f"the agent did not start ({ended}){': ' + last if last else ''}")
