"""Where the time of a first apply goes: three bare database hosts and two balancers become a cluster.

    python tests/bench/first_apply.py [RUNS]

Makes a lab of its own from `inventories/database` for each run, applies once, and reads the run's record: by host, the
seconds since the apply began at which its packages, its files and its data were there, and at which all of it was done.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path

from hakit.cli import options
from hakit.lab import Lab

INVENTORY = Path(__file__).parents[2] / "inventories" / "database"
SECRETS = {"HAKIT_SECRET_REPLICATION": "replicates-1", "HAKIT_SECRET_ORDERS": "applies-1"}
PHASES = ("packages", "files", "data", "end")


def moments(record: Path) -> dict[str, dict[str, float]]:
    """By host: seconds from the apply's start to the end of each phase, as far as the host has it."""
    began = datetime.fromisoformat(json.loads((record / "run.json").read_text())["started"])
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for line in (record / "events.jsonl").read_text().splitlines():
        event = json.loads(line)
        after = (datetime.fromisoformat(event["at"]) - began).total_seconds()
        if event["event"] == "Done":
            kind = event["key"].partition(":")[0]
            phase = {"package": "packages", "files": "files", "directory": "files", "cluster": "data"}.get(kind)
            if phase:
                found[event["host"]][phase] = after
        if event["event"] == "Finished":
            found[event["host"]]["end"] = after
    return found


def once() -> tuple[float, dict[str, dict[str, float]]]:
    """One first apply in a lab of its own: its wall seconds, and the moments of its hosts."""
    with tempfile.TemporaryDirectory() as folder:
        inventory = Path(folder) / "inventory"
        shutil.copytree(INVENTORY, inventory, ignore=shutil.ignore_patterns(".hakit"))
        lab = Lab.of(options.load(inventory)[0])
        apply = [sys.executable, "-m", "hakit", "apply", "-i", str(inventory), "--yes", "--json"]
        try:
            lab.up()
            began = time.monotonic()
            subprocess.run(apply, check=True, capture_output=True, env={**os.environ, **SECRETS})
            took = time.monotonic() - began
            (record,) = (inventory / ".hakit" / "runs").iterdir()
            return took, moments(record)
        finally:
            lab.down()


def main() -> None:
    """Measure and print a line per host."""
    runs = [once() for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3)]
    took = [seconds for seconds, _ in runs]
    sys.stdout.write(f"first apply: {statistics.median(took):.1f} s ({', '.join(f'{one:.1f}' for one in took)})\n")
    sys.stdout.write(f"  {'':5}{''.join(f'{phase:>10}' for phase in PHASES)}\n")
    for host in sorted(runs[0][1]):
        ends = ([found[host][phase] for _, found in runs if phase in found[host]] for phase in PHASES)
        cells = (f"{statistics.median(one):8.1f} s" if one else f"{'':10}" for one in ends)
        sys.stdout.write(f"  {host:5}{''.join(cells)}\n")


if __name__ == "__main__":
    main()
