"""The seam between the user's half of the lab and root's: called directly as root, through sudo as a user.

The privileged half is `python -m hakit.lab OPERATION`. It gets the plan and the arguments as one JSON value on stdin
and answers with JSON lines on stdout: `{"progress": …}` any number of times, then `{"result": …}` or `{"error": …}`.
"""

from __future__ import annotations

import array
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from hakit.errors import LabError
from hakit.lab import namespace
from hakit.lab.plan import NewDisk
from hakit.lab.state import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hakit.lab.control import Control
    from hakit.lab.plan import LabPlan

PACKAGE: Final = Path(__file__).parents[2]
"""The folder that holds the package hakit: the privileged half is started there, so that it is the same code."""


PROGRAM: Final = (sys.executable, "-B", "-m", "hakit.lab")
"""The other half as a program; without compiled files, which root would leave in a user's checkout."""


def invoking_user() -> tuple[int, int]:
    """The user and group id of the person at the keyboard: behind sudo, whoever called it."""
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdecimal():
        return int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", os.environ["SUDO_UID"]))
    return os.getuid(), os.getgid()


def sudo() -> list[str]:
    """The words before a command that make it run as root; none for root. Raises LabError when there is no sudo."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        raise LabError("the lab needs root, and this machine has no sudo", hint="Run the command as root.")
    return ["sudo", "--"] if sys.stdin.isatty() else ["sudo", "-n", "--"]


def perform(operation: str, plan: LabPlan, arguments: Mapping[str, Any], progress: Callable[[str], None]) -> Any:
    """Carry out an operation as root; the result is a JSON value. Raises LabError."""
    # What the user's half reads must be readable to it, whatever root's umask is.
    mask = os.umask(0o022)
    try:
        return _perform(operation, plan, arguments, progress)
    except (OSError, subprocess.CalledProcessError) as error:
        # A full disk, a read-only file system, a kernel without overlayfs: nothing that a traceback would help with.
        raise LabError(
            f"hakit lab {operation} failed",
            why=str(error),
            hint="`hakit lab up` and `down` can be run again; they go on from whatever is there.",
        ) from error
    finally:
        os.umask(mask)


def _perform(operation: str, plan: LabPlan, arguments: Mapping[str, Any], progress: Callable[[str], None]) -> Any:
    from hakit.lab.control import Control  # noqa: PLC0415 - only root's half needs what it imports

    control = Control(plan)
    if operation in ("up", "box"):
        return _make(operation, control, arguments, progress)
    if operation == "down":
        return control.down(progress)
    if operation == "status":
        return [host.as_json() for host in control.status()]
    if operation == "enter":
        return control.enter(arguments["name"])
    return _change(control, operation, arguments, progress)


def _change(control: Control, operation: str, arguments: Mapping[str, Any], progress: Callable[[str], None]) -> Any:
    """What is done to one host: to its power, its cables, its disks."""
    name = arguments["name"]
    if operation == "power":
        return control.power(name, arguments["action"], progress)
    if operation == "link":
        return list(control.link(name, arguments["nic"], up=arguments["up"]))
    if operation == "plug":
        new = NewDisk(**arguments["new"]) if arguments["new"] else None
        return control.plug(name, arguments["disk"], arguments["place"], new)
    if operation == "unplug":
        return control.unplug(name, arguments["disk"])
    if operation == "arrange":
        return control.arrange(name, arguments["disks"])
    if operation == "checksum":
        return control.checksum(name, arguments["disk"])
    raise LabError(f"the lab knows no operation {operation}")


def _make(operation: str, control: Control, arguments: Mapping[str, Any], progress: Callable[[str], None]) -> None:
    """The operations that make something which belongs to whoever asked for it."""
    uid, gid = arguments["owner"]
    if operation == "up":
        control.up((uid, gid), progress)
    else:
        control.box(arguments["release"], Path(arguments["target"]), (uid, gid), progress)


def call(operation: str, plan: LabPlan, arguments: Mapping[str, Any], progress: Callable[[str], None]) -> Any:
    """`perform`, through sudo where this process is not root. Raises LabError."""
    if os.geteuid() == 0:
        return perform(operation, plan, arguments, progress)
    request = json.dumps({"plan": plan.as_json(), "arguments": dict(arguments)})
    with subprocess.Popen(
        [*sudo(), *PROGRAM, operation],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PACKAGE,
    ) as process:
        asked, answers = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
        with suppress(BrokenPipeError):
            asked.write(request)
            asked.close()
        for line in answers:
            answer = json.loads(line)
            if "progress" in answer:
                progress(answer["progress"])
            elif "error" in answer:
                raise LabError(answer["error"]["message"], why=answer["error"]["why"], hint=answer["error"]["hint"])
            else:
                return answer["result"]
    raise LabError(
        f"the privileged half of the lab ended without an answer (exit {process.returncode})",
        why="It runs through sudo.",
        hint="Check that  sudo true  works, or run the command as root.",
    )


_broker: dict[str, tuple[subprocess.Popen[bytes], socket.socket]] = {}
_broker_lock = threading.Lock()


def open_socket(plan: LabPlan, *, ipv6: bool) -> socket.socket:
    """An unconnected TCP socket of the lab's network; safe to call from many threads. Raises OSError, LabError."""
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    if os.geteuid() == 0:
        return namespace.open_socket(Place(plan.id).namespace_file, family)
    with _broker_lock:
        handle = _receive(_ask_broker(plan.id), b"6" if ipv6 else b"4")
        if handle is None:
            _hang_up(plan.id)
            raise LabError(
                "no socket in the lab's network: sudo or the lab refuses",
                hint="Check that  sudo -n true  works and that the lab is up, or run the command as root.",
            )
    return socket.socket(family, socket.SOCK_STREAM, fileno=handle)


def _receive(line: socket.socket, asked: bytes) -> int | None:
    """The file descriptor that answers; None when the other side is gone."""
    handles = array.array("i")
    try:
        line.sendall(asked)
        _, control, _, _ = line.recvmsg(1, socket.CMSG_SPACE(handles.itemsize))
    except OSError:
        return None
    for level, kind, data in control:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            handles.frombytes(data[: len(data) - len(data) % handles.itemsize])
    return handles[0] if handles else None


def _ask_broker(lab: str) -> socket.socket:
    """The line to root's socket maker, started at the first call; it ends with this process."""
    if lab not in _broker:
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        mine.settimeout(60)
        process = subprocess.Popen([*sudo(), *PROGRAM, "sockets", lab], stdin=theirs.fileno(), cwd=PACKAGE)
        theirs.close()
        _broker[lab] = (process, mine)
    return _broker[lab][1]


def hang_up(lab: str) -> None:
    """End root's socket maker of a lab, where this process has one."""
    with _broker_lock:
        if lab in _broker:
            _hang_up(lab)


def _hang_up(lab: str) -> None:
    process, line = _broker.pop(lab)
    line.close()
    process.wait()


def serve_sockets(place: Place, line: socket.socket) -> None:
    """Root's side: a byte asks for a socket of that IP version, the socket comes back; ends with the asker."""
    while asked := line.recv(1):
        family = socket.AF_INET6 if asked == b"6" else socket.AF_INET
        with namespace.open_socket(place.namespace_file, family) as made:
            line.sendmsg([b"s"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [made.fileno()]).tobytes())])


def hand_over(made: socket.socket, line: socket.socket) -> None:
    """Give a connected socket to OpenSSH (ssh_config(5), ProxyUseFdpass)."""
    line.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [made.fileno()]).tobytes())])
