"""What is decided for one member before its resources are made."""

from __future__ import annotations

from dataclasses import dataclass

CREATE, COPY = "create", "copy"


@dataclass(frozen=True, slots=True)
class Part:
    """A member's part: where its data come from when it has none, and whether its server is to run.

    `origin` and `upstream` are those of the resource `Cluster`, `system` the system identifier that the others have.
    A server that is not to run is left as it is: it has the data of a former primary, and an operator decides.
    """

    origin: str = ""
    upstream: str = ""
    system: str = ""
    runs: bool = True
