from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hakit.errors import ConnectError
from hakit.ssh.known_hosts import KnownHosts, PublicKey, lookup_names, pin

if TYPE_CHECKING:
    from pathlib import Path


def key(seed: str, kind: str = "ssh-ed25519") -> PublicKey:
    name = kind.encode()
    return PublicKey(kind, len(name).to_bytes(4, "big") + name + b"\0\0\0\x20" + seed.encode().ljust(32, b"."))


def text(one: PublicKey) -> str:
    return f"{one.type} {base64.b64encode(one.blob).decode()}"


A, B, RSA = key("a"), key("b"), key("r", "ssh-rsa")


def known(folder: Path, *files: str) -> KnownHosts:
    paths = []
    for number, content in enumerate(files):
        path = folder / f"known_hosts{number}"
        path.write_text(content)
        paths.append(path)
    return KnownHosts(paths)


@pytest.mark.parametrize(
    ("line", "host", "standing"),
    [
        (f"web1 {text(A)}", "web1", "known"),
        (f"web1 {text(A)} a comment here", "web1", "known"),
        (f"WEB1 {text(A)}", "web1", "known"),
        (f"web1,10.0.0.1 {text(A)}", "10.0.0.1", "known"),
        (f"web1 {text(B)}", "web1", "changed"),
        (f"web2 {text(A)}", "web1", "unknown"),
        (f"web1 {text(RSA)}", "web1", "unknown"),
        (f"*.example.org {text(A)}", "db.example.org", "known"),
        (f"*.example.org,!db.example.org {text(A)}", "db.example.org", "unknown"),
        (f"!db.example.org,*.example.org {text(B)}", "db.example.org", "unknown"),
        (f"web? {text(A)}", "web1", "known"),
        (f"web? {text(A)}", "web10", "unknown"),
        (f"web[12] {text(A)}", "web1", "unknown"),
        (f"@revoked web1 {text(A)}", "web1", "revoked"),
        (f"@revoked * {text(A)}\nweb1 {text(A)}", "web1", "revoked"),
        (f"@revoked * {text(B)}\nweb1 {text(A)}", "web1", "known"),
        (f"@cert-authority * {text(A)}", "web1", "unknown"),
        (f"@cert-authority *.org,*.net {text(B)}\nweb1 {text(A)}", "web1", "known"),
        (f"# web1 {text(A)}", "web1", "unknown"),
        (f"web1 {text(B)}\nweb1 {text(A)}", "web1", "known"),
        (f"web1 ssh-ed25519 not*base64\nweb1 {text(A)}", "web1", "known"),
        (f"web1 ssh-rsa {text(A).split()[1]}", "web1", "unknown"),
        (f"garbage\n\n  \nweb1 {text(A)}", "web1", "known"),
        ("|1|bad|hash ssh-ed25519 AAAA", "web1", "unknown"),
    ],
)
def test_lines_are_read_as_sshd_describes_them(tmp_path: Path, line: str, host: str, standing: str) -> None:
    assert known(tmp_path, line + "\n").check((host,), A).standing == standing


def test_the_place_of_a_changed_key_is_told(tmp_path: Path) -> None:
    verdict = known(tmp_path, f"# mine\nweb1 {text(B)}\n").check(("web1",), A)
    assert [entry.place for entry in verdict.entries] == [f"{tmp_path}/known_hosts0:2"]


def test_the_first_file_that_knows_a_type_decides(tmp_path: Path) -> None:
    files = known(tmp_path, f"web1 {text(A)}\n", f"web1 {text(B)}\nweb1 {text(RSA)}\n")
    assert files.check(("web1",), A).standing == "known"
    assert files.check(("web1",), B).standing == "changed"
    assert files.check(("web1",), RSA).standing == "known"
    assert files.types(("web1",)) == ("ssh-ed25519", "ssh-rsa")


def test_a_revocation_in_a_later_file_counts(tmp_path: Path) -> None:
    assert known(tmp_path, f"web1 {text(A)}\n", f"@revoked web1 {text(A)}\n").check(("web1",), A).standing == "revoked"


def test_a_port_has_its_own_name_and_falls_back_to_the_bare_one_only_when_it_fits(tmp_path: Path) -> None:
    names = lookup_names("Web1", 2222)
    assert names == ("[web1]:2222", "web1")
    assert known(tmp_path, f"[web1]:2222 {text(A)}\n").check(names, A).standing == "known"
    assert known(tmp_path, f"[web1]:2222 {text(B)}\nweb1 {text(A)}\n").check(names, A).standing == "changed"
    assert known(tmp_path, f"web1 {text(A)}\n").check(names, A).standing == "known"
    assert known(tmp_path, f"web1 {text(B)}\n").check(names, A).standing == "unknown"


def test_hostkeyalias_is_the_only_name() -> None:
    assert lookup_names("10.0.0.1", 2222, "db") == ("db",)


def test_names_hashed_by_openssh_are_found(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"web1 {text(A)}\n[web2]:2222 {text(B)}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    assert all(line.startswith("|1|") for line in path.read_text().splitlines())
    files = KnownHosts([path])
    assert files.check(("web1",), A).standing == "known"
    assert files.check(("[web2]:2222",), A).standing == "changed"
    assert files.check(("web3",), A).standing == "unknown"


def test_a_missing_file_knows_nobody_and_an_unreadable_one_is_an_error(tmp_path: Path) -> None:
    assert KnownHosts([tmp_path / "none"]).check(("web1",), A).standing == "unknown"
    with pytest.raises(ConnectError, match="can't be read"):
        KnownHosts([tmp_path])


PATTERN = st.text("ab*?", min_size=1, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), PATTERN), min_size=1, max_size=3), st.text("ab", min_size=1, max_size=4))
def test_patterns_match_what_openssh_matches(tmp_path: Path, patterns: list[tuple[bool, str]], host: str) -> None:
    names = ",".join(("!" if negated else "") + pattern for negated, pattern in patterns)
    path = tmp_path / "known_hosts"
    path.write_text(f"{names} {text(A)}\n")
    theirs = (
        subprocess.run(["ssh-keygen", "-F", host, "-f", str(path)], check=False, capture_output=True).returncode == 0
    )
    assert (KnownHosts([path]).check((host,), A).standing == "known") is theirs


def test_pinning_adds_and_forgets_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "new" / "known_hosts"
    pin(path, [A.line("web1"), A.line("[web2]:2222")])
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    pin(path, [B.line("web1")], forget=["web1"])
    files = KnownHosts([path])
    assert files.check(("web1",), A).standing == "changed"
    assert files.check(("web1",), B).standing == "known"
    assert files.check(("[web2]:2222",), A).standing == "known"
    assert [entry.name for entry in path.parent.iterdir()] == ["known_hosts"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"web1,web2 {text(A)}", f"web2 {text(A)}"),
        (f"web1 {text(A)} comment", ""),
        (f"web1,!web3 {text(A)}", ""),
        (f"@revoked web1 {text(A)}", f"@revoked web1 {text(A)}"),
        ("# web1 was here", "# web1 was here"),
        (f"web* {text(A)}", f"web* {text(A)}"),
    ],
)
def test_forgetting_a_name_leaves_others_alone(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(before + "\n")
    pin(path, [], forget=["web1"])
    assert path.read_text() == (after + "\n" if after else "")


def test_pinning_through_a_planted_symlink_writes_elsewhere_never(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ".known_hosts.new").symlink_to(victim)
    pin(tmp_path / "known_hosts", [A.line("web1")])
    assert victim.read_text() == "precious"


def test_a_fingerprint_is_the_one_ssh_keygen_prints(tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    printed = subprocess.run(
        ["ssh-keygen", "-lf", str(path)], check=True, capture_output=True, text=True
    ).stdout.split()
    fields = (tmp_path / "key.pub").read_text().split()
    parsed = PublicKey.parse(fields[0], fields[1])
    assert parsed is not None
    assert (parsed.fingerprint, f"({parsed.kind})") == (printed[1], printed[-1])
