"""A small client of the SSH agent (draft-miller-ssh-agent): lists keys, has data signed, never waits for ever.

paramiko's own client shares one socket between threads without a lock and waits without a limit.
"""

from __future__ import annotations

import socket
import struct
import threading

import paramiko

_REQUEST_IDENTITIES = 11
_IDENTITIES_ANSWER = 12
_SIGN_REQUEST = 13
_SIGN_RESPONSE = 14
_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}
_LONGEST_ANSWER = 256 * 1024  # as OpenSSH's own limit of a message
_TIMEOUT = 10.0


class Agent:
    """An SSH agent behind a Unix socket. Connects at the first question; safe for threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._keys: tuple[AgentKey, ...] | None = None

    def identities(self) -> tuple[AgentKey, ...]:
        """The keys it holds, asked once; none when there is no agent behind the socket or it does not answer."""
        with self._lock:
            if self._keys is None:
                try:
                    self._keys = tuple(self._list())
                except (OSError, EOFError, struct.error):
                    self._keys = ()
            return self._keys

    def sign(self, blob: bytes, data: bytes, algorithm: str) -> bytes:
        """A signature over data with a key. Raises paramiko.SSHException when the agent refuses or is gone."""
        request = bytes([_SIGN_REQUEST]) + _string(blob) + _string(data) + struct.pack(">I", _flags(algorithm))
        try:
            with self._lock:
                answer = self._ask(request)
        except (OSError, EOFError) as error:
            raise paramiko.SSHException(f"the SSH agent at {self.path} does not answer") from error
        if answer[:1] != bytes([_SIGN_RESPONSE]):
            raise paramiko.SSHException("the SSH agent refuses to sign")
        return paramiko.Message(answer[1:]).get_binary()

    def _list(self) -> list[AgentKey]:
        answer = self._ask(bytes([_REQUEST_IDENTITIES]))
        if answer[:1] != bytes([_IDENTITIES_ANSWER]):
            return []
        message = paramiko.Message(answer[1:])
        found = [(message.get_binary(), message.get_binary()) for _ in range(min(message.get_int(), 1024))]
        return [AgentKey(self, blob, comment.decode(errors="replace")) for blob, comment in found if blob]

    def _ask(self, request: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(self.path)
            connection.sendall(_string(request))
            (size,) = struct.unpack(">I", _read(connection, 4))
            if not 0 < size <= _LONGEST_ANSWER:
                raise EOFError
            return _read(connection, size)


class AgentKey(paramiko.PKey):
    """A key whose private half stays in the agent."""

    def __init__(self, agent: Agent, blob: bytes, comment: str) -> None:
        self.agent = agent
        self.blob = blob
        self.comment = comment
        self.name = paramiko.Message(blob).get_text()
        self.public_blob = None

    def get_name(self) -> str:
        """The type of the key, "ssh-ed25519"."""
        return self.name

    def asbytes(self) -> bytes:
        """The public half in wire form."""
        return self.blob

    def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
        """The agent's signature, which paramiko puts into the login request."""
        return paramiko.Message(self.agent.sign(self.blob, data, algorithm or self.name))

    def can_sign(self) -> bool:
        """The agent can."""
        return True


def _flags(algorithm: str) -> int:
    """Which hash an RSA key signs with, also under a certificate."""
    return _FLAGS.get(algorithm.removesuffix("-cert-v01@openssh.com"), 0)


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
