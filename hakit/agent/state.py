"""What hakit remembers on a host, in `/var/lib/hakit`, root only: manifest, loaded record, previous versions.

`manifest.json` holds `items` (key → component and what was made), `files` (path → what hakit wrote there and what was
there before), `temporary` (names of new versions on their way, which a killed run may have left) and `unread` (files of
systemd changed that it has yet to read). It is written before a thing is made, so that a run killed anywhere forgets
nothing.
"""

from __future__ import annotations

import os
from time import gmtime, strftime, time_ns

from hakit.agent import disk, jsonlite
from hakit.agent.errors import from_os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KEPT = 5  # previous versions kept per path, beside the original
FOLDER = "/var/lib/hakit"
ORIGINAL = "original"
NAME = 200  # characters of a folder name, well below the 255 bytes that file systems take


class State:
    """The state folder of one host. Reading never changes it; damaged records are kept aside when first written."""

    def __init__(self, folder: str, say: Callable[[str], None]) -> None:
        self.folder = folder
        self._say = say
        self._damaged: set[str] = set()
        self._manifest: dict[str, Any] | None = None
        self._loaded: dict[str, Any] | None = None

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        """What hakit made, by key."""
        items: dict[str, dict[str, Any]] = self._read_manifest()["items"]
        return items

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """What hakit wrote, by path: `key`, `wrote` (newest last: hash, mask), `existed`, `folders` made on the way."""
        files: dict[str, dict[str, Any]] = self._read_manifest()["files"]
        return files

    @property
    def loaded(self) -> dict[str, dict[str, Any]]:
        """What units have loaded, by unit."""
        if self._loaded is None:
            self._loaded = self._read("loaded.json", ("units",))
        units: dict[str, dict[str, Any]] = self._loaded["units"]
        return units

    @property
    def unread(self) -> bool:
        """Whether systemd has yet to read files that hakit changed; durable once the manifest is saved."""
        return self._read_manifest().get("unread") is True

    @unread.setter
    def unread(self, value: bool) -> None:
        self._read_manifest()["unread"] = value

    def forget_cache(self) -> None:
        """Read everything anew at the next use."""
        self._manifest = self._loaded = None

    def own(self, key: str, component: str, made: dict[str, Any]) -> None:
        """Remember, durably and before it is made, that hakit makes a thing; earlier facts win over later ones."""
        before = self.items.get(key)
        item = {**made, **(before or {}), "component": component}
        if item != before:
            self.items[key] = item
            self.save_manifest()

    def disown(self, key: str) -> None:
        """Forget a thing that is gone."""
        if self.items.pop(key, None) is not None:
            self.save_manifest()

    def save_manifest(self) -> None:
        """Make the manifest durable."""
        self._write("manifest.json", self._read_manifest())

    def save_loaded(self) -> None:
        """Make the loaded record durable."""
        self._write("loaded.json", {"units": self.loaded})

    def temporary(self, path: str) -> str:
        """A name for a new version beside `path`, unlike any other; once the manifest is saved, `sweep` knows of it."""
        name = disk.temporary(os.path.basename(path))
        self._temporaries().append(f"{os.path.dirname(path)}/{name}")
        return name

    def replace(self, path: str, data: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
        """Replace a file of the host atomically; a killed run leaves nothing behind. Raises OSError, Failure."""
        name = self.temporary(path)
        self.save_manifest()
        disk.write(self.root + path, data, mode, owner, name)

    def _temporaries(self) -> list[str]:
        names = self._read_manifest().setdefault("temporary", [])
        if not isinstance(names, list):
            names = self._read_manifest()["temporary"] = []
        return names

    def keep(self, path: str, data: bytes, info: os.stat_result, *, original: bool) -> None:
        """Keep a version that is about to go, with its owner and mode; the oldest beyond the last five is dropped."""
        folder = self._versions(path)
        seconds, rest = divmod(time_ns(), 10**9)
        # Where the manifest was lost the older one is from before hakit, and what is there now may be hakit's.
        known = original and os.path.exists(f"{folder}/{ORIGINAL}")
        if known and disk.read(f"{folder}/{ORIGINAL}") == data:
            return
        name = ORIGINAL if original and not known else f"{strftime('%Y-%m-%dT%H-%M-%S', gmtime(seconds))}.{rest:09}"
        disk.make_folder(folder)
        disk.write(f"{folder}/{name}", data, info.st_mode & 0o7777, (info.st_uid, info.st_gid))
        versions = sorted(entry for entry in os.listdir(folder) if entry[0].isdigit())
        for old in versions[:-KEPT]:
            os.unlink(f"{folder}/{old}")

    def original(self, path: str) -> tuple[bytes, os.stat_result] | None:
        """What stood at a path before hakit, or None."""
        name = f"{self._versions(path)}/{ORIGINAL}"
        info = disk.look(name)
        return None if info is None else (disk.read(name), info)

    def forget_original(self, path: str) -> None:
        """The original stands in its place again."""
        disk.delete(f"{self._versions(path)}/{ORIGINAL}")

    def set_original_aside(self, path: str) -> bool:
        """Keep what stood at a path before hakit, which can't stand there again, under a name of its own."""
        name = f"{self._versions(path)}/{ORIGINAL}"
        if not os.path.lexists(name):
            return False
        os.rename(name, f"{name}.{strftime('%Y-%m-%dT%H-%M-%S', gmtime())}.{os.urandom(4).hex()}")
        disk.sync_folder(os.path.dirname(name))
        return True

    def scratch(self) -> str:
        """A new private folder for copies that are only judged; its user deletes it."""
        folder = f"{self.folder}/stage/{os.urandom(8).hex()}"
        disk.make_folder(folder)
        return folder

    def sweep(self) -> None:
        """Delete what killed runs left, and keep the folder to ourselves; only under the lock."""
        self._close()
        disk.delete_tree(f"{self.folder}/stage")
        stale = self._temporaries()
        while stale:
            path = self.root + stale.pop()
            if os.path.basename(path).startswith(disk.TEMPORARY) and os.path.lexists(path):
                disk.delete(path)
        for folder in {self.folder, *(f"{self.folder}/previous/{name}" for name in self._kept_paths())}:
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                if name.startswith(disk.TEMPORARY):
                    os.unlink(f"{folder}/{name}")

    def _close(self) -> None:
        info = os.lstat(self.folder)
        if info.st_uid == os.geteuid() and not info.st_mode & 0o077:
            return
        self._say(f"{self.folder} was open to others: it is root's alone again, what others wrote there is not trusted")
        os.chown(self.folder, os.geteuid(), os.getegid())
        os.chmod(self.folder, 0o700)
        code = disk.look(f"{self.folder}/agent")
        if code is not None and (code.st_uid != os.geteuid() or code.st_mode & 0o022):
            disk.delete_tree(f"{self.folder}/agent")

    @property
    def root(self) -> str:
        """What stands before every path: nothing on a real host."""
        return self.folder[: -len(FOLDER)]

    def _kept_paths(self) -> list[str]:
        try:
            return os.listdir(f"{self.folder}/previous")
        except FileNotFoundError:
            return []

    def _versions(self, path: str) -> str:
        flat = path.strip("/").replace("%", "%25").replace(",", "%2C").replace("/", ",")
        if len(flat) > NAME:
            flat = f"{flat[:100]}.{disk.digest(path.encode())}"
        return f"{self.folder}/previous/{flat}"

    def _read_manifest(self) -> dict[str, Any]:
        if self._manifest is None:
            self._manifest = self._read("manifest.json", ("items", "files"))
        return self._manifest

    def _read(self, name: str, parts: tuple[str, ...]) -> dict[str, Any]:
        empty: dict[str, Any] = {part: {} for part in parts}
        try:
            data = jsonlite.loads(disk.read_own(f"{self.folder}/{name}").decode("utf-8").strip())
        except (FileNotFoundError, NotADirectoryError):
            return empty
        except OSError as error:
            return self._report(name, error.strerror or str(error), empty)
        except ValueError as error:
            return self._report(name, str(error), empty)
        if not isinstance(data, dict) or not all(_table(data.get(part)) for part in parts):
            return self._report(name, "not the expected structure", empty)
        return data

    def _report(self, name: str, reason: str, empty: dict[str, Any]) -> dict[str, Any]:
        if name not in self._damaged:
            self._damaged.add(name)
            self._say(
                f"{self.folder}/{name} is damaged ({reason}): what hakit made here is no longer known, "
                f"so nothing is removed; it is kept as {name}.damaged-<time> when the next change is made"
            )
        return empty

    def _write(self, name: str, data: dict[str, Any]) -> None:
        path = f"{self.folder}/{name}"
        try:
            disk.make_folder(self.folder)
            if name in self._damaged:
                os.rename(path, f"{path}.damaged-{strftime('%Y-%m-%dT%H-%M-%S', gmtime())}")
                self._damaged.discard(name)
            disk.write(path, (jsonlite.dumps(data) + "\n").encode(), 0o600)
        except OSError as error:
            raise from_os(error, "hakit can't remember what it does", (path,)) from None


def _table(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(entry, dict) for entry in value.values())
