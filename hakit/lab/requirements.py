"""What the lab needs on this machine, and how to get it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from hakit.errors import LabError

PROGRAMS: Final = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ssh": "openssh-client",
}
"""Program → the Debian package that brings it. The Makefile installs the same packages."""
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where root's programs are; the PATH of a user, and of root behind `su`, lacks half of it."""
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def missing() -> tuple[str, ...]:
    """The Debian packages that are not installed on this machine."""
    packages = {package for program, package in PROGRAMS.items() if shutil.which(program, path=PATH) is None}
    if not KEYRING.exists():
        packages.add("debian-archive-keyring")
    return tuple(sorted(packages))


def check() -> None:
    """Raises LabError, with the command that installs what is missing."""
    packages = missing()
    if packages:
        raise LabError(
            f"the lab needs Debian packages that this machine lacks: {', '.join(packages)}",
            hint=f"apt-get install --no-install-recommends {' '.join(packages)}",
        )


if __name__ == "__main__":
    print(*missing())  # noqa: T201 - for the Makefile, which installs them
