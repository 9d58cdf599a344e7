"""Planted secrets: after everything that can happen, none of them is anywhere but in the files meant to hold them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml

from tests.lab.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import LabFactory, LabHandle

VALUES = {
    "vrrp": "Zq7vRpX2",
    "stats": "planted-stats-5521",
    "hash": "$6$plantedsalt$T0yQn1yGvQb6Tq0cYpVf5b4bB1rj0oS4hJm3pW8sXk7uLd9eRfGzAaBbCcDdEeFfGgHhIiJjKkLlMmNnOoPp/",
    "file": "planted-file-9931",
    "journal": "planted-journal-7710",
}
ROTATED = {"stats": "rotated-stats-5522", "file": "rotated-file-9932", "vrrp": "Yw6uQoW1"}
SITE: dict[str, Any] = {
    "all": {
        "vars": {
            "hakit": {
                "lab": {"driver": "nspawn", "network": "10.79.0.0/24"},
                "keepalived": {
                    "instances": {
                        "web": {
                            "interface": "eth0",
                            "virtual_router_id": 51,
                            "addresses": ["10.79.0.100/24"],
                            "track": ["haproxy"],
                            "version": 2,
                            "advert_interval": "1s",
                            "prefer": "lb1",
                            "auth": {"secret": "vrrp"},
                        }
                    }
                },
                "haproxy": {
                    "frontends": {"web": {"bind": ["10.79.0.100:80"], "backend": "web"}},
                    "backends": {"web": {"servers": {"a": {"address": "10.79.0.11", "port": 8080}}}},
                    "stats": {"user": "admin", "password": {"secret": "stats"}},
                },
                "system": {
                    "users": {"demo": {"password_hash": {"secret": "hash"}}},
                    "files": {"/etc/demo.secret": {"content": {"secret": "file"}}},
                },
            }
        },
        "hosts": {"lb1": {"ansible_host": "10.79.0.11"}, "lb2": {"ansible_host": "10.79.0.12"}},
    }
}
# Every file that holds one of the words, with its mode; kernel's own and what can't be a file of ours left out.
HOLDERS = r"""
cat > /dev/shm/words
grep -rlaF -f /dev/shm/words /etc /home /opt /root /run /srv /tmp /usr/local /var 2>/dev/null | xargs -r stat -c '%a %n'
journalctl -q --no-pager -o cat -a | grep -aF -f /dev/shm/words | sed 's/^/journal /'
rm /dev/shm/words
"""


BEGAN = "/run/slow-began"


class Watch:
    """Reads arguments and environment of every process of this machine, those in containers too, again and again."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = [word.encode() for word in words]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.rounds = 0
        self.seen: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            self.rounds += 1
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    self._look(process / name)

    def _look(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError:
            return
        if any(word in data for word in self._words):
            self.seen.add(f"{path}: {data[:200]!r}")


class Scene:
    """A site with planted secrets, and everything that hakit has said of it."""

    def __init__(self, lab: LabHandle) -> None:
        self.lab = lab
        self.site = yaml.safe_load(yaml.safe_dump(SITE))
        self.said = ""

    @property
    def system(self) -> dict[str, Any]:
        found: dict[str, Any] = self.site["all"]["vars"]["hakit"]["system"]
        return found

    def write(self) -> None:
        (self.lab.inventory / "hosts.yml").write_text(yaml.safe_dump(self.site, sort_keys=False), encoding="utf-8")

    def hakit(self, *arguments: str, exit_code: int | None = 0, **popen: Any) -> str:
        done = self.lab.hakit(*arguments, env=self.environment, **popen)
        self.said += done.stdout + done.stderr
        assert exit_code is None or done.returncode == exit_code, done.stdout + done.stderr
        return done.stdout + done.stderr

    @property
    def environment(self) -> dict[str, str]:
        return {"HAKIT_AGE_IDENTITY": str(self.lab.inventory / "identity.txt")}

    def begun(self) -> bool:
        return self.lab.lab.exec("lb1", ["test", "-e", BEGAN]).returncode == 0

    def plant(self, values: dict[str, str]) -> None:
        for name, value in values.items():
            self.hakit("secret", "set", name, input=value)


@pytest.fixture(scope="module")
def scene(lab_factory: LabFactory) -> Iterator[Scene]:
    bare = yaml.safe_load(yaml.safe_dump(SITE))
    for name in ("keepalived", "haproxy", "system"):
        del bare["all"]["vars"]["hakit"][name]
    one = Scene(lab_factory(yaml.safe_dump(bare)))
    one.hakit("secret", "init")
    one.plant(VALUES)
    one.write()
    with Watch((*VALUES.values(), *ROTATED.values())) as watch:
        yield one
    assert watch.rounds > 10
    assert watch.seen == set()


@pytest.fixture
def checked(scene: Scene) -> Iterator[Scene]:
    """The scene; afterwards no value was said, recorded or left where others may read it."""
    yield scene
    words = (*VALUES.values(), *ROTATED.values())
    assert [word for word in words if word in scene.said] == []
    for path in records_of(scene):
        text = path.read_bytes()
        assert [word for word in words if word.encode() in text] == [], path
    for host in ("lb1", "lb2"):
        found = scene.lab.lab.exec(host, ["sh", "-c", HOLDERS], input="\n".join(words) + "\n").stdout.splitlines()
        assert [line for line in found if not is_closed(line)] == []


def records_of(scene: Scene) -> list[Path]:
    logs = [path for path in Path("/tmp").glob("hakit-*.log") if path.is_file()]  # noqa: S108 - where hakit's own bugs go
    return [*records_of_runs(scene), *logs]


def records_of_runs(scene: Scene) -> list[Path]:
    return [path for path in scene.lab.inventory.rglob("*") if path.is_file() and ".age" not in path.name]


def is_closed(line: str) -> bool:
    """Whether a line of `HOLDERS` names a file that only root, or root's group, may read."""
    mode, _, path = line.partition(" ")
    return mode.isdigit() and int(mode, 8) & 0o027 == 0 and not path.startswith("/tmp/")  # noqa: S108 - must not be there


def test_the_first_apply_with_everything_shown(checked: Scene) -> None:
    checked.hakit("plan", "-vv")
    checked.hakit("apply", "--yes", "-vv")
    said = checked.lab.lab.exec("lb1", ["cat", "/etc/demo.secret"]).stdout
    assert said == VALUES["file"]
    assert VALUES["vrrp"] in checked.lab.lab.exec("lb1", ["cat", "/etc/keepalived/keepalived.conf"]).stdout


def test_every_way_to_look(checked: Scene, tmp_path: Path) -> None:
    checked.hakit("render", "-o", str(tmp_path / "out"))
    rendered = "".join(path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file())
    checked.said += rendered
    assert "<secret:stats>" in rendered
    checked.hakit("inventory")
    checked.hakit("inventory", "--host", "lb1")
    checked.hakit("lint", "--json")
    checked.hakit("plan", "--json")
    checked.hakit("apply", "--yes", "--json", "-vv")
    checked.hakit("secret", "list")
    checked.hakit("status", "--json", exit_code=None)


def test_a_configuration_that_is_rejected(checked: Scene) -> None:
    haproxy = checked.site["all"]["vars"]["hakit"]["haproxy"]
    haproxy["extra"] = ["no-such-keyword 1"]
    checked.system["files"]["/etc/demo.secret"]["validate_with"] = ["/bin/sh", "-c", "cat $0; exit 1", "{}"]
    checked.plant({"file": ROTATED["file"]})
    checked.write()
    said = checked.hakit("apply", "--yes", "-vv", exit_code=1)
    assert "<secret:file>" in said
    del haproxy["extra"], checked.system["files"]["/etc/demo.secret"]["validate_with"]
    checked.write()


def test_rotation_with_diffs(checked: Scene) -> None:
    checked.plant(ROTATED)
    plan = checked.hakit("plan", "-vv")
    assert "a secret in it changes" in plan
    checked.hakit("apply", "--yes", "-vv")
    assert checked.lab.lab.exec("lb1", ["cat", "/etc/demo.secret"]).stdout == ROTATED["file"]


def test_a_daemon_that_prints_a_secret_and_dies(scene: Scene) -> None:
    """Its journal holds what it printed: that is its own doing, and is not shown further."""
    scene.system["files"]["/etc/demo.journal"] = {"content": {"secret": "journal"}, "restart": ["talker.service"]}
    unit = "[Service]\nType=exec\nExecStart=/bin/sh -c 'cat /etc/demo.journal; exit 3'\n"
    scene.system["files"]["/etc/systemd/system/talker.service"] = {"content": unit}
    scene.system["units"] = {"talker.service": {"enabled": None}}
    scene.write()
    said = scene.hakit("apply", "--yes", "-vv", exit_code=1)
    assert "talker.service" in said
    for name in ("/etc/demo.journal", "/etc/systemd/system/talker.service"):
        del scene.system["files"][name]
    del scene.system["units"]
    scene.write()
    scene.hakit("apply", "--yes")
    assert VALUES["journal"] not in scene.said
    for path in records_of_runs(scene):
        assert VALUES["journal"].encode() not in path.read_bytes(), path
    for host in ("lb1", "lb2"):
        scene.lab.lab.exec(host, ["sh", "-c", "journalctl --rotate; journalctl --vacuum-time=1s"])


def test_a_controller_that_is_killed(checked: Scene, tmp_path: Path) -> None:
    checked.system["files"]["/etc/demo.secret"]["mode"] = "0640"
    command = ["/bin/sh", "-c", f"touch {BEGAN}; sleep 1; touch {BEGAN}.ended"]
    checked.system["commands"] = {"slow": {"run": command, "creates": f"{BEGAN}.ended"}}
    checked.write()
    names = {"HAKIT_INVENTORY": str(checked.lab.inventory), "PYTHONPATH": str(ROOT), **checked.environment}
    with (tmp_path / "said").open("w+") as said:
        words = [sys.executable, "-m", "hakit", "apply", "--yes", "-vv"]
        with subprocess.Popen(words, env={**os.environ, **names}, stdout=said, stderr=said) as process:
            checked.lab.eventually(checked.begun, "the slow step begins", 60)
            process.kill()
        said.seek(0)
        checked.said += said.read()
    assert process.returncode == -signal.SIGKILL
    checked.hakit("apply", "--yes")
    for host in ("lb1", "lb2"):
        assert checked.lab.lab.exec(host, ["stat", "-c", "%a", "/etc/demo.secret"]).stdout == "640\n"
