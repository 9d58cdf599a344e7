"""Two versions of the lab's site that differ in every type of resource; from one to the other is what gets cut."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from tests.lab.conftest import DATABASE

Version = Literal["a", "b"]
OTHER: Final[dict[Version, Version]] = {"a": "b", "b": "a"}
PACKAGES: Final[dict[Version, tuple[str, list[str]]]] = {"a": ("lb1", ["tree"]), "b": ("web2", ["nginx", "dc"])}
"""The one host that has more packages, small ones without a daemon: each way one is installed and one removed."""
RESTARTED: Final = "web1"
"""The one host with units that are started, restarted and stopped. hakit takes it out of service for that, and watches
for some seconds what it has started; on a balancer it would move an address, and what that costs is measured elsewhere.
"""
SOURCE = Path(__file__).parents[3] / "inventories" / "lab"

# A daemon that tells what it has loaded: at its start, and at each reload.
DAEMON = """#!/bin/sh
load() { cat "$1" > "$2"; }
trap 'load "$1" "$2"' HUP
mkdir -p /run/cut
load "$1" "$2"
systemd-notify --ready
while :; do sleep 3600 & wait $!; done
"""
UNIT = """[Unit]
Description=What {name} loads ({description})
[Service]
Type=notify
NotifyAccess=all
ExecStart=/usr/local/lib/cut/daemon /etc/cut/{name}.conf /run/cut/{name}
ExecReload=/bin/kill -HUP $MAINPID
ExecStopPost=/bin/rm -f /run/cut/{name}
KillMode=control-group
[Install]
WantedBy=multi-user.target
"""


def write(folder: Path, version: Version) -> None:
    """Write a version of the site into a folder, in place of the other one."""
    for name in ("hosts.yml", "group_vars", "host_vars", "templates"):
        old = folder / name
        if old.is_dir():
            shutil.rmtree(old)
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".hakit", *DATABASE))
    _edit(folder / "hosts.yml", lambda data: data["all"]["vars"]["hakit"].update(system=_system(version)))
    host, packages = PACKAGES[version]
    said: dict[str, dict[str, Any]] = {RESTARTED: _restarts(version)}
    said.setdefault(host, {})["packages"] = packages
    (folder / "host_vars").mkdir()
    for name, system in said.items():
        text = yaml.safe_dump({"hakit": {"system": system}}, sort_keys=False)
        (folder / "host_vars" / f"{name}.yml").write_text(text, encoding="utf-8")
    _edit(folder / "group_vars/balancers.yml", lambda data: _balance(data["hakit"], version))
    template = folder / "templates/nginx/nginx.conf.j2"
    place = "        location = /healthz {"
    told = f'        location = /version {{\n            return 200 "{version}\\n";\n        }}\n'
    template.write_text(template.read_text(encoding="utf-8").replace(place, told + place), encoding="utf-8")


def _edit(path: Path, change: Any) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def _balance(hakit: dict[str, Any], version: Version) -> None:
    hakit["haproxy"]["extra"] = [f"description version-{version}"]
    for instance in hakit["keepalived"]["instances"].values():
        instance["preempt_delay"] = "1s"
        instance["garp"] = {"refresh": {"a": "60s", "b": "61s"}[version]}


def _system(version: Version) -> dict[str, Any]:
    number = {"a": 1, "b": 2}[version]
    return {
        "hosts_file": True,
        "hosts": {"192.0.2.1": [f"version-{version}"]},
        "sysctl": {"net.ipv4.tcp_keepalive_time": 7000 + number, f"net.ipv4.tcp_keepalive_{_only(version)}": 7},
        "groups": {"cut": {"gid": 2000}, f"cut-{version}": {"gid": 2000 + number}},
        "users": {
            "keeper": {
                "uid": 2100,
                "group": "cut",
                "groups": [f"cut-{version}"],
                "shell": {"a": "/bin/sh", "b": "/bin/bash"}[version],
                "comment": f"version {version}",
                "authorized_keys": [f"ssh-ed25519 {version * 8} keeper"],
            },
            f"cut-{version}": {"uid": 2100 + number, "group": f"cut-{version}", "system": True},
        },
        "directories": {
            "/srv/cut": {"owner": "keeper", "group": "cut", "mode": {"a": "0750", "b": "0755"}[version]},
            f"/srv/cut/{version}": {"owner": f"cut-{version}", "mode": "0711"},
        },
        "files": {
            f"/srv/cut/{version}/only": {"content": f"{version}\n", "owner": f"cut-{version}"},
            "/srv/cut/both": {
                "content": f"{version}\n",
                "owner": {"a": "keeper", "b": "root"}[version],
                "mode": {"a": "0640", "b": "0600"}[version],
                "validate_with": ["/bin/grep", "-qx", version, "{}"],
            },
            "/srv/cut/mode": {"content": "same\n", "mode": {"a": "0644", "b": "0600"}[version]},
            **({"/etc/issue.net": {"content": "hakit was here\n"}} if version == "a" else {}),
            "/etc/cut/reload.conf": {"content": f"{version}\n", "reload": ["reload.service"]},
            "/usr/local/lib/cut/daemon": {"content": DAEMON, "mode": "0755"},
            "/etc/systemd/system/reload.service": {"content": UNIT.format(name="reload", description="ever")},
        },
        "symlinks": {"/etc/cut/link": f"/srv/cut/{version}", f"/etc/cut/link-{version}": "/dev/null"},
        "commands": {
            "stamp": {
                "run": ["/bin/sh", "-c", f"echo {version} > /srv/cut/stamp"],
                "unless": ["/bin/grep", "-qx", version, "/srv/cut/stamp"],
            }
        },
        "units": {"reload.service": {"enabled": version == "a"}},
    }


def _restarts(version: Version) -> dict[str, Any]:
    """A unit that restarts for its file, and one that the other version does not have."""
    return {
        "files": {
            "/etc/cut/restart.conf": {"content": f"{version}\n", "restart": ["restart.service"]},
            "/etc/systemd/system/restart.service": {"content": UNIT.format(name="restart", description=version)},
            f"/etc/cut/cut-{version}.conf": {"content": f"{version}\n"},
            f"/etc/systemd/system/cut-{version}.service": {
                "content": UNIT.format(name=f"cut-{version}", description="ever")
            },
        },
        "units": {"restart.service": {}, f"cut-{version}.service": {}},
    }


def _only(version: Version) -> str:
    """A parameter that only one version sets."""
    return {"a": "intvl", "b": "probes"}[version]
