from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hakit.cli import options
from hakit.components.postgresql.settings import Fence
from hakit.errors import RefusedError, UsageError
from hakit.postgres.layout import Layout, Synchrony, layout
from hakit.postgres.sessions import fence

DATABASE = Path(__file__).parents[3] / "inventories" / "database"


def with_fence(*command: str, timeout: str = "10s") -> Layout:
    declared = Fence.model_validate({"command": command, "timeout": timeout})
    return Layout("main", ("db1",), ("db1",), ("db1",), fences={"db1": declared})


def test_the_layout_is_the_inventorys() -> None:
    site, _ = options.load(DATABASE, need_secrets=False)
    found = layout(site, "main")
    assert found.members == found.voters == found.promotable == found.candidates == ("db1", "db2", "db3")
    assert found.synchrony == Synchrony(1, ("db1", "db2", "db3"))
    assert (found.maker, found.rate) == ("db1", 0)


def test_an_unknown_cluster_is_told_with_the_nearest() -> None:
    site, _ = options.load(DATABASE, need_secrets=False)
    with pytest.raises(UsageError, match="no PostgreSQL cluster mian") as caught:
        layout(site, "mian")
    assert caught.value.hint == "it has main"


def test_a_fence_command_gets_the_host_and_its_address(tmp_path: Path) -> None:
    target = tmp_path / "said"
    code = f"import sys; open({str(target)!r}, 'w').write(' '.join(sys.argv[1:]))"
    assert fence(with_fence(sys.executable, "-c", code, "{host}", "off={address}"), "db1", "10.0.0.1")
    assert target.read_text() == "db1 off=10.0.0.1"


def test_no_fence_command_is_no_fence() -> None:
    assert not fence(Layout("main", ("db1",), ("db1",), ("db1",)), "db1", "10.0.0.1")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((sys.executable, "-c", "print('no such outlet'); raise SystemExit(3)"), "failed with exit 3"),
        (("/nowhere/fence",), "can't be run: No such file or directory: /nowhere/fence"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "did not end within 0.2 s"),
    ],
)
def test_a_fence_command_that_fails_is_no_fence(command: tuple[str, ...], said: str) -> None:
    with pytest.raises(RefusedError, match="the fence command of db1") as caught:
        fence(with_fence(*command, timeout="200ms" if "time.sleep" in command[-1] else "10s"), "db1", "10.0.0.1")
    assert said in caught.value.message
    assert "--fenced db1" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("switchover", "mian"), "no PostgreSQL cluster mian (did you mean main?)"),
        (("status", "mian"), "no PostgreSQL cluster mian (did you mean main?)"),
        (("psql", "mian"), "no PostgreSQL cluster mian (did you mean main?)"),
        (("switchover", "main", "--to", "bd1"), "bd1 is no member of main (did you mean db1?)"),
        (("failover", "main", "--to", "bd1"), "bd1 is no member of main (did you mean db1?)"),
        (("failover", "main", "--fenced", "db1", "--fenced", "lb1"), "lb1 is no member of main"),
        (("rejoin", "main", "bd1"), "bd1 is no member of main (did you mean db1?)"),
        (("reinit", "main", "bd1", "--confirm", "bd1"), "bd1 is no member of main (did you mean db1?)"),
        (("psql", "main", "--host", "bd1"), "bd1 is no member of main (did you mean db1?)"),
        (("reinit", "main", "db1"), "was not confirmed; nothing was changed"),
        (("psql", "main", "--host", "db1", "--replica"), "contradict each other"),
    ],
)
def test_a_wrong_command_line_is_told_whether_a_lab_is_up_or_not(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    inventory = shutil.copytree(DATABASE, tmp_path / "site", ignore=shutil.ignore_patterns(".hakit"))
    done = subprocess.run(
        [sys.executable, "-m", "hakit", "postgres", *words, "-i", str(inventory)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
