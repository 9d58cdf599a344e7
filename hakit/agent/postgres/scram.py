"""SCRAM-SHA-256 verifiers: what the server keeps of a password, made here so that it never gets the password itself.

Sources: RFC 5802 and RFC 7677; RFC 4013 for SASLprep; PostgreSQL documentation, catalog `pg_authid`, for the form
`SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, and "SASL Authentication" for what it does with a password
that SASLprep refuses (it is taken as it is).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

ITERATIONS = 4096
"""The server's own number (SCRAM_SHA_256_DEFAULT_ITERATIONS, RFC 7677's least)."""
MOST = 1_000_000
"""Iterations of a verifier that is computed anew at each plan (half a second); one with more does not fit."""
SALT = 16  # bytes, as the server makes it
FORM = r"SCRAM-SHA-256\$([0-9]{1,10}):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)"


def verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """The verifier of a password, with a salt of its own unless one is given."""
    import binascii
    import hashlib
    import hmac

    salt = os.urandom(SALT) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", _prepared(password), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    words = [binascii.b2a_base64(part, newline=False).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{words[0]}${words[1]}:{words[2]}"


def fits(kept: str, password: str) -> bool:
    """Whether what the server keeps is a SCRAM verifier of this password."""
    import binascii
    import hmac
    import re

    found = re.fullmatch(FORM, kept)
    if found is None or not 0 < int(found[1]) <= MOST:
        return False
    try:
        salt = binascii.a2b_base64(found[2])
    except ValueError:
        return False
    return hmac.compare_digest(verifier(password, salt, int(found[1])), kept)


def hide(text: str) -> str:
    """A text without the verifiers in it."""
    if "SCRAM-SHA-256$" not in text:
        return text
    import re

    return re.sub(r"SCRAM-SHA-256\$[0-9A-Za-z+/=:$]*", "(verifier)", text)


def _prepared(password: str) -> bytes:
    """The octets that are hashed: after SASLprep where that is more than the password and can be done."""
    if password.isascii():
        return password.encode("ascii")
    return (_saslprep(password) or password).encode("utf-8", "surrogatepass")


def _saslprep(text: str) -> str | None:
    """RFC 4013's preparation as the server and its clients do it; None for what it prohibits.

    They judge the text before it is normalised, the RFC the one after: where that differs, theirs is what counts.
    """
    import stringprep
    import unicodedata

    mapped = "".join(" " if stringprep.in_table_c12(one) else one for one in text if not stringprep.in_table_b1(one))
    if not mapped or any(_prohibited(one, stringprep) for one in mapped):
        return None
    if any(map(stringprep.in_table_d1, mapped)):
        ends = stringprep.in_table_d1(mapped[0]) and stringprep.in_table_d1(mapped[-1])
        if not ends or any(map(stringprep.in_table_d2, mapped)):
            return None
    return unicodedata.normalize("NFKC", mapped)


def _prohibited(one: str, tables: ModuleType) -> bool:
    """RFC 4013, sections 2.3 and 2.5; the spaces of C.1.2 were mapped before."""
    names = ("a1", "c21_c22", "c3", "c4", "c5", "c6", "c7", "c8", "c9")
    return any(getattr(tables, f"in_table_{name}")(one) for name in names)
