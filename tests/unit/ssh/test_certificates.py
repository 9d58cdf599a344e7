"""Certificates of hosts and users, made by ssh-keygen and shown by a real OpenSSH server."""

from __future__ import annotations

import base64
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakit.errors import HostKeyError, LoginError
from hakit.ssh import Connector, Options, Target
from hakit.ssh.certificate import parse
from tests.unit.ssh.sshd import Sshd, hakit, keygen, running

if TYPE_CHECKING:
    from collections.abc import Iterator

ALWAYS = "always:forever"


def sign(authority: Path, public: Path, *options: str) -> Path:
    """The certificate for a public key, beside it."""
    subprocess.run(["ssh-keygen", "-q", "-s", str(authority), "-I", "the id", *options, str(public)], check=True)
    return public.with_name(public.name.removesuffix(".pub") + "-cert.pub")


def certify(authority: Path, sshd_folder: Path, kind: str, principals: str, validity: str, *more: str) -> Path:
    names = ["-n", principals] if principals else []
    return sign(authority, sshd_folder / f"host_{kind}.pub", "-h", "-V", validity, *names, *more)


@contextmanager
def certified(
    folder: Path,
    authority: Path,
    kind: str = "ed25519",
    principals: str = "127.0.0.1",
    validity: str = ALWAYS,
    *more: str,
) -> Iterator[Sshd]:
    folder.mkdir()
    keygen(folder / f"host_{kind}", kind)
    certificate = certify(authority, folder, kind, principals, validity, *more)
    with running(folder, (kind,), HostCertificate=str(certificate)) as server:
        yield server


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keygen(tmp_path_factory.mktemp("authority") / "ca")


def public(key: Path) -> str:
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


def options(server: Sshd, tmp_path: Path, *lines: str) -> Options:
    known = tmp_path / "known"
    known.write_text("".join(f"{line}\n" for line in lines))
    return Options(known_hosts=(known,), identity_files=(server.client_key,))


def reaches(options: Options, server: Sshd) -> bool:
    with Connector(options) as connector:
        return connector.connect(Target("web1", "127.0.0.1", port=server.port)).alive


def refusal(options: Options, server: Sshd) -> HostKeyError:
    with Connector(options) as connector, pytest.raises(HostKeyError) as caught:
        connector.connect(Target("web1", "127.0.0.1", port=server.port))
    return caught.value


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("authority_kind", ["ed25519", "ecdsa", "rsa"])
def test_a_certificate_of_an_authority_proves_the_host(tmp_path: Path, kind: str, authority_kind: str) -> None:
    authority = keygen(tmp_path / "ca", authority_kind)
    with certified(tmp_path / "sshd", authority, kind) as server:
        assert reaches(options(server, tmp_path, f"@cert-authority * {public(authority)}"), server)


@pytest.mark.parametrize("pattern", ["127.0.0.*", "[127.0.0.1]:*", "!10.*,*", "127.0.0.1"])
def test_an_authority_speaks_for_the_hosts_of_its_pattern(tmp_path: Path, authority: Path, pattern: str) -> None:
    with certified(tmp_path / "sshd", authority) as server:
        assert reaches(options(server, tmp_path, f"@cert-authority {pattern} {public(authority)}"), server)


@pytest.mark.parametrize("principals", ["", "127.0.0.?", "other,127.0.0.1"])
def test_principals_are_patterns_and_none_means_any(tmp_path: Path, authority: Path, principals: str) -> None:
    with certified(tmp_path / "sshd", authority, principals=principals) as server:
        assert reaches(options(server, tmp_path, f"@cert-authority * {public(authority)}"), server)


@pytest.mark.parametrize(
    ("principals", "validity", "more", "reason"),
    [
        ("other,web9", ALWAYS, (), "it speaks for other, web9, not for 127.0.0.1"),
        ("127.0.0.1", "20200101:20200102", (), "it ended 2020-01-0"),
        ("127.0.0.1", "20400101:20400102", (), "it holds only from 20"),
        (
            "127.0.0.1",
            ALWAYS,
            ("-O", "critical:secret-handshake=yes"),
            "critical options that hakit does not know: secret-",
        ),
    ],
)
def test_a_certificate_that_does_not_hold_is_refused(
    tmp_path: Path, authority: Path, *, principals: str, validity: str, more: tuple[str, ...], reason: str
) -> None:
    with certified(tmp_path / "sshd", authority, "ed25519", principals, validity, *more) as server:
        error = refusal(options(server, tmp_path, f"@cert-authority * {public(authority)}"), server)
        assert "the host key is unknown" in error.message
        assert f"Its certificate by the authority of {tmp_path}/known:1 does not count: " in (error.why or "")
        assert reason in (error.why or "")
        plain = f"[127.0.0.1]:{server.port} {server.public('ed25519')}"
        assert reaches(options(server, tmp_path, f"@cert-authority * {public(authority)}", plain), server)


def test_a_certificate_of_a_stranger_is_refused(tmp_path: Path, authority: Path) -> None:
    with certified(tmp_path / "sshd", keygen(tmp_path / "stranger")) as server:
        error = refusal(options(server, tmp_path, f"@cert-authority * {public(authority)}"), server)
    assert "no authority for it here" in (error.why or "")


def test_an_authority_of_other_hosts_does_not_count(tmp_path: Path, authority: Path) -> None:
    with certified(tmp_path / "sshd", authority) as server:
        error = refusal(options(server, tmp_path, f"@cert-authority 10.* {public(authority)}"), server)
    assert "No known_hosts file has a key" in (error.why or "")


def test_a_host_without_a_certificate_is_refused_where_one_is_expected(tmp_path: Path, authority: Path) -> None:
    with running(tmp_path / "sshd", ("ed25519",)) as server:
        error = refusal(options(server, tmp_path, f"@cert-authority * {public(authority)}"), server)
    assert "It shows no certificate" in (error.why or "")


@pytest.mark.parametrize("revoked", ["authority", "host"])
def test_revocation_overrules_a_certificate(tmp_path: Path, authority: Path, revoked: str) -> None:
    with certified(tmp_path / "sshd", authority) as server:
        gone = public(authority) if revoked == "authority" else server.public("ed25519")
        plain = f"[127.0.0.1]:{server.port} {server.public('ed25519')}"
        lines = (f"@cert-authority * {public(authority)}", plain, f"@revoked * {gone}")
        error = refusal(options(server, tmp_path, *lines), server)
    assert f"THE {'CERTIFICATE AUTHORITY' if revoked == 'authority' else 'HOST KEY'} IS REVOKED" in error.message
    assert f"{tmp_path}/known:3" in (error.why or "")


def test_a_users_certificate_proves_no_host(tmp_path: Path, authority: Path) -> None:
    key = keygen(tmp_path / "key")
    certificate = sign(authority, Path(f"{key}.pub"), "-n", "127.0.0.1")
    blob = blob_of(certificate)
    assert parse(blob).problem("127.0.0.1") == "it is a user's certificate, not a host's"


def blob_of(file: Path) -> bytes:
    return base64.b64decode(file.read_text().split()[1])


@pytest.fixture(scope="module")
def host_blob(tmp_path_factory: pytest.TempPathFactory, authority: Path) -> bytes:
    key = keygen(tmp_path_factory.mktemp("blob") / "key")
    return blob_of(sign(authority, Path(f"{key}.pub"), "-h", "-n", "web1"))


def test_a_changed_certificate_never_holds(host_blob: bytes) -> None:
    assert parse(host_blob).problem("web1") is None
    held = [
        (place, bit)
        for place in range(len(host_blob))
        for bit in range(8)
        if holds(host_blob[:place] + bytes([host_blob[place] ^ 1 << bit]) + host_blob[place + 1 :])
    ]
    assert held == []


def holds(blob: bytes) -> bool:
    try:
        return parse(blob).problem("web1") is None
    except ValueError:
        return False


@given(blob=st.binary(max_size=300))
def test_nonsense_is_a_value_error(blob: bytes) -> None:
    with pytest.raises(ValueError, match="certificate"):
        parse(blob)


@given(data=st.data())
def test_a_certificate_that_is_cut_off_is_a_value_error(host_blob: bytes, data: st.DataObject) -> None:
    with pytest.raises(ValueError, match="certificate"):
        parse(host_blob[: data.draw(st.integers(0, len(host_blob) - 1))])


@pytest.fixture
def user_server(tmp_path: Path, authority: Path) -> Iterator[Sshd]:
    with running(tmp_path / "sshd", ("ed25519",), TrustedUserCAKeys=f"{authority}.pub") as server:
        yield server


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
@pytest.mark.parametrize("beside", [True, False])
def test_a_users_certificate_lets_us_in(
    user_server: Sshd, authority: Path, tmp_path: Path, kind: str, *, beside: bool
) -> None:
    key = keygen(tmp_path / "key", kind)
    certificate = sign(authority, Path(f"{key}.pub"), "-n", "root")
    config = tmp_path / "config"
    if not beside:
        shutil.move(certificate, tmp_path / "elsewhere")
        config.write_text(f"CertificateFile {tmp_path}/elsewhere\n")
    found = Options(known_hosts=(user_server.known_hosts,), identity_files=(key,), config=config)
    assert reaches(found, user_server)
    assert "CERT" in user_server.log()


def test_the_key_alone_is_tried_when_its_certificate_is_not_taken(
    user_server: Sshd, authority: Path, tmp_path: Path
) -> None:
    key = keygen(tmp_path / "key")
    sign(authority, Path(f"{key}.pub"), "-n", "root", "-V", "20200101:20200102")
    found = Options(known_hosts=(user_server.known_hosts,), identity_files=(key,))
    with pytest.raises(LoginError) as caught:
        reaches(found, user_server)
    assert f"{key} with its certificate (which ended 2020-01-0" in (caught.value.why or "")
    user_server.authorize(key)
    assert reaches(found, user_server)


def test_a_certificate_of_another_key_is_not_offered(user_server: Sshd, authority: Path, tmp_path: Path) -> None:
    other = keygen(tmp_path / "other")
    config = tmp_path / "config"
    config.write_text(f"CertificateFile {sign(authority, Path(f'{other}.pub'), '-n', 'root')}\n")
    found = Options(known_hosts=(user_server.known_hosts,), identity_files=(user_server.client_key,), config=config)
    assert reaches(found, user_server)
    assert "CERT" not in user_server.log()


def test_trust_knows_a_host_by_its_certificate(
    tmp_path: Path, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/known_hosts").write_text(f"@cert-authority 127.* {public(authority)}\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with certified(tmp_path / "sshd", authority) as server:
        text = f"all: {{hosts: {{web1: {{ansible_host: 127.0.0.1, ansible_port: {server.port}}}}}}}\n"
        (tmp_path / "hosts.yml").write_text(text)
        done = hakit("trust", "-i", str(tmp_path / "hosts.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "known" in done.stdout
    assert not (tmp_path / ".hakit").exists()


def test_pinned_lines_of_the_whole_site_are_kept(tmp_path: Path, authority: Path) -> None:
    with certified(tmp_path / "sshd", authority) as server:
        found = options(server, tmp_path)
        pinned = tmp_path / "pinned"
        pinned.write_text(f"@cert-authority * {public(authority)}\n")
        assert reaches(replace(found, pinned=pinned), server)
