"""Write the fault matrix into docs/safety.md, from its rows."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "safety.md"

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    from tests.lab.faults.matrix import inserted

    PAGE.write_text(inserted(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
