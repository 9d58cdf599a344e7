"""The files of LIBRARY: what of this package lives on a host for good. For the controller."""

from __future__ import annotations

from pathlib import Path

from hakit.agent.postgres.place import LIBRARY

COMMAND = ("/usr/bin/python3", "-I", "-S", "-E", "-B", LIBRARY)
"""How one of the two programs is started: its name and the path of the `Place` follow. It leaves no files there."""
MODULES = (
    "declare",
    "disk",
    "errors",
    "jsonlite",
    "process",
    *(
        f"postgres/{name}"
        for name in (
            "asking", "client", "control", "decision", "endpoint", "guard", "own", "place", "quorum", "record",
            "resident", "serving", "states", "wal", "watching",
        )
    ),
)  # fmt: skip
"""Modules of `hakit.agent` that the two programs import, and what these import."""
MAIN = '''"""The boot guard and the role endpoint of a PostgreSQL cluster made by hakit."""

import sys

from hakit.agent.postgres.resident import main

sys.exit(main(sys.argv[1:]))
'''


def sources() -> dict[str, str]:
    """The text of each file by its path below LIBRARY."""
    agent = Path(__file__).parent.parent
    found = {"__main__.py": MAIN, "hakit/__init__.py": "", "hakit/agent/__init__.py": ""}
    found["hakit/agent/postgres/__init__.py"] = ""
    for name in MODULES:
        found[f"hakit/agent/{name}.py"] = (agent / f"{name}.py").read_text(encoding="utf-8")
    return found
