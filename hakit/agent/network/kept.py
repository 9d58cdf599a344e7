"""What a change keeps beside the files: the network that is to be, and what the kernel's was."""

from __future__ import annotations

from hakit.agent import disk, jsonlite, wire
from hakit.agent.errors import Failure, FrameError, from_os
from hakit.agent.network.live import Live
from hakit.agent.resources.network import Network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.declare import Declaration


def keep_declared(network: Network, folder: str) -> None:
    """Keep the network that is to be; its files lie beside it. Raises OSError."""
    _write(f"{folder}/new/network.json", network.replace(files=()))


def keep_live(live: Live, folder: str) -> None:
    """Keep what the network is now. Raises OSError."""
    _write(f"{folder}/old/live.json", live)


def declared(folder: str) -> Network:
    """The network that is to be. Raises Failure."""
    made: Network = _read(f"{folder}/new/network.json", Network)
    return made


def live(folder: str) -> Live:
    """What the network was. Raises Failure."""
    made: Live = _read(f"{folder}/old/live.json", Live)
    return made


def _write(path: str, one: Declaration) -> None:
    fields = wire.wire(one)
    fields.pop("type", None)
    disk.write(path, jsonlite.dumps(fields).encode(), 0o600)


def _read(path: str, cls: type[Declaration]) -> Any:
    try:
        return wire.declare(cls, jsonlite.loads(disk.read_own(path).decode("utf-8")))
    except OSError as error:
        raise from_os(error, "reading what a change of the network keeps", (path,)) from None
    except (ValueError, TypeError, AttributeError, FrameError) as error:
        raise Failure(f"{path} is damaged: {error}", path=path) from None
