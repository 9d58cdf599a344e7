"""The stage of the matrix: two hosts that are declared alike, of which the first is struck."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tests.lab.conftest import ROOT, LabHandle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.conftest import LabFactory
    from tests.lab.faults.row import Edit

ONE, TWO = "one", "two"
FOLDER = "/etc/hakit-demo"
CONF = f"{FOLDER}/app.conf"
AGENT = "^[^ ]*python3 -I -S -E"
"""The command line of an agent, as pgrep takes it."""
UNIT = "demo.service"
UNIT_FILE = f"/etc/systemd/system/{UNIT}"
DAEMON = f"""\
[Service]
Type=exec
ExecStart=/bin/sleep infinity
ExecReload=/bin/cp {CONF} /run/demo.loaded

[Install]
WantedBy=multi-user.target
"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKXPvTN3Pq5xP1KvHqGPMxX3xX1d2P1zv3n8YkYw0a0b ops@example"
SECRET = "planted-8f2c1e-never-shown"  # noqa: S105 - it is planted to be looked for
SYSTEM: dict[str, Any] = {
    "sysctl": {"net.ipv4.tcp_keepalive_time": 5400},
    "groups": {"demo": {}},
    "users": {"demo": {"group": "demo", "authorized_keys": [KEY], "shell": "/bin/bash"}},
    "directories": {"/srv/demo": {"owner": "demo", "group": "demo", "mode": "0750"}},
    "files": {
        CONF: {"content": "", "reload": [UNIT], "validate_with": ["/bin/grep", "-q", "^token=", "{}"]},
        UNIT_FILE: {"content": DAEMON, "restart": [UNIT]},
        f"{FOLDER}/secret.conf": {"content": {"secret": "planted"}},
    },
    "symlinks": {"/etc/hakit-demo.link": CONF},
    "commands": {"mark": {"run": ["/usr/bin/touch", "/srv/demo/mark"], "creates": "/srv/demo/mark"}},
    "units": {UNIT: {}},
}
SITE = {
    "all": {
        "vars": {"hakit": {"lab": {"driver": "nspawn", "network": "10.79.0.0/24"}, "system": SYSTEM}},
        "hosts": {ONE: {"ansible_host": "10.79.0.11"}, TWO: {"ansible_host": "10.79.0.12"}},
    }
}
# What a host looks like, for a comparison: every managed path, the units, what must never be left behind.
LOOK = r"""
import glob, hashlib, json, os, pwd, grp, subprocess, sys
paths, units = json.loads(sys.argv[1])
seen = {}
found = {path.rstrip("/") for pattern in paths for path in glob.glob(pattern, recursive=True)}
for path in sorted(path for path in found if os.path.lexists(path)):
    info = os.lstat(path)
    try:
        owner = pwd.getpwuid(info.st_uid).pw_name + ":" + grp.getgrgid(info.st_gid).gr_name
    except KeyError:
        owner = "nobody knows"
    what = "directory"
    if os.path.islink(path):
        what = "link to " + os.readlink(path)
    elif os.path.isfile(path):
        what = hashlib.sha256(open(path, "rb").read()).hexdigest()[:16]
    seen[path] = [oct(info.st_mode), owner, what]
for unit in units:
    keys = "LoadState,ActiveState,UnitFileState,NeedDaemonReload,InvocationID"
    shown = subprocess.run(["systemctl", "show", "-p", keys, unit], capture_output=True, text=True).stdout
    seen["unit " + unit] = sorted(shown.split())
seen["left behind"] = subprocess.run(
    "find /etc /srv /home /usr/sbin/policy-rc.d /var/lib/hakit/stage -mindepth 0 "
    r"\( -name '.hakit-*' -o -name policy-rc.d -o -path '/var/lib/hakit/stage/*' \) 2>/dev/null",
    shell=True, capture_output=True, text=True).stdout.split()
seen["agents"] = subprocess.run(["pgrep", "-cf", sys.argv[2]], capture_output=True, text=True).stdout.strip()
print(json.dumps(seen))
"""
PATHS = (
    f"{FOLDER}/**",
    UNIT_FILE,
    "/etc/hakit-demo.link",
    "/srv/demo/**",
    "/home/demo/.ssh/**",
    "/etc/sysctl.d/60-hakit-*",
    "/etc/hakit-more/**",
)

Seen = dict[str, Any]


@dataclass
class Stage:
    """The lab, and what is declared in it at the moment."""

    lab: LabHandle
    turn: int = 0
    system: dict[str, Any] = field(default_factory=lambda: deepcopy(SYSTEM))

    def declare(self, edit: Edit, *, turn: bool = True) -> None:
        """Write the inventory: what always stands there, `edit`, and with a new `turn` a change of the one file."""
        self.turn += turn
        site = deepcopy(SITE)
        system = site["all"]["vars"]["hakit"]["system"]  # type: ignore[index]  # a literal above
        system["files"][CONF]["content"] = f"token={self.turn}\n"
        edit(system)
        self.system = system
        text = yaml.safe_dump(site, sort_keys=False, allow_unicode=True)
        (self.lab.inventory / "hosts.yml").write_text(text, encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        """What hakit is told by its environment: an identity of this lab's own for the store of secrets."""
        return {"HAKIT_AGE_IDENTITY": str(self.lab.inventory / "identity.txt")}

    def hakit(self, *arguments: str, timeout: float = 120.0, **popen: Any) -> subprocess.CompletedProcess[str]:
        """Run hakit; what it says must never be a traceback or the planted secret."""
        done = self.lab.hakit(*arguments, timeout=timeout, env=self.environment, **popen)
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert "hakit itself failed" not in said, said
        assert SECRET not in said, said
        return done

    def sh(self, script: str, host: str = ONE, *, check: bool = True) -> str:
        """The output of a shell script on a host, as root, without ssh."""
        done = self.lab.lab.exec(host, ["sh", "-c", script])
        assert not check or done.returncode == 0, f"{script[-200:]}\n{done.stdout}{done.stderr}"
        return done.stdout

    def look(self, host: str = ONE) -> Seen:
        """What the managed things of a host look like."""
        units = [UNIT, *(name for name in self.system.get("units", {}) if name != UNIT)]
        arguments = json.dumps([PATHS, units])
        found: Seen = json.loads(
            self.sh(f"exec python3 -c {shlex.quote(LOOK)} {shlex.quote(arguments)} '{AGENT}'", host)
        )
        return found

    def state(self, *arguments: str) -> dict[str, str]:
        """Apply, which has to succeed; how each host ended."""
        done = self.hakit("apply", "--yes", "--json", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return {name: host["state"] for name, host in json.loads(done.stdout)["hosts"].items()}

    @contextmanager
    def running(self, *arguments: str, **popen: Any) -> Iterator[subprocess.Popen[str]]:
        """hakit in a process of its own, killed in the end."""
        names = {"HAKIT_INVENTORY": str(self.lab.inventory), "PYTHONPATH": str(ROOT)}
        environment = {**os.environ, **names, **self.environment}
        command = [sys.executable, "-m", "hakit", *arguments]
        defaults: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
            "cwd": self.lab.inventory,
            "env": environment,
            "start_new_session": True,
        }
        with subprocess.Popen(command, **(defaults | popen)) as process:
            try:
                yield process
            finally:
                process.kill()


def prepare(factory: LabFactory) -> Stage:
    """A lab of two bare hosts, a store with the planted secret, and everything applied once."""
    bare = deepcopy(SITE)
    del bare["all"]["vars"]["hakit"]["system"]  # type: ignore[index]  # a literal above
    stage = Stage(factory(yaml.safe_dump(bare)))
    for arguments, given in (("init",), ""), (("set", "planted"), SECRET):
        done = stage.hakit("secret", *arguments, input=given)
        assert done.returncode == 0, done.stderr
    stage.declare(lambda _: None)
    stage.state()
    return stage


def comparable(seen: Seen) -> Seen:
    """Without what differs from host to host or from start to start."""
    out = dict(seen)
    for key, value in seen.items():
        if key.startswith("unit "):
            out[key] = [word for word in value if not word.startswith("InvocationID")]
    return out


def records(stage: Stage) -> list[Path]:
    """Every file that hakit wrote beside the inventory."""
    return [path for path in (stage.lab.inventory / ".hakit").rglob("*") if path.is_file()]
