from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hakit.agent.postgres import scram
from hakit.agent.postgres.quoting import literal

if TYPE_CHECKING:
    from tests.unit.agent.postgres.servers import Server

PASSWORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40)


def test_the_salt_is_of_its_own_each_time() -> None:
    assert scram.verifier("pencil") != scram.verifier("pencil")


def test_the_example_of_rfc_7677_gives_the_proofs_that_it_states() -> None:
    made = scram.verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    found = re.fullmatch(scram.FORM, made)
    assert found is not None
    nonces = "rOprNGfwEbeRWgbNEkqO", "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    message = f"n=user,r={nonces[0]},r={nonces[1]},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={nonces[1]}".encode()
    stored, server = (base64.b64decode(found[number]) for number in (3, 4))
    assert base64.b64encode(hmac.digest(server, message, "sha256")) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    signature = hmac.digest(stored, message, "sha256")
    key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
    assert hashlib.sha256(key).digest() == stored


@settings(max_examples=100, deadline=None)
@given(PASSWORDS, PASSWORDS)
def test_a_verifier_fits_its_password_alone(password: str, other: str) -> None:
    made = scram.verifier(password, iterations=2)
    assert scram.fits(made, password)
    assert scram.fits(made, other) == (scram._prepared(other) == scram._prepared(password))


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "md5" + "0" * 32,
        "secret",
        "SCRAM-SHA-256$0:c2FsdA==$YQ==:YQ==",
        "SCRAM-SHA-256$4096:c$YQ==:YQ==",
        "SCRAM-SHA-256$9999999999:c2FsdA==$YQ==:YQ==",
        "SCRAM-SHA-256$4096:c2FsdA==$YQ==",
    ],
)
def test_what_is_no_verifier_fits_nothing(kept: str) -> None:
    assert not scram.fits(kept, "secret")


def test_a_verifier_with_another_number_of_iterations_is_kept() -> None:
    assert scram.fits(scram.verifier("secret", iterations=10), "secret")


@example("ᵃ\xad")  # NFKC changes it, and a soft hyphen goes
@example("\xa0 \u2003")  # other spaces become the common one
@example("\xad")  # nothing is left: taken as it is
@example("\u0627\u0031")  # right to left, ends otherwise: taken as it is
@example("\u0627\u0031\u0628")
@example("\u0221")  # unassigned in Unicode 3.2
@example("a\u0007ö")  # a control character, and no plain ASCII
@example("\ue000")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PASSWORDS)
def test_what_the_server_makes_of_a_password_fits_it(shared: tuple[Server, Server], password: str) -> None:
    primary = shared[0]
    with primary.connect() as connection:
        made = connection.query(
            f"CREATE ROLE scram PASSWORD {literal(password)}; "  # noqa: S608 - quoted
            "SELECT rolpassword FROM pg_authid WHERE rolname = 'scram'; DROP ROLE scram"
        )[0][0]
    assert made is not None
    assert scram.fits(made, password)


def test_verifiers_are_hidden_in_what_is_told() -> None:
    made = scram.verifier("secret")
    told = scram.hide(f"ALTER ROLE x PASSWORD '{made}'; -- and '{made}'")
    assert told == "ALTER ROLE x PASSWORD '(verifier)'; -- and '(verifier)'"
    assert scram.hide("nothing in it") == "nothing in it"
