"""Runs the code of `ansible-inventory --list` for each path on standard input; forks, so that imports are paid once.

Answers each line with one line of JSON: {"list": …} or {"error": …}.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import ansible.inventory.manager
import ansible.plugins.inventory.yaml
import ansible.plugins.loader
import ansible.vars.manager  # noqa: F401 - paid once, before the forks
from ansible.cli.inventory import InventoryCLI


def answer(path: str) -> dict[str, object]:
    with tempfile.NamedTemporaryFile() as out, contextlib.redirect_stderr(io.StringIO()):
        try:
            InventoryCLI(["ansible-inventory", "-i", path, "--list", "--output", out.name]).run()
        except SystemExit:
            pass
        except Exception as error:  # noqa: BLE001 - whatever Ansible raises is its answer
            return {"error": str(error)}
        return {"list": json.loads(Path(out.name).read_text())}


def main() -> None:
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            with os.fdopen(writer, "w") as pipe:
                json.dump(answer(line.rstrip("\n")), pipe)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        sys.stdout.write((text or json.dumps({"error": "ansible died"})) + "\n")
        sys.stdout.flush()


main()
