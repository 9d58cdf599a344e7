"""Runs on a host: prints everything that hakit may have touched there as one JSON object, and what nobody wants left.

A whole picture, not only what is declared: it knows nothing of versions.
"""

import hashlib
import json
import os
import pathlib
import socket
import stat
import subprocess
import urllib.request

ROOTS = ("/etc", "/srv", "/usr/local", "/home", "/root", "/var/lib/hakit")
ACCOUNTS = ("passwd", "group", "shadow", "gshadow", "subuid", "subgid")
APART = {
    *(f"/etc/{name}{end}" for name in ACCOUNTS for end in ("", "-")),
    "/etc/.pwd.lock",
    "/etc/ld.so.cache",
    "/var/lib/hakit/agent",
    "/var/lib/hakit/previous",
    "/var/lib/hakit/stage",
    "/var/lib/hakit/manifest.json",
    "/var/lib/hakit/loaded.json",
}
UNITS = ("nginx", "haproxy", "keepalived", "reload", "restart", "cut-a", "cut-b")
PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,Description"
SYSCTLS = ("tcp_keepalive_time", "tcp_keepalive_intvl", "tcp_keepalive_probes")


def run(*argv: str) -> str:
    """What a command prints."""
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def tree() -> dict[str, list[object]]:
    """Mode, owner, group, and hash or target of all that is there."""
    found: dict[str, list[object]] = {}
    pending = [pathlib.Path(root) for root in ROOTS]
    while pending:
        path = pending.pop()
        if str(path) in APART:
            continue
        info = path.lstat()
        row: list[object] = [oct(info.st_mode), info.st_uid, info.st_gid]
        if stat.S_ISDIR(info.st_mode):
            pending += path.iterdir()
        elif stat.S_ISLNK(info.st_mode):
            row.append(str(path.readlink()))
        elif stat.S_ISREG(info.st_mode):
            row.append(hashlib.sha256(path.read_bytes()).hexdigest()[:12])
        found[str(path)] = row
    return found


def accounts() -> dict[str, list[str]]:
    """Their lines without order; without the day on which a password was set."""
    found = {}
    for name in ACCOUNTS:
        path = pathlib.Path("/etc", name)
        for line in path.read_text().splitlines() if path.exists() else ():
            fields = line.split(":")
            if name == "shadow":
                fields[2] = ""
            found[f"{name} {fields[0]}"] = fields[1:]
    return found


def remembered() -> dict[str, object]:
    """What hakit will remove one day, and what it believes it has to restart yet."""
    folder = pathlib.Path("/var/lib/hakit")
    manifest = json.loads((folder / "manifest.json").read_text())
    loaded = json.loads((folder / "loaded.json").read_text())["units"]
    files = {path: [one["key"], one["existed"], one["wrote"][-1]] for path, one in manifest["files"].items()}
    # Not what it remembers of contents: a unit that has started since, as after a power cut, needs no new record.
    pending = {name: one.get("pending") for name, one in loaded.items()}
    return {**manifest["items"], **files, "pending": pending}


def in_effect() -> dict[str, str]:
    """What runs, has loaded: asked of the daemons themselves."""
    found = {str(path): path.read_text() for path in sorted(pathlib.Path("/run/cut").glob("*"))}
    if pathlib.Path("/etc/nginx").exists():
        address = run("hostname", "-i").split()[0]
        with urllib.request.urlopen(f"http://{address}:8080/version", timeout=5) as answer:
            found["nginx"] = answer.read().decode()
    if pathlib.Path("/run/haproxy/admin.sock").exists():
        with socket.socket(socket.AF_UNIX) as line:
            line.connect("/run/haproxy/admin.sock")
            line.sendall(b"show info\n")
            told = b"".join(iter(lambda: line.recv(65536), b"")).decode()
        found["haproxy"] = next(one for one in told.splitlines() if one.startswith("description:"))
    for name in SYSCTLS:
        found[name] = pathlib.Path("/proc/sys/net/ipv4", name).read_text().strip()
    return found


def strays() -> list[str]:
    """Half files of hakit, of dpkg and of the account tools; folders of staging; a lock that says that it is held."""
    found = []
    for root in (*ROOTS, "/usr/sbin", "/tmp"):  # noqa: S108 - only looked at
        for folder, _, files in os.walk(root):
            found += [f"{folder}/{name}" for name in files if name.startswith(".hakit-") or ".dpkg-" in name]
    found += [str(path) for path in pathlib.Path("/var/lib/hakit").glob("stage/*")]
    found += [str(path) for path in pathlib.Path("/var/lib/dpkg/updates").iterdir()]
    elsewhere = (pathlib.Path("/usr/sbin/policy-rc.d"), *(pathlib.Path("/etc", f"{name}.lock") for name in ACCOUNTS))
    found += [str(path) for path in elsewhere if path.exists()]
    found += run("dpkg", "--audit").splitlines()
    return found


def units() -> dict[str, list[str]]:
    """Each unit's properties."""
    shown = run("systemctl", "show", f"--property={PROPERTIES}", "--", *(f"{name}.service" for name in UNITS))
    return {block.split("\n")[0]: block.split("\n") for block in shown.strip().split("\n\n")}


if __name__ == "__main__":
    picture = {
        "tree": tree(),
        "accounts": accounts(),
        "packages": run("dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Abbrev}\n").splitlines(),
        "units": units(),
        "failed": run("systemctl", "--failed", "--plain", "--no-legend").splitlines(),
        "remembered": remembered(),
        "in effect": in_effect(),
        "strays": strays(),
    }
    print(json.dumps(picture))  # noqa: T201 - the answer
