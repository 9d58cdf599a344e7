"""The systemd units that put an unconfirmed network back: a timer for its time, a unit of the boot for a restart."""

from __future__ import annotations

import os
from time import monotonic

from hakit.agent import disk
from hakit.agent.errors import Failure
from hakit.agent.network.place import BOOT, BOOT_LINK, CHANGE, COMMAND, FOLDER, RETURN, UNITS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.work import Work

PATIENCE = 90.0  # seconds for systemctl: it reads all units in one, on an emulated machine that is busy in 40
SERVICE = """\
# Managed by hakit: puts the old network back when a change was not confirmed in time.
[Unit]
Description=Put the old network back
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={command} restore {folder}
# What brings a link up may leave a DHCP client behind.
KillMode=process
Restart=on-failure
RestartSec=5
"""
TIMER = """\
# Managed by hakit: runs out when a change of the network was not confirmed in time.
[Unit]
Description=Wait for the confirmation of the network's change

[Timer]
# Counted from systemd's own start: OnActiveSec begins anew whenever systemd reads its units again.
OnStartupSec={due:.1f}
AccuracySec=100ms
RemainAfterElapse=no
"""
EARLY = """\
# Managed by hakit: after a restart amid a change of the network, puts the old files back before they are read.
[Unit]
Description=Put the old network's files back
DefaultDependencies=no
ConditionPathExists={folder}/armed.json
RequiresMountsFor={folder} {library}
After=local-fs.target
Wants=network-pre.target
Before=network-pre.target systemd-networkd.service systemd-networkd.socket networking.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart={command} boot {folder}
TimeoutStartSec=120

[Install]
WantedBy=sysinit.target
"""


def guard(timeout: float, sources: dict[str, str], work: Work) -> None:
    """Have the host put its network back by itself after so many seconds, or at its next boot. Raises Failure, OSError.

    When this returns, the library is there, the unit of the boot is enabled and the timer runs.
    """
    for name in sorted(sources):
        _write(f"{COMMAND[-1]}/{name}", sources[name], work)
    words = {"command": " ".join(COMMAND), "folder": FOLDER, "library": COMMAND[-1], "due": _age(work) + timeout}
    _write(f"{UNITS}/{RETURN}.service", SERVICE.format(**words), work)
    _write(f"{UNITS}/{RETURN}.timer", TIMER.format(**words), work)
    _write(f"{UNITS}/{BOOT}", EARLY.format(**words), work)
    link = work.at(BOOT_LINK)
    if not os.path.lexists(link):
        disk.make_folder(os.path.dirname(link), disk.OPEN)
        os.symlink(f"{UNITS}/{BOOT}", link)
        disk.sync_folder(os.path.dirname(link))
    work.must(["systemctl", "daemon-reload"], "telling systemd of the network's return", PATIENCE)
    # A timer of an earlier try would run out too early.
    work.must(["systemctl", "stop", f"{RETURN}.timer"], "stopping the timer of the network's return", PATIENCE)
    work.must(["systemctl", "start", f"{RETURN}.timer"], "starting the timer of the network's return", PATIENCE)
    work.must(["systemctl", "is-active", f"{RETURN}.timer"], "seeing the timer of the network's return", PATIENCE)


def _age(work: Work) -> float:
    """Seconds since systemd began (org.freedesktop.systemd1(5), UserspaceTimestampMonotonic). Raises Failure."""
    argv = ["systemctl", "show", "--property=UserspaceTimestampMonotonic", "--value"]
    text = work.must(argv, "asking systemd when it began", PATIENCE).out.strip()
    if not text.isdecimal():
        raise Failure(f"systemd does not tell when it began: {text!r}")
    return monotonic() - int(text) / 1e6


def unguard(work: Work, *, tell: bool = True) -> None:
    """Take the guard away; with `tell` the timer is stopped too, which a boot has no need of. Raises OSError."""
    disk.delete(work.at(BOOT_LINK))
    if tell:
        work.run(["systemctl", "stop", f"{RETURN}.timer"], PATIENCE)


def set_off(work: Work) -> None:
    """Start the change, in a unit of its own that outlives us. Raises Failure."""
    words = [
        "systemd-run", "--quiet", "--collect", "--no-block", f"--unit={CHANGE}", "--property=Type=exec",
        "--property=KillMode=process",
    ]  # fmt: skip
    work.must([*words, *COMMAND, "change", FOLDER], "starting the change of the network", PATIENCE)


def send_back(work: Work) -> None:
    """Have the old network put back now, by its own unit, which outlives us. Raises Failure."""
    argv = ["systemctl", "start", "--no-block", f"{RETURN}.service"]
    work.must(argv, "starting the return of the network", PATIENCE)


def _write(path: str, text: str, work: Work) -> None:
    data = text.encode("utf-8")
    if disk.hash_of(work.at(path)) == disk.digest(data):
        return
    disk.make_folder(os.path.dirname(work.at(path)), disk.OPEN)
    disk.write(work.at(path), data, 0o644)
