"""The verbs of `Task(kind="postgres")`: what the controller can ask of one member.

Read-only (no lock): `look`, `sql`. Under the host's lock: `decide`, `hold`, `release`, `halt`, `follow`, `checkpoint`,
`stop`, `start`, `demote`, `slots`, `promote`, `rewind`, `reinit`, `resume`. Each is safe to repeat; a verb whose
outcome is there already answers at once.
"""

from __future__ import annotations

READING = frozenset({"look", "sql"})
"""Verbs that change nothing and need no lock."""
