"""What a plan may show of a file that is about to change: never a secret, never more than a screen can use. Pure."""

from __future__ import annotations

from hakit.agent.work import FileDiff

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGEST = 256 << 10  # bytes
OTHERS_READ = 0o004


def shown(
    path: str, data: bytes, mode: int, wrote: list[dict[str, Any]], content_hash: str, *, secret: bool
) -> FileDiff:
    """The old text, its masked rendition, or why neither is shown.

    `wrote` is what hakit remembers of its own writes (hash, mask), `secret` whether the new content holds a secret.
    """
    mine = next((one for one in reversed(wrote) if one["hash"] == content_hash), None)
    if mine is not None and mine["mask"] is not None:
        return FileDiff(path=path, old_masked=mine["mask"], mode=mode)
    why = None if mine is not None else _foreign(mode, wrote, secret=secret)
    if why is None and len(data) > LARGEST:
        why = f"too large to show ({len(data) >> 10} KiB)"
    if why is not None:
        return FileDiff(path=path, why_hidden=why, mode=mode)
    text = _text(data)
    return FileDiff(path=path, old=text, binary=text is None, mode=mode)


def _foreign(mode: int, wrote: list[dict[str, Any]], *, secret: bool) -> str | None:
    """Why content that hakit did not write is not shown, or None when it may be."""
    if wrote and (secret or any(one["mask"] is not None for one in wrote)):
        return "changed outside hakit, holds secrets"
    if secret:
        return "not written by hakit, may hold secrets"
    if not mode & OTHERS_READ:
        return "not readable for everyone, may hold secrets"
    return None


def _text(data: bytes) -> str | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
