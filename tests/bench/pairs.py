"""The controller's CPU for one command in two checkouts, run in turn so that other load meets both alike.

    python tests/bench/pairs.py OLD NEW ROUNDS ARGUMENT…

For example  pairs.py /tmp/old . 10 plan --help.  Compiled modules are kept in a folder of their own: an environment
with PYTHONDONTWRITEBYTECODE would have every run compile hakit anew, and a longer source would look like slower code.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile

MILLI = 1000.0


def cpu_of(tree: str, arguments: list[str], environment: dict[str, str]) -> float:
    """Milliseconds, user and system, of `hakit` from a checkout, its children that it waited for included."""
    command = [sys.executable, "-m", "hakit", *arguments]
    process = subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{tree}: hakit ended with {os.waitstatus_to_exitcode(status)}")
    return (used.ru_utime + used.ru_stime) * MILLI


def main() -> None:
    """Measure and print a line per checkout; the first round only compiles."""
    old, new, rounds, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as compiled:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = compiled
        found: dict[str, list[float]] = {old: [], new: []}
        for turn in range(int(rounds) + 1):
            for tree in (old, new) if turn % 2 else (new, old):
                used = cpu_of(tree, arguments, environment)
                if turn:
                    found[tree].append(used)
    for tree, figures in found.items():
        sys.stdout.write(f"{tree:24} median {statistics.median(figures):6.1f} ms  least {min(figures):6.1f} ms\n")


if __name__ == "__main__":
    main()
