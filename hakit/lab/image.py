"""The base image of a lab's hosts: a small Debian with sshd, made once by mmdebstrap and shared read-only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from hakit.errors import LabError
from hakit.lab import requirements
from hakit.lab.cgroup import cgroup_root, entering, kill, remove_cgroup
from hakit.lab.disk import Accounts
from hakit.lab.sources import CODENAMES
from hakit.lab.state import CACHE, LABS, locked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hakit.lab.sources import Upstream
    from hakit.lab.state import Place

PACKAGES: Final = (
    "ca-certificates",
    "ifupdown",
    "iproute2",
    "iputils-ping",
    "netbase",
    "openssh-server",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
)
"""What lab hosts hold beyond Debian's essential packages and apt; hakit installs all else, as on hardware."""
NOT_UNPACKED: Final = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
"""Left out of every package, for speed; copyright files stay."""
MASKED: Final = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "systemd-networkd-wait-online.service",
)
"""Units without a purpose on a host that has no console and no block device, or that take apt's lock at odd times."""
FILES: Final = {
    "etc/systemd/journald.conf.d/hakit-lab.conf": "[Journal]\nStorage=persistent\nSystemMaxUse=64M\n",
    "etc/dpkg/dpkg.cfg.d/hakit-lab": "# A lab's disk need not survive the machine's own power cut.\nforce-unsafe-io\n",
    "etc/resolv.conf": "# The lab has no name server.\n",
    "etc/hostname": "localhost\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/machine-id": "",
}
MAX_AGE: Final = 7 * 86400.0
"""Seconds after which an image is made anew: by then mirrors drop package versions that its lists still name."""
CGROUP: Final = "hakit-images"
"""Holds what makes an image, so that nothing of it outlives a killed `up` for long."""
RECIPE: Final = 1
"""Part of the image's key: raise it whenever this module makes another image of the same packages."""


@dataclass(frozen=True)
class Image:
    """A base image: Debian's release, extra packages, the sources it is made from."""

    release: int
    packages: tuple[str, ...]
    upstream: Upstream

    kind: ClassVar[str] = ""
    """Tells images apart that are made of the same release for another use."""
    recipe: ClassVar[tuple[str, ...]] = (str(RECIPE),)
    """Part of the image's key beside its packages, masked units and files."""
    takes: ClassVar[str] = "about a minute"
    """How long it takes to make one, in words."""
    own: ClassVar[tuple[str, ...]] = PACKAGES
    masked: ClassVar[tuple[str, ...]] = MASKED
    files: ClassVar[Mapping[str, str]] = FILES

    @property
    def included(self) -> tuple[str, ...]:
        """All packages asked for, sorted."""
        return tuple(sorted({*self.own, *self.packages}))

    @property
    def key(self) -> str:
        """Names the image: Debian's release and a hash of all that goes into it."""
        parts = (*self.recipe, *self.included, *NOT_UNPACKED, *self.masked, *self.files.values())
        parts = (*parts, self.upstream.deb822(), *self.upstream.options)
        return f"{CODENAMES[self.release]}{self.kind}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"

    def finish(self, root: Path) -> None:
        """Turn a bootstrapped Debian into a base image: no identity of its own, quiet, nothing needless started."""
        for key in (root / "etc/ssh").glob("ssh_host_*"):
            key.unlink()
        for name, content in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_text(content, encoding="utf-8")
        for unit in self.masked:
            link = root / "etc/systemd/system" / unit
            link.unlink(missing_ok=True)
            link.symlink_to("/dev/null")


def accounts(root: Path) -> Accounts:
    """The account files of an image."""
    names = ("passwd", "shadow", "group")
    return Accounts(*((root / "etc" / name).read_text(encoding="utf-8") for name in names))


def ensure(image: Image, place: Place, proxy: str, progress: Callable[[str], None]) -> Path:
    """The root folder of the image; it is made when there is none, and anew when the newest is `MAX_AGE` old.

    Packages come through the lab's package proxy. When a renewal fails, the old image serves on. Raises LabError.
    """
    folder = CACHE / "images"
    found = newest(folder, image.key)
    if found and _age(found) < MAX_AGE:
        return found
    with locked(folder, "another lab is making a base image", progress):
        found = newest(folder, image.key)
        if found and _age(found) < MAX_AGE:
            return found
        progress(
            f"making the base image, for all labs: Debian {image.release} with {', '.join(image.included)} "
            f"({image.takes})"
        )
        try:
            made = _make(image, place, proxy, folder)
        except LabError as error:
            if not found:
                raise
            progress(
                f"{error.message}; the one of {time.strftime('%F', time.localtime(found.stat().st_mtime))} serves on"
            )
            return found
        _prune(folder, image.key, made)
        return made


def newest(folder: Path, key: str) -> Path | None:
    """The newest whole image of a key."""
    return max(folder.glob(f"{key}.*/"), key=lambda path: path.stat().st_mtime, default=None)


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _make(image: Image, place: Place, proxy: str, folder: Path) -> Path:
    # Whoever holds the lock is alone here: what still runs was left by a killed `up`, its mounts end with it.
    left = cgroup_root() / CGROUP
    kill(left)
    remove_cgroup(left)
    building = folder / f".new-{image.key}"
    for left_over in folder.glob(f"{building.name}*"):
        shutil.rmtree(left_over)
    _bootstrap(image, place, proxy, building, folder / f"{image.key}-log")
    image.finish(building)
    os.utime(building)
    return building.rename(folder / f"{image.key}.{int(time.time())}")


def _prune(folder: Path, key: str, keep: Path) -> None:
    """Remove older images of a key that no host's disk lies on."""
    used = {link.readlink() for link in LABS.glob("*/hosts/*/image")}
    for old in folder.glob(f"{key}.*/"):
        if old not in used and old != keep and _age(old) > MAX_AGE:
            shutil.rmtree(old)


def _bootstrap(image: Image, place: Place, proxy: str, target: Path, log: Path) -> None:
    options = (f'Acquire::http::Proxy "{proxy}";', *image.upstream.options)
    command = [
        *entering(cgroup_root() / CGROUP),
        *("nsenter", f"--net={place.namespace_file}", "unshare", "--mount", "--propagation=slave"),
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--skip=cleanup/apt/lists"),
        f"--include={','.join(image.included)}",
        *(f"--aptopt={option}" for option in options),
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={path}" for path in NOT_UNPACKED),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        # The hosts' own proxy setting is written per host: the bridge's address is part of the lab, not of the image.
        '--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"',
        *(_option_hook(option) for option in image.upstream.options),
        '--customize-hook=chroot "$1" apt-cache gencaches',
        CODENAMES[image.release],
        str(target),
        "-",
    ]
    with log.open("wb") as out:
        done = subprocess.run(
            command,
            input=image.upstream.deb822().encode(),
            stdout=out,
            stderr=subprocess.STDOUT,
            env={"PATH": requirements.PATH, "LC_ALL": "C.UTF-8"},
            check=False,
        )
    remove_cgroup(cgroup_root() / CGROUP)
    if done.returncode:
        tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-6:]
        raise LabError("the base image could not be made", why="\n  ".join(tail), hint=f"The whole log: {log}")


def _option_hook(option: str) -> str:
    return f"--customize-hook=echo '{option}' >>\"$1/etc/apt/apt.conf.d/90hakit-lab\""
