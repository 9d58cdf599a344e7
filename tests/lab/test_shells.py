"""Login shells, their files, and the locale: none of them is in hakit's way, or it says what is."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import pytest

from tests.lab.logins import on, with_own_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.conftest import LabFactory, LabHandle

INVENTORY = """
all:
  vars:
    hakit:
      lab: {driver: nspawn, network: 10.77.0.0/24}
  hosts:
    odd: {ansible_host: 10.77.0.11, hakit: {system: {sysctl: {net.core.somaxconn: 512}}}}
"""


@pytest.fixture(scope="module")
def lab(lab_factory: LabFactory) -> LabHandle:
    return with_own_test(lab_factory(INVENTORY))


@pytest.fixture
def root_shell(lab: LabHandle) -> Iterator[Callable[[str], str]]:
    """Runs scripts on a host whose root has a login shell to try; afterwards root has its own again."""
    on(lab, "odd", "cp -a /root/.bashrc /run/bashrc; grep ^root: /etc/passwd > /run/root")
    yield lambda script: on(lab, "odd", script)
    on(lab, "odd", "cp -a /run/bashrc /root/.bashrc; rm -f /root/.zshenv /root/.cshrc; usermod -s /bin/bash root")
    on(lab, "odd", "rm -f /etc/default/locale.hakit; sed -i /hakit/d /etc/environment")


@pytest.mark.parametrize(
    "bashrc",
    [
        "echo Welcome; echo Welcome >&2",
        "printf 'no end of line'",
        "head -c 60000 /dev/urandom",
        "sleep 2",
        "set -x; export PS4='+ noise '",
        "umask 077",
        "export LC_ALL=tr_TR.UTF-8 LANG=de_DE.UTF-8 PYTHONPATH=/nowhere PYTHONIOENCODING=latin-1 PATH=/bin",
        "alias python3=false sudo=false; cd /tmp; exec 3>/dev/null",
        "exec 2>&1",
    ],
)
def test_a_bashrc_is_listened_past(lab: LabHandle, root_shell: Callable[[str], str], bashrc: str) -> None:
    root_shell(f"printf '%s\\n' {shlex.quote(bashrc)} > /root/.bashrc")
    done = lab.hakit("apply", "--limit", "odd", "--yes")
    assert done.returncode == 0, done
    assert root_shell("stat -c %a /etc/sysctl.d/*hakit*") == "644"
    assert lab.hakit("verify", "--limit", "odd").returncode == 0
    root_shell("rm -f /etc/sysctl.d/*hakit*")


def test_a_bashrc_that_hangs_is_given_up_in_time(lab: LabHandle, root_shell: Callable[[str], str]) -> None:
    root_shell("echo 'echo waiting for the file server >&2; sleep 600' > /root/.bashrc")
    began = time.monotonic()
    done = lab.hakit("plan", "--limit", "odd")
    assert time.monotonic() - began < 45
    assert done.returncode == 1
    assert "the agent did not start within 30 s: waiting for the file server" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("shell", "package"), [("zsh", "zsh"), ("fish", "fish"), ("tcsh", "tcsh"), ("dash", "dash"), ("ksh93", "ksh")]
)
def test_any_login_shell_will_do(lab: LabHandle, root_shell: Callable[[str], str], shell: str, package: str) -> None:
    root_shell(f"apt-get -qy install --no-install-recommends {package}; usermod -s $(command -v {shell}) root")
    for command in ("plan", "verify", "bootstrap"):
        done = lab.hakit(command, "--limit", "odd")
        assert done.returncode == 0, (command, done)


@pytest.mark.parametrize(
    ("shell", "message"),
    [("/usr/sbin/nologin", "the login has no shell"), ("/bin/rbash", "the login's shell is restricted")],
)
def test_a_shell_that_is_none_is_named(
    lab: LabHandle, root_shell: Callable[[str], str], shell: str, message: str
) -> None:
    root_shell(f"usermod -s {shell} root")
    done = lab.hakit("plan", "--limit", "odd")
    assert done.returncode == 1
    assert message in done.stdout + done.stderr
