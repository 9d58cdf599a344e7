"""What is decided for one member before its resources are made."""

from __future__ import annotations

from dataclasses import dataclass

CREATE, COPY = "create", "copy"


@dataclass(frozen=True, slots=True)
class Part:
    """A member's part: where its data come from when it has none, and whether its server may be started.

    `origin` and `upstream` are those of the resource `Cluster`, `system` the system identifier that the others have.
    `parted` says why a stopped server is left alone: it has the data of a former primary, and an operator decides.
    """

    origin: str = ""
    upstream: str = ""
    system: str = ""
    parted: str = ""
