"""Becoming root by sudo, as the controller sees it: the words before a command, the prompt, and what sudo complains of.

Not part of the bundle: it never runs on a host.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something did not start on a host, and what to do.

    `python` says that Python there is to blame, `refused` that sudo did not take the password.
    """

    message: str
    hint: str | None = None
    python: bool = False
    refused: bool = False


def words(token: str | None = None) -> list[str]:
    """The words before a command that run it as root, with messages in English.

    With a `token` (letters and digits) sudo asks for a password where it wants one, on stderr and by a prompt of ours,
    and reads a line of stdin, also when it has asked a short while ago; without one it never asks.
    """
    ask = ["-n"] if token is None else ["-k", "-S", "-p", f"{token} for %p:"]
    return ["env", "LC_ALL=C", "sudo", *ask, "--"]


def asked(token: str, stderr: str) -> list[str]:
    """Whose password sudo has asked for, once for each prompt.

    A shell that shows the commands it runs shows `%p` and no name. sudo-rs puts brackets around the prompt.
    """
    return re.findall(rf"{token} for ([^%\n:]+):", stderr)


def line(password: str) -> bytes:
    """What is sent to sudo when it asks. Raises ValueError for a password that sudo can't read, with the reason."""
    if "\n" in password or "\0" in password:
        raise ValueError("sudo's password has a line break in it, which sudo can't read")
    return password.encode() + b"\n"


def refused(who: str) -> Reason:
    """What a second prompt means: the first password was wrong. No second try: lockouts are real."""
    return Reason(f"sudo refuses the password of {who}", "correct sudo's password; it was tried once", refused=True)


_ALLOW = "let it in sudoers, or log in as root"
_GIVE = "give it with -K or hakit.ssh.sudo_password, or let the login use sudo without one (NOPASSWD)"
PASSWORD = Reason("sudo asks for a password", _GIVE)
_EXPIRED = Reason("sudo says that the login's account or password has expired", "renew it on the host (chage, passwd)")
_MISSING = Reason("sudo is not installed", "install it, or log in as root and run  hakit bootstrap")
_WRONG = Reason("sudo refuses the password of the login", "correct sudo's password", refused=True)
_DAMAGED = Reason("sudo is damaged on the host", "install it again there:  apt-get install --reinstall sudo")
# What sudo(8) 1.9, sudo-rs and env(1) print in the C locale; the first that is found counts.
_SIGNS = (
    ("incorrect password attempt", _WRONG),
    ("incorrect authentication attempt", _WRONG),
    ("password is expired", _EXPIRED),
    ("ccount expired", _EXPIRED),
    ("account validation failure", _EXPIRED),
    ("a password is required", PASSWORD),
    ("no password was provided", PASSWORD),
    ("interactive authentication is required", PASSWORD),
    ("a terminal is required", PASSWORD),
    ("must have a tty", Reason("sudo wants a terminal (requiretty)", "exempt the login in sudoers: !requiretty")),
    ("is not in the sudoers", Reason("the login may not use sudo", _ALLOW)),
    ("may not run sudo", Reason("the login may not use sudo", _ALLOW)),
    ("I'm sorry", Reason("the login may not use sudo", _ALLOW)),
    ("is not allowed to", Reason("the login may not become root with sudo for every command", _ALLOW)),
    ("unknown user", Reason("sudo knows no root here", None)),
    ("no new privileges", Reason("the login may not gain privileges (no_new_privs)", "log in as root")),
    (
        "effective uid is not 0",
        Reason("sudo has no setuid bit, or is mounted nosuid", "log in as root"),
    ),
    ("sudo: error in ", Reason("sudoers has an error", "mend it on the host:  visudo -c  tells where")),
    ("no valid sudoers sources", Reason("sudoers can't be read", "mend it on the host:  visudo -c  tells where")),
    ("is owned by uid", _DAMAGED),
    ("unable to initialize PAM", _DAMAGED),
    ("PAM authentication error", Reason("sudo can't ask PAM for the login", "see /etc/pam.d/sudo on the host")),
    ("sudo: command not found", _MISSING),
    ("sudo: not found", _MISSING),
)
_NO_SUDO = re.compile(r"^env: .sudo.: ", re.MULTILINE)


def expired(stderr: str) -> Reason | None:
    """Whether sudo wants the password changed, which it waits for without a prompt of ours."""
    return _EXPIRED if "password is expired" in stderr or "password has expired" in stderr else None


def complaint(stderr: str) -> Reason | None:
    """Why sudo made nobody root, from what it printed; None when it did not complain."""
    for sign, reason in _SIGNS:
        if sign in stderr:
            return reason
    return _MISSING if _NO_SUDO.search(stderr) else None
