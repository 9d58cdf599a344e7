"""`scripts/debian-packages`, with stand-ins for what would change this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "debian-packages"
DPKG_QUERY = '#!/bin/sh\nfor last; do :; done\n[ "$last" = present ] && printf installed || exit 1\n'
SUDO = """#!/bin/sh
echo "$*" >>"$(dirname "$0")/asked"
case "$*" in *apt-get*) echo noise of apt ;; esac
case "$*" in *"$FAILING"*) echo E: no such package >&2; exit 100 ;; esac
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name, text in {"dpkg-query": DPKG_QUERY, "our-sudo": SUDO}.items():
        (tmp_path / name).write_text(text, encoding="ascii")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def install(
    programs: Path, *packages: str, sudo: str = "our-sudo", failing: str = "nothing of the kind"
) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "SUDO": sudo,
        "FAILING": failing,
        "TMPDIR": str(programs),
        "POLICY_RC_D": str(programs / "policy"),
    }
    command = [str(SCRIPT), *packages]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)


def asked(programs: Path) -> str:
    path = programs / "asked"
    return path.read_text(encoding="ascii") if path.exists() else ""


def left_behind(programs: Path) -> set[str]:
    return {path.name for path in programs.iterdir()} - {"dpkg-query", "our-sudo", "asked"}


def test_what_is_there_needs_nothing(programs: Path) -> None:
    done = install(programs, "present")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert asked(programs) == ""


def test_only_what_is_missing_is_named_and_installed_without_apts_noise(programs: Path) -> None:
    done = install(programs, "present", "first", "second")
    assert (done.returncode, done.stdout) == (0, "Installing Debian packages: first second (through our-sudo)\n")
    update, *_, last = (line for line in asked(programs).splitlines() if "apt-get" in line)
    assert update.endswith(" update")
    assert last.endswith(" install -y --no-install-recommends first second")
    assert left_behind(programs) == set()


def test_no_daemon_is_started_and_the_policy_goes_again(programs: Path) -> None:
    policy = programs / "policy"
    install(programs, "missing", failing=" install -y")
    *_, made, _, removed = asked(programs).splitlines()
    assert (made, removed) == (f"install -m 755 /dev/stdin {policy}", f"rm -f {policy}")


def test_the_machines_own_policy_stays(programs: Path) -> None:
    (programs / "policy").touch()
    install(programs, "missing")
    assert "policy" not in asked(programs)


def test_apts_own_words_are_shown_when_it_fails(programs: Path) -> None:
    done = install(programs, "missing", failing=" install -y")
    assert done.returncode == 1
    assert "E: no such package" in done.stderr
    assert done.stderr.endswith("apt-get install failed; its output is above.\n")
    assert left_behind(programs) == set()


def test_a_machine_without_sudo_is_told_what_root_should_do(programs: Path) -> None:
    done = install(programs, "missing", sudo="no-such-sudo")
    assert (done.returncode, asked(programs)) == (1, "")
    assert "As root:  apt-get install missing" in done.stderr


@pytest.mark.parametrize(("package", "expected"), [("postgresql", 2), ("postgresql-15", 2), ("haproxy", 0)])
def test_postgresql_comes_without_a_cluster_and_the_word_for_that_goes_again(
    programs: Path, package: str, expected: int
) -> None:
    for failing in ("nothing of the kind", " install -y"):
        (programs / "asked").unlink(missing_ok=True)
        install(programs, package, failing=failing)
        lines = asked(programs).splitlines()
        word = "/etc/postgresql-common/createcluster.d/hakit-packages.conf"
        assert sum(word in line for line in lines) == expected
        if expected:
            made, removed = f"install -D -m 644 /dev/stdin {word}", f"rm -f {word}"
            apt = next(n for n, line in enumerate(lines) if " install -y" in line)
            assert lines.index(made) < apt < lines.index(removed)
