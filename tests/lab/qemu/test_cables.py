"""Cables of virtual machines, without the machines: what goes in at one end comes out at the other."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from hakit.lab import privilege

ROOT = Path(__file__).parents[3]


def test_what_cables_forward(tmp_path: Path) -> None:
    lab = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]
    command = [*privilege.sudo(), sys.executable, "-B", "-m", "tests.lab.qemu.cables", lab]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "patched": ["lacp", "vlan", "jumbo", "answer"],
        "alone": True,
        "pulled": False,
        "left": [],
        "bridged": ["vlan", "jumbo"],
        "answers": True,
    }
