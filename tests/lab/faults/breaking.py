"""Ways to break a lab host for real: each is a context that breaks the host when entered and mends it when left."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.lab.faults.stage import ONE, TWO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.faults.row import Fault
    from tests.lab.faults.stage import Stage

SMALL = "/run/small"
PROXY = "/etc/apt/apt.conf.d/90hakit-lab-proxy"
REPOSITORY = "/opt/faults"
# Moves folders onto a file system of their own that has room for them and nothing more.
MOVE = f"""set -e
options=$1; shift
mkdir -p {SMALL}
mount -t tmpfs -o "$options" small {SMALL}
for path in "$@"; do
    mkdir -p "{SMALL}$path"
    cp -a "$path/." "{SMALL}$path"
    mount --bind "{SMALL}$path" "$path"
done
"""
# What was changed there meanwhile goes where the folders were.
MOVE_BACK = f"""set -e
rm -rf {SMALL}/filler
for path in "$@"; do
    umount -l "$path"
    cp -a "{SMALL}$path/." "$path"
done
umount -l {SMALL}
"""


def script(then: str, undo: str) -> Fault:
    """Break by one shell script, mend by another."""

    @contextmanager
    def broken(stage: Stage) -> Iterator[None]:
        stage.sh(then)
        try:
            yield
        finally:
            stage.sh(undo)

    return broken


def _moved(options: str, fill: str, paths: tuple[str, ...]) -> Fault:
    words = " ".join(map(shlex.quote, paths))
    move = f"sh -c {shlex.quote(MOVE)} sh {shlex.quote(options)} {words}"
    return script(f"{move}\n{fill}", f"sh -c {shlex.quote(MOVE_BACK)} sh {words}")


def full(*paths: str) -> Fault:
    """A file system that holds these folders and has not one byte left."""
    fill = f"cat /dev/zero > {SMALL}/filler 2>/dev/null; sync; true"
    return _moved("size=256m", fill, paths)


def no_inodes(*paths: str) -> Fault:
    """A file system that holds these folders and takes no new file."""
    program = f"""import os, itertools
os.mkdir('{SMALL}/filler')
for i in itertools.count(): os.mknod(f'{SMALL}/filler/{{i}}')"""
    fill = f"python3 -c {shlex.quote(program)} 2>/dev/null; true"
    return _moved("size=64m,nr_inodes=400", fill, paths)


def read_only(*paths: str) -> Fault:
    """These folders are mounted read-only, as the kernel does it after an error of the disk."""
    words = " ".join(paths)
    return script(
        f"for p in {words}; do mount --bind $p $p && mount -o remount,bind,ro $p; done",
        f"for p in {words}; do umount -l $p; done",
    )


def locked_apt(seconds: float) -> Fault:
    """Another process holds dpkg's lock for a while."""
    program = (
        "import fcntl,time; f=open('/var/lib/dpkg/lock-frontend','w'); fcntl.lockf(f,fcntl.LOCK_EX);"
        f"open('/run/apt-locked','w'); time.sleep({seconds})"
    )
    return script(
        f"rm -f /run/apt-locked; systemd-run -q --unit=apt-holder python3 -c {shlex.quote(program)};"
        "until test -e /run/apt-locked; do sleep 0.05; done",
        "systemctl stop apt-holder.service 2>/dev/null; true",
    )


def package(name: str, postinst: str = "", files: str = "") -> str:
    """A script that puts a small package into the repository of the host; `files` fills `$root`."""
    return f"""set -e
root=$(mktemp -d); mkdir -p $root/DEBIAN {REPOSITORY}
printf '%s\\n' 'Package: {name}' 'Version: 1.0' 'Architecture: all' 'Maintainer: Tests <tests@example.org>' \
  'Description: a package that tests break' > $root/DEBIAN/control
cat > $root/DEBIAN/postinst <<'END'
#!/bin/sh
{postinst}
exit 0
END
chmod 755 $root $root/DEBIAN/postinst
{files}
dpkg-deb --root-owner-group -b $root {REPOSITORY}/{name}.deb > /dev/null
rm -r $root
cd {REPOSITORY}
{{ dpkg-deb -f {name}.deb; echo "Filename: ./{name}.deb"; echo "Size: $(stat -c %s {name}.deb)"
  echo "SHA256: $(sha256sum {name}.deb | cut -d' ' -f1)"; echo; }} >> Packages
"""


def repository(stage: Stage) -> None:
    """Give both hosts a package source of their own, so that nothing here needs a network."""
    unit = "mkdir -p $root/lib/systemd/system; printf '%s\\n' '[Service]' 'ExecStart=/bin/sleep infinity' \
'[Install]' 'WantedBy=multi-user.target' > $root/lib/systemd/system/hakit-daemon.service"
    for host in (ONE, TWO):
        stage.sh(
            package("hakit-fault", "[ ! -e /run/postinst-fails ] || exit 1")
            + package("hakit-daemon", files=unit)
            + package("hakit-stranger", "[ ! -e /run/stranger-fails ] || exit 1")
            + f"echo 'deb [trusted=yes] file:{REPOSITORY} ./' > /etc/apt/sources.list.d/faults.list\n"
            "apt-get update -q -o Dir::Etc::sourcelist=/etc/apt/sources.list.d/faults.list "
            "-o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0",
            host,
        )
