"""The files of LIBRARY: what a host needs to change its network, and to put it back, by itself. For the controller."""

from __future__ import annotations

from pathlib import Path

MODULES = (
    "declare",
    "disk",
    "errors",
    "jsonlite",
    "process",
    "state",
    "wire",
    "work",
    *(f"resources/{name}" for name in ("base", "files", "network")),
    *(
        f"network/{name}"
        for name in (
            "announcing", "bringing", "changing", "comparing", "found", "interfaces", "kept", "leaving", "live",
            "mending", "place", "record", "resident", "returning", "units", "versions",
        )
    ),
)  # fmt: skip
"""Modules of `hakit.agent` that the programs import, and what these import."""
PACKAGES = ("hakit", "hakit/agent", "hakit/agent/network", "hakit/agent/resources")
MAIN = '''"""Changes this host's network for hakit, and puts the old one back when nobody confirms it."""

import sys

from hakit.agent.network.resident import main

sys.exit(main(sys.argv[1:]))
'''


def sources() -> dict[str, str]:
    """The text of each file by its path below LIBRARY."""
    agent = Path(__file__).parent.parent
    found = {"__main__.py": MAIN, **{f"{package}/__init__.py": "" for package in PACKAGES}}
    for name in MODULES:
        found[f"hakit/agent/{name}.py"] = (agent / f"{name}.py").read_text(encoding="utf-8")
    return found
