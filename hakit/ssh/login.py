"""Logs in with keys, one after the other as the server allows, and explains why none was taken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import paramiko

from hakit.errors import LoginError

if TYPE_CHECKING:
    from hakit.ssh.keys import Offers
    from hakit.ssh.wire import Transport


def login(transport: Transport, name: str, user: str, offers: Offers, deadline: float) -> None:
    """Log in as `user` until the deadline (monotonic). Raises LoginError."""
    tried: list[str] = []
    for offer in offers:
        tried.append(offer.label)
        transport.auth_timeout = max(0.1, deadline - time.monotonic())
        try:
            more = transport.auth_publickey(user, offer.key)
        except paramiko.BadAuthenticationType as error:
            allowed = ", ".join(error.allowed_types)
            raise LoginError(
                f"{name}: sshd takes no keys from {user}, it wants {allowed}",
                hint="Set PubkeyAuthentication yes in the host's sshd_config.",
            ) from error
        except paramiko.SSHException as error:
            if time.monotonic() >= deadline:
                raise LoginError(
                    f"{name}: hangs while {user} logs in",
                    why="sshd answers, but what it asks for the login (PAM, a directory, a full disk) does not.",
                ) from error
            if not transport.is_active():
                raise _refused(name, user, tried, offers, f"It closed the connection: {error}") from error
            continue
        except (OSError, EOFError) as error:
            raise _refused(name, user, tried, offers, "It closed the connection.") from error
        if not more:
            return
        raise LoginError(
            f"{name}: a key alone does not let {user} in, sshd also wants {', '.join(more)}",
            hint="Use an account that needs a key only (AuthenticationMethods publickey).",
        )
    raise _refused(name, user, tried, offers, None)


def _refused(name: str, user: str, tried: list[str], offers: Offers, ending: str | None) -> LoginError:
    reasons = [f"Tried {', '.join(tried)}." if tried else "There is no key to offer."]
    reasons += [f"Not usable: {problem}." for problem in offers.problems()]
    reasons += [ending] if ending else []
    return LoginError(
        f"{name}: {user} can't log in",
        why=" ".join(reasons),
        hint=f"Put your public key into ~{user}/.ssh/authorized_keys there (ssh-copy-id), or name another key with "
        f"ansible_ssh_private_key_file, another user with ansible_user.",
    )
