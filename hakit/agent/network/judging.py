"""The manager's own judgement of the files that are to come, before anything is touched.

systemd-networkd has no program that judges its files: what it does not understand it says when it reads them.
"""

from __future__ import annotations

import os

from hakit.agent import disk
from hakit.agent.errors import Failure
from hakit.agent.network import versions
from hakit.agent.network.place import INTERFACES
from hakit.agent.process import find
from hakit.agent.resources.network import IFUPDOWN, NETPLAN, NETWORKD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.work import Work

PATIENCE = 20.0  # seconds; both answer in a few hundredths of one
PROGRAMS = {IFUPDOWN: "ifup", NETPLAN: "netplan", NETWORKD: "networkctl"}


def judge(manager: str, folder: str, work: Work) -> None:
    """Judge the files that lie in a folder. Raises Failure."""
    program = PROGRAMS[manager]
    if find(program) is None:
        raise Failure(f"{program}, which brings the network up with {manager}, is not installed")
    if manager == NETWORKD:
        return
    root = f"{folder}/judged"
    try:
        for version in versions.listed(folder):
            if version.kind == versions.FILE:
                disk.make_folder(os.path.dirname(root + version.path))
                disk.write(root + version.path, versions.content(version, folder), 0o600)
        if manager == IFUPDOWN:
            argv = ["ifup", "--no-act", "--all", f"--state-dir={root}", "-i", root + INTERFACES]
        else:
            argv = ["netplan", "generate", "--root-dir", root]
        done = work.run(argv, PATIENCE)
        if done.code or done.late:
            raise Failure(
                f"{manager} rejects the network's files: {argv[0]} ends with exit {done.code}",
                output=done.tail().replace(root, ""),
            )
    finally:
        disk.delete_tree(root)
