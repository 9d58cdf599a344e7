"""The lab's halves that run as processes of their own: root's operations, and the way in for ssh."""

from __future__ import annotations

import json
import re
import socket
import sys

from hakit.errors import LabError
from hakit.lab import privilege
from hakit.lab.lab import Lab
from hakit.lab.plan import LabPlan
from hakit.lab.state import Place, need_root, read_record

CONNECT_TIMEOUT = 10.0
"""Seconds; a host that is off must not keep a terminal waiting."""


def _say(**answer: object) -> None:
    # In one piece: hosts that are started side by side report from threads of their own.
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()


def _perform(operation: str) -> int:
    request = json.load(sys.stdin)
    plan = LabPlan.from_json(request["plan"])
    try:
        result = privilege.perform(operation, plan, request["arguments"], lambda text: _say(progress=text))
    except LabError as error:
        _say(error={"message": error.message, "why": error.why, "hint": error.hint})
        return 1
    _say(result=result)
    return 0


def _sockets(lab: str) -> int:
    need_root()
    privilege.serve_sockets(Place(lab), socket.socket(fileno=0))
    return 0


def _connect(lab: str, address: str, port: str) -> int:
    record = read_record(Place(lab))
    if record is None:
        raise LabError("the lab is down")
    with Lab(record.plan).dial(address, int(port), CONNECT_TIMEOUT) as made:
        privilege.hand_over(made, socket.socket(fileno=1))
    return 0


def _inside(lab: str, host: str, *command: str) -> int:
    from hakit.lab.qemu.inside import run  # noqa: PLC0415 - of one driver alone
    from hakit.lab.qemu.machine import VirtualMachine  # noqa: PLC0415 - as above

    need_root()
    record = read_record(Place(lab))
    if record is None:
        raise LabError("the lab is down")
    return run(VirtualMachine(Place(lab), record.plan.host(host)).guest, command)


def main(arguments: list[str]) -> int:
    """Run one operation; the exit code says whether it worked."""
    operation, *rest = arguments
    if rest and not re.fullmatch(r"[0-9a-f]{8}", rest[0]):
        raise LabError(f"{rest[0]} is no lab")
    if operation == "sockets":
        return _sockets(rest[0])
    if operation == "connect":
        return _connect(*rest)
    if operation == "inside":
        return _inside(*rest)
    return _perform(operation)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (LabError, OSError) as problem:
        sys.stderr.write(f"hakit lab: {problem}\n")
        sys.exit(1)
