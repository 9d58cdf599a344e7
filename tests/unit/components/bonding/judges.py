"""The programs that a rendered network is for, as judges: each reads it and tells what it does not take.

systemd-networkd says what it ignores when it starts, so it is started: in a network namespace of its own, without any
card, until it has read its files.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Sections = list[tuple[str, list[tuple[str, str]]]]

NETWORKD = "/lib/systemd/systemd-networkd"
READ = "Enumeration completed"
"""What systemd-networkd says once it has read its files and seen the links that there are."""
START = f"""
set -e
mount --make-rprivate /
mkdir -p /etc/systemd/network /run/systemd/netif
mount --bind "$1" /etc/systemd/network
mount -t tmpfs -o mode=755 tmpfs /run/systemd/netif
exec {NETWORKD}
"""
PATIENCE = 30.0
CAN_JUDGE = os.getuid() == 0 and shutil.which("unshare") is not None


@dataclass
class Told:
    """What a configuration makes of links, in words that all managers share."""

    addresses: set[tuple[str, str]] = field(default_factory=set)
    ports: dict[str, str] = field(default_factory=dict)
    vlans: dict[str, tuple[str, int]] = field(default_factory=dict)
    routes: set[tuple[str, str, str]] = field(default_factory=set)
    mtus: dict[str, int] = field(default_factory=dict)
    macs: dict[str, str] = field(default_factory=dict)


def networkd_complains(folder: Path) -> list[str]:
    """What systemd-networkd says of the files of a folder."""
    with tempfile.TemporaryDirectory() as copy:
        # It gives up root's rights before it reads.
        shutil.copytree(folder, copy, dirs_exist_ok=True, copy_function=shutil.copyfile)
        for path in (Path(copy), *Path(copy).iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return _networkd_complains(Path(copy))


def _networkd_complains(folder: Path) -> list[str]:
    env = {**os.environ, "SYSTEMD_LOG_TARGET": "console", "SYSTEMD_LOG_LEVEL": "info", "SYSTEMD_LOG_COLOR": "0"}
    argv = ["unshare", "--net", "--mount", "sh", "-c", START, "sh", str(folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env) as process:
        said = ""
        deadline = time.monotonic() + PATIENCE
        assert process.stdout is not None
        while READ not in said and time.monotonic() < deadline:
            if select.select([process.stdout], [], [], 1.0)[0]:
                data = os.read(process.stdout.fileno(), 1 << 16).decode()
                if not data:
                    break
                said += data
        process.kill()
    assert READ in said, said
    return [line for line in said.splitlines() if "/etc/systemd/network/" in line]


def read_networkd(folder: Path, prefix: str) -> Told:
    """What files of systemd-networkd say; links are called as `prefix` and the file's name say."""
    told = Told()
    parents: dict[str, str] = {}
    tags: dict[str, int] = {}
    for path in sorted(folder.iterdir()):
        name = path.stem.removeprefix(prefix)
        sections = _ini(path.read_text(encoding="utf-8"))
        if path.suffix == ".netdev":
            told.macs.update((name, mac) for _, pairs in sections for key, mac in pairs if key == "MACAddress")
            tags.update((name, int(dict(pairs)["Id"])) for section, pairs in sections if section == "VLAN")
        elif path.suffix == ".network":
            _read_network(told, name, sections)
            parents |= {value: name for _, pairs in sections for key, value in pairs if key == "VLAN"}
    told.vlans = {name: (parents[name], tag) for name, tag in tags.items()}
    told.macs = {name: mac for name, mac in told.macs.items() if mac != "none"}
    return told


def _read_network(told: Told, name: str, sections: Sections) -> None:
    for section, pairs in sections:
        values = dict(pairs)
        if section == "Route":
            told.routes.add((_plain(values.get("Destination", "default")), values.get("Gateway", ""), name))
        for key, value in pairs if section in ("Link", "Network") else ():
            if key == "Address":
                told.addresses.add((name, value))
            elif key == "Gateway":
                told.routes.add(("default", value, name))
            elif key in ("Bond", "Bridge"):
                told.ports[name] = value
            elif key == "MTUBytes":
                told.mtus[name] = int(value)


def _plain(to: str) -> str:
    return "default" if to in ("0.0.0.0/0", "::/0") else to


def _ini(text: str) -> Sections:
    sections: Sections = [("", [])]
    for line in text.splitlines():
        if line.startswith("["):
            sections.append((line.strip("[]"), []))
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            sections[-1][1].append((key, value))
    return sections


def ifupdown(file: Path) -> Told:
    """What ifup would do with a file; an assertion where it refuses."""
    told = Told()
    for line in _run(["ifup", "--no-act", "--verbose", "--all", f"--state-dir={file.parent}", "-i", str(file)]).split(
        "\n"
    ):
        _read_command(told, line)
    for link in _run(["ifquery", "--list", "-i", str(file)]).split():
        for line in _run(["ifquery", "-i", str(file), link]).splitlines():
            key, _, value = line.partition(": ")
            if key in ("bridge_hw", "bridge-hw"):
                told.macs[link] = value
            if key in ("bond-slaves", "bridge_ports", "bridge-ports"):
                told.ports |= dict.fromkeys((one for one in value.split() if one != "none"), link)
    return told


def _read_command(told: Told, line: str) -> None:
    words = line.split()
    if "addr" in words and "add" in words:
        told.addresses.add((words[words.index("dev") + 1], str(ip_interface(words[words.index("add") + 1]))))
    if "route" in words and words[:1] == ["ip"]:
        via = words[words.index("via") + 1] if "via" in words else ""
        told.routes.add((words[words.index("route") + 2], via, words[words.index("dev") + 1]))
    if found := re.search(r"ip link add link (\S+) name (\S+) type vlan id (\d+)", line):
        told.vlans[found[2]] = (found[1], int(found[3]))
    if found := re.match(r"ip link set dev (\S+) .*mtu (\d+)", line):
        told.mtus[found[1]] = int(found[2])
    if found := re.match(r"ip link set dev (\S+) .*address (\S+)", line):
        told.macs[found[1]] = found[2]


def netplan(root: Path) -> Told:
    """What netplan makes of the files below `root`; an assertion where it refuses or complains."""
    said = _run(["netplan", "generate", "--root-dir", str(root)])
    assert said == ""
    return read_networkd(root / "run/systemd/network", "10-netplan-")


def netplan_folder(root: Path) -> Path:
    """Where netplan leaves what it makes."""
    return root / "run/systemd/network"


def _run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    own = [line for line in done.stderr.splitlines() if line.startswith(f"{argv[0]}: ")]
    complaints = [line for line in own if not line.startswith("ifup: configuring interface ")]
    assert (done.returncode, complaints) == (0, []), done.stderr
    return done.stdout + done.stderr


def unknown_to_hooks(file: str, hooks: Mapping[str, Path]) -> set[str]:
    """Options with a hook's prefix that the hook's script never reads: ifup takes any option, and passes it on."""
    used = set(re.findall(r"^\s+((?:bond|bridge)[-_]\S+)", file, re.MULTILINE))
    known: set[str] = set()
    for prefix, script in hooks.items():
        names: Iterable[str] = re.findall(rf"IF_{prefix}_(\w+)", script.read_text(encoding="utf-8"))
        known |= {f"{prefix}_{name}".lower() for name in names}
    return {one for one in used if one.replace("-", "_") not in known}
