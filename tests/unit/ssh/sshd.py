"""A real OpenSSH server on loopback, with keys and a configuration of its own."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from hakit.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SSHD = "/usr/sbin/sshd"


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "", pem: bool = False) -> Path:
    form = ["-m", "PEM"] if pem else []
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path), *form], check=True
    )
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Sshd:
    """A running sshd; `log()` is what it wrote, `known_hosts` the file that knows its keys."""

    folder: Path
    port: int
    keys: dict[str, Path]
    client_key: Path
    known_hosts: Path

    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()

    def authorize(self, key: Path) -> None:
        with (self.folder / "authorized_keys").open("a") as out:
            out.write(Path(f"{key}.pub").read_text())

    def public(self, kind: str) -> str:
        return " ".join(Path(f"{self.keys[kind]}.pub").read_text().split()[:2])


def with_users(folder: Path, passwords: dict[str, str]) -> list[str]:
    """What to put before sshd so that it alone sees more users: a mount namespace with an /etc of its own.

    Needs root. Password and PAM are the real ones.
    """
    files = {
        "passwd": Path("/etc/passwd").read_text(),
        "shadow": Path("/etc/shadow").read_text(),
        "pam.d/sshd": "auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_permit.so\n",
    }
    for number, (name, password) in enumerate(passwords.items(), 64001):
        made = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=password, check=True, capture_output=True, text=True
        )
        files["passwd"] += f"{name}:x:{number}:{number}::/:/bin/sh\n"
        files["shadow"] += f"{name}:{made.stdout.strip()}:19000:0:99999:7:::\n"
    script = []
    for name, content in files.items():
        path = folder / "etc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        script.append(f"mount --bind {path} /etc/{name}")
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "; ".join([*script, 'exec "$@"']), "sh"]


@contextmanager
def running(
    folder: Path,
    kinds: tuple[str, ...] = ("ed25519", "ecdsa", "rsa"),
    users: dict[str, str] | None = None,
    **settings: str,
) -> Iterator[Sshd]:
    """An sshd with a client key that lets root (or who runs the tests) in; `users` are more, by their passwords."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    keys = {kind: folder / f"host_{kind}" for kind in kinds}
    for kind, key in keys.items():
        if not key.exists():
            keygen(key, kind)
    client_key = keygen(folder / "client")
    (folder / "authorized_keys").write_text(Path(f"{client_key}.pub").read_text())
    port = free_port()
    lines = {
        "Port": str(port),
        "ListenAddress": "127.0.0.1",
        "AuthorizedKeysFile": str(folder / "authorized_keys"),
        "StrictModes": "no",
        "UsePAM": "no",
        "MaxStartups": "200",
        "PidFile": "none",
        "LogLevel": "VERBOSE",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        **settings,
    }
    if users:  # sshd reads the file as the user, who has no business in the folder of the test
        lines["AuthorizedKeysFile"] = "none"
        lines["AuthorizedKeysCommand"] = f"/bin/cat {folder}/authorized_keys"
        lines["AuthorizedKeysCommandUser"] = "root"
    config = folder / "sshd_config"
    config.write_text(
        "".join(f"{key} {value}\n" for key, value in lines.items())
        + "".join(f"HostKey {key}\n" for key in keys.values())
    )
    process = subprocess.Popen(
        [*(with_users(folder, users) if users else []), SSHD, "-D", "-E", str(folder / "sshd.log"), "-f", str(config)],
        stdin=subprocess.DEVNULL,
    )
    sshd = Sshd(folder, port, keys, client_key, folder / "known_hosts")
    sshd.known_hosts.write_text("".join(f"[127.0.0.1]:{port} {sshd.public(kind)}\n" for kind in kinds))
    try:
        wait_for(lambda: process.poll() is not None or answers(port), "sshd to listen")
        assert process.poll() is None, sshd.log()
        yield sshd
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.02)


def hakit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, without a terminal, as it would be run from a shell."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with mock.patch("sys.stdin", io.StringIO()), redirect_stdout(out), redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
