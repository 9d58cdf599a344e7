"""The encrypted store of secrets beside an inventory: age files, as `age` and `rage` read and write them.

    secrets.age             a YAML mapping of names to texts, encrypted for every recipient, armored
    secrets.recipients.txt  who can read it: age or SSH public keys, one per line (the format of `age -R`)

Ansible, given the folder, takes neither for an inventory: it passes over .txt, and armor is no list of hosts.
Both belong into version control. The identity (the private key) never does: it is `$HAKIT_AGE_IDENTITY`, or
`~/.config/hakit/age.key`, or an SSH key of the user.
"""

from __future__ import annotations

import base64
import fcntl
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hakit.errors import SecretError
from hakit.inventory.document import DocumentError, Mapping, Scalar, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as Dict

STORE: Final = "secrets.age"
RECIPIENTS: Final = "secrets.recipients.txt"
IDENTITY_VARIABLE: Final = "HAKIT_AGE_IDENTITY"
SSH_KEYS: Final = ("id_ed25519", "id_rsa")
PRIVATE: Final = 0o600
ARMOR_BEGIN: Final = "-----BEGIN AGE ENCRYPTED FILE-----"
ARMOR_END: Final = "-----END AGE ENCRYPTED FILE-----"


def default_identity() -> Path:
    """Where a user's own identity lives."""
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "hakit" / "age.key"


def used_identity() -> Path:
    """The identity that this user names, or else the default one; it need not exist."""
    named = os.environ.get(IDENTITY_VARIABLE)
    return Path(named).expanduser() if named else default_identity()


def make_identity(path: Path) -> str:
    """Write a new identity, readable by its owner only; its public key. Raises SecretError."""
    from pyrage import x25519  # noqa: PLC0415 - only who makes a key loads the library

    identity = x25519.Identity.generate()
    text = f"# public key: {identity.to_public()}\n{identity}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(handle, "w") as file:
            file.write(text)
    except OSError as error:
        raise SecretError(f"{path}: can't write the identity: {error.strerror}") from None
    return str(identity.to_public())


def public_key(path: Path) -> str:
    """The public key of an identity file. Raises SecretError."""
    from pyrage import IdentityError, x25519  # noqa: PLC0415 - as above

    for line in _private_text(path).splitlines():
        if line.startswith("AGE-SECRET-KEY-"):
            try:
                return str(x25519.Identity.from_str(line.strip()).to_public())
            except IdentityError:
                break
    if path.with_name(path.name + ".pub").is_file():
        return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])
    raise SecretError(f"{path}: holds no age identity", hint="make one with  hakit secret init")


def _private_text(path: Path) -> str:
    """The text of a file that only its owner can read. Raises SecretError."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise SecretError(
                f"{path}: this identity is open to others (mode {mode:04o})", hint=f"close it with  chmod 600 {path}"
            )
        return path.read_text()
    except OSError as error:
        raise SecretError(f"{path}: can't read the identity: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SecretError(f"{path}: holds no age or SSH identity") from None


def _identities() -> list[Any]:
    """Every identity this user has. Raises SecretError where one that is named can't be used."""
    from pyrage import IdentityError, ssh, x25519  # noqa: PLC0415 - as above

    named = os.environ.get(IDENTITY_VARIABLE)
    paths = [Path(named).expanduser()] if named else [default_identity(), *(Path.home() / ".ssh" / k for k in SSH_KEYS)]
    found: list[Any] = []
    for path in paths:
        if not named and not path.is_file():
            continue
        text = _private_text(path)
        try:
            if "PRIVATE KEY-----" in text:
                found.append(ssh.Identity.from_buffer(text.encode()))
            else:
                keys = [line.strip() for line in text.splitlines() if line.startswith("AGE-SECRET-KEY-")]
                found += [x25519.Identity.from_str(key) for key in keys]
        except IdentityError as error:
            if named or path.name not in SSH_KEYS:
                raise SecretError(f"{path}: not usable as an identity: {error}") from None
    return found


def _recipient(line: str) -> Any:
    from pyrage import RecipientError, ssh, x25519  # noqa: PLC0415 - as above

    try:
        return ssh.Recipient.from_str(line) if line.startswith("ssh-") else x25519.Recipient.from_str(line)
    except RecipientError as error:
        shown = line if len(line) < 60 else line[:57] + "…"  # noqa: PLR2004 - one line of a terminal
        raise SecretError(
            f"{shown!r} is no recipient: {error}", hint="a recipient is an age1… key or an ssh-ed25519 public key"
        ) from None


class Store:
    """The store beside an inventory; `root` is the folder of the inventory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / STORE
        self.recipients_path = root / RECIPIENTS

    def exists(self) -> bool:
        """Whether there is a store."""
        return self.path.exists()

    def recipients(self) -> list[str]:
        """The public keys that can read the store, as they are written. Raises SecretError."""
        try:
            lines = self.recipients_path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise SecretError(f"{self.recipients_path}: can't be read: {error}") from None
        return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]

    def add_recipient(self, key: str, comment: str) -> None:
        """Note a public key (the store is encrypted for it when it is next written). Raises SecretError."""
        _recipient(key)
        old = self.recipients_path.read_text(encoding="utf-8") if self.recipients_path.exists() else ""
        _write(self.recipients_path, f"{old}# {comment}\n{key}\n".encode(), 0o644)

    def remove_recipient(self, key: str) -> None:
        """Forget a public key and the comment above it. Raises SecretError."""
        if key not in self.recipients():
            raise SecretError(f"{key} is no recipient of {self.path}", hint="hakit secret recipient list  shows them")
        kept: list[str] = []
        for line in self.recipients_path.read_text(encoding="utf-8").splitlines():
            if line.strip() != key:
                kept.append(line)
            elif kept and kept[-1].startswith("#"):
                kept.pop()
        _write(self.recipients_path, "".join(f"{line}\n" for line in kept).encode(), 0o644)

    def load(self) -> dict[str, str]:
        """All secrets by name. Raises SecretError."""
        from pyrage import DecryptError, decrypt  # noqa: PLC0415 - as above

        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise SecretError(
                f"{self.path}: can't be read: {error.strerror}", hint="make a store with  hakit secret init"
            ) from None
        identities = _identities()
        if not identities:
            raise SecretError(
                f"{self.path}: can't be decrypted: you have no identity",
                why=f"looked for ${IDENTITY_VARIABLE}, {default_identity()} and keys in ~/.ssh",
                hint="make one with  hakit secret init  and let somebody add your public key",
            )
        try:
            text = bytes(decrypt(_without_armor(data), identities)).decode("utf-8")
        except (DecryptError, ValueError) as error:
            raise SecretError(
                f"{self.path}: can't be decrypted: {str(error)[:1].lower()}{str(error)[1:]}",
                why="it is damaged, or encrypted for others only",
                hint=f"the recipients are listed in {self.recipients_path}",
            ) from None
        return parse_secrets(text, str(self.path))

    def save(self, secrets: Dict[str, str]) -> None:
        """Encrypt for all recipients and replace the store in one step. Raises SecretError."""
        from pyrage import encrypt  # noqa: PLC0415 - as above

        recipients = [_recipient(line) for line in self.recipients()]
        if not recipients:
            raise SecretError(
                f"{self.recipients_path}: names nobody who could read the store", hint="hakit secret init  makes it"
            )
        _write(self.path, _armored(bytes(encrypt(format_secrets(secrets).encode(), recipients))), PRIVATE)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone with the store; a second command at the same time is refused. Raises SecretError."""
        handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise SecretError(f"{self.path}: another hakit is changing the store right now") from None
        finally:
            os.close(handle)


def parse_secrets(text: str, name: str) -> dict[str, str]:
    """The secrets in the store's plain text; an error names the line, never a value. Raises SecretError."""
    from hakit.inventory.secrets import is_name  # noqa: PLC0415 - secrets imports this module

    try:
        root = parse(text, name)
    except DocumentError as error:
        mark = error.problems[0].mark
        raise SecretError(f"{name}:{mark.line if mark else 1}: the secrets are no valid YAML mapping") from None
    if root is None:
        return {}
    if not isinstance(root, Mapping):
        raise SecretError(f"{name}: expects a mapping of names to texts")
    secrets: dict[str, str] = {}
    for key, entry in root.items.items():
        line = entry.key.line
        if not isinstance(key, str) or not is_name(key):
            raise SecretError(f"{name}:{line}: not the name of a secret (letters, digits, '_', '.', '-')")
        if not isinstance(entry.value, Scalar) or not isinstance(entry.value.value, str) or not entry.value.value:
            raise SecretError(f"{name}:{line}: {key}: expects text; put numbers and the like in quotes")
        secrets[key] = str(entry.value.value)
    return secrets


def format_secrets(secrets: Dict[str, str]) -> str:
    """The store's plain text: a YAML mapping in the order of the names."""
    import yaml  # noqa: PLC0415 - only who writes loads the emitter

    if not secrets:
        return "# name: value\n"
    return yaml.safe_dump(dict(sorted(secrets.items())), allow_unicode=True, default_flow_style=False, width=10_000)


def _armored(data: bytes) -> bytes:
    """The data as age's armor, a strict PEM (age-encryption.org/v1, "ASCII armor")."""
    text = base64.b64encode(data).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([ARMOR_BEGIN, *lines, ARMOR_END, ""]).encode()


def _without_armor(data: bytes) -> bytes:
    """The data below age's armor, if it has one. Raises ValueError."""
    if not data.startswith(ARMOR_BEGIN.encode()):
        return data
    body, end, _ = data[len(ARMOR_BEGIN) :].partition(ARMOR_END.encode())
    if not end:
        raise ValueError("its end is missing")
    return base64.b64decode(b"".join(body.split()), validate=True)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replace a file in one step; it is never there half written or with a wider mode. Raises SecretError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise SecretError(f"{path}: can't be written: {error.strerror}") from None
