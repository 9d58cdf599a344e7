"""Print the parameters that a release of PostgreSQL knows, for hakit/components/postgresql/data/RELEASE.tsv.

Run as a user who may own a data directory (not root), with the folder of the release's programs:

    runuser -u postgres -- python3 scripts/postgresql_parameters.py /usr/lib/postgresql/15/bin

A data directory is made in a temporary folder and read in single-user mode; no server listens anywhere.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

COLUMNS = "name, context, vartype, unit, min_val, max_val, array_to_string(enumvals, ',')"


def parameters(programs: Path) -> str:
    """The rows of pg_settings by name, columns between tabs; what is not there is empty."""
    with tempfile.TemporaryDirectory(prefix="hakit-") as folder:
        data, target = Path(folder) / "data", Path(folder) / "parameters"
        subprocess.run([programs / "initdb", "--no-sync", "-D", data], check=True, capture_output=True)
        query = f"COPY (SELECT {COLUMNS} FROM pg_settings ORDER BY name COLLATE \"C\") TO '{target}' (NULL '')"  # noqa: S608 - no input
        server = [programs / "postgres", "--single", "-D", data, "template1"]
        subprocess.run(server, input=f"{query}\n", text=True, check=True, capture_output=True)
        return target.read_text(encoding="utf-8")


def main() -> None:
    """Print the list with its head."""
    programs = Path(sys.argv[1])
    version = subprocess.run([programs / "postgres", "--version"], check=True, capture_output=True, text=True).stdout
    sys.stdout.write(f"# {version.strip()}: pg_settings, made by scripts/postgresql_parameters.py\n")
    sys.stdout.write("# name\tcontext\ttype\tunit\tleast\tmost\tvalues\n")
    sys.stdout.write(parameters(programs))


if __name__ == "__main__":
    main()
