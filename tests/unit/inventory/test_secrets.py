"""Secrets mask themselves, come from the right source, and lie encrypted beside the inventory."""

from __future__ import annotations

import json
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hakit.cli import options
from hakit.cli.secret import secret as command
from hakit.errors import HakitError, InventoryError, SecretError
from hakit.inventory import load
from hakit.inventory.secrets import Secret, Secrets, is_name
from hakit.inventory.store import ARMOR_BEGIN, Store, format_secrets, make_identity, parse_secrets
from tests.unit.inventory.conftest import SCHEMAS, Balancer

if TYPE_CHECKING:
    from collections.abc import Callable

USING = "all: {hosts: {h: {hakit: {balancer: {password: {secret: pw}}}}}}\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user of its own, so that no test sees a real identity."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(options, "components", lambda: {"balancer": SimpleNamespace(Settings=Balancer)})
    for name in ("XDG_CONFIG_HOME", "HAKIT_AGE_IDENTITY", "VISUAL", "EDITOR", "HAKIT_SECRET_PW"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "hosts.yml").write_text(USING)
    return folder


def run(inventory: Path, *arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(command, [*arguments, "-i", str(inventory)], input=text)


def good(inventory: Path, *arguments: str, text: str = "") -> str:
    result = run(inventory, *arguments, text=text)
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


def bad(inventory: Path, *arguments: str, text: str = "") -> str:
    result = run(inventory, *arguments, text=text)
    assert isinstance(result.exception, HakitError), result.output
    return result.exception.text()


def test_a_secret_masks_itself_everywhere() -> None:
    secret = Secret("pw", Secrets())
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>20}", "%s" % secret, json.dumps({"x": str(secret)})]  # noqa: UP031 - one way more to print it
    assert all("<secret:pw>" in text for text in shown)
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_settings_hold_secrets_by_name(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAKIT_SECRET_PW", "hunter2")
    site = load(inventory, SCHEMAS)
    model = site.hosts["h"].settings["balancer"]
    assert "hunter2" not in repr(model) + repr(site) + model.model_dump_json()
    assert model.model_dump()["password"].reveal() == "hunter2"
    assert [(use.name, use.path, use.mark.line) for use in site.uses] == [("pw", ("balancer", "password"), 1)]


def test_init_set_list_remove(inventory: Path, home: Path) -> None:
    said = good(inventory, "init")
    identity = home / ".config/hakit/age.key"
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600
    assert str(identity) in said
    good(inventory, "set", "pw", text="hünter 2\n")
    assert b"nter 2" not in (inventory / "secrets.age").read_bytes()
    assert load(inventory, SCHEMAS).secrets.get("pw") == "hünter 2"
    good(inventory, "set", "other", "--generate", "24")
    assert len(load(inventory, SCHEMAS).secrets.get("other")) == 24
    listed = json.loads(good(inventory, "list", "--json"))
    assert listed["pw"]["set"]
    assert listed["pw"]["uses"][0].endswith("hosts.yml:1:38")
    assert listed["other"]["uses"] == []
    good(inventory, "remove", "other")
    assert "other" not in good(inventory, "list")
    assert "is there already" in good(inventory, "init")


def test_values_never_show(inventory: Path) -> None:
    good(inventory, "init")
    said = good(inventory, "set", "pw", text="s3cr3t\n")
    said += good(inventory, "list") + good(inventory, "list", "--json")
    assert "s3cr3t" not in said


def test_an_empty_value_is_refused(inventory: Path) -> None:
    good(inventory, "init")
    assert "is empty" in bad(inventory, "set", "pw", text="\n")
    assert "can't name a secret" in bad(inventory, "set", "../pw", text="x")


def test_files_are_never_open_to_others(inventory: Path) -> None:
    old = os.umask(0)
    try:
        good(inventory, "init")
        good(inventory, "set", "pw", text="x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((inventory / "secrets.age").stat().st_mode) == 0o600
    assert sorted(path.name for path in inventory.iterdir()) == ["hosts.yml", "secrets.age", "secrets.recipients.txt"]


def test_an_identity_open_to_others_is_refused(inventory: Path, home: Path) -> None:
    good(inventory, "init")
    (home / ".config/hakit/age.key").chmod(0o644)
    assert "open to others" in bad(inventory, "list")


def test_several_recipients_one_taken_away(inventory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good(inventory, "init")
    good(inventory, "set", "pw", text="x")
    mine = (inventory / "secrets.recipients.txt").read_text().splitlines()[-1]
    theirs = make_identity(tmp_path / "their.key")
    good(inventory, "recipient", "add", theirs)
    assert good(inventory, "recipient", "list").split() == [mine, theirs]
    monkeypatch.setenv("HAKIT_AGE_IDENTITY", str(tmp_path / "their.key"))
    assert Store(inventory).load() == {"pw": "x"}
    good(inventory, "recipient", "remove", mine)
    monkeypatch.delenv("HAKIT_AGE_IDENTITY")
    assert "can't be decrypted" in bad(inventory, "list")
    monkeypatch.setenv("HAKIT_AGE_IDENTITY", str(tmp_path / "their.key"))
    assert "last recipient" in bad(inventory, "recipient", "remove", theirs)
    assert "is no recipient" in bad(inventory, "recipient", "add", "age1nonsense")


def test_ssh_keys_work(inventory: Path, home: Path) -> None:
    good(inventory, "init")
    good(inventory, "set", "pw", text="x")
    (home / ".ssh").mkdir()
    key = home / ".ssh/id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    good(inventory, "recipient", "add", key.with_suffix(".pub").read_text())
    (home / ".config/hakit/age.key").unlink()
    assert Store(inventory).load() == {"pw": "x"}


def test_environment_comes_first(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good(inventory, "init")
    good(inventory, "set", "my-pw.x", text="stored")
    secrets = Secrets(inventory)
    assert secrets.get("my-pw.x") == "stored"
    monkeypatch.setenv("HAKIT_SECRET_MY_PW_X", "environment")
    assert Secrets(inventory).get("my-pw.x") == "environment"


def test_missing_names_are_told(inventory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good(inventory, "init")
    with pytest.raises(InventoryError, match="the secret pw is not set; set it with  hakit secret set pw"):
        load(inventory, SCHEMAS)
    assert load(inventory, SCHEMAS, need_secrets=False).hosts["h"].settings["balancer"]
    assert "(not in the store)" in good(inventory, "list")
    assert Secrets(inventory).missing(["pw", "x", "pw"]) == ("pw", "x")
    monkeypatch.setenv("HAKIT_SECRET_PW", "y")
    assert load(inventory, SCHEMAS).secrets.missing(["pw", "x"]) == ("x",)


def test_a_store_for_others_does_not_stop_reading(inventory: Path, home: Path) -> None:
    good(inventory, "init")
    good(inventory, "set", "pw", text="x")
    (home / ".config/hakit/age.key").unlink()
    site = load(inventory, SCHEMAS)
    with pytest.raises(SecretError, match="you have no identity"):
        site.secrets.get("pw")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; print('value of', sys.argv[1])", None),
        ("import sys; sys.exit('no such entry\\x1b[1m')", r"failed \(exit 1\)"),
        ("pass", "printed nothing"),
        ("import time; time.sleep(60)", "took more than"),
        ("print('x' * 100000)", "more than 64 KiB"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "printed no UTF-8"),
    ],
)
def test_a_command_gives_secrets(script: str, said: str | None, inventory: Path) -> None:
    timeout = 0.5 if "sleep" in script else 20
    secrets = Secrets(inventory, [sys.executable, "-c", script, "{name}"], timeout)
    if said is None:
        assert secrets.get("pw") == "value of pw"
    else:
        with pytest.raises(SecretError, match=said) as caught:
            secrets.get("pw")
        assert caught.value.text().replace("\n", "").isprintable()


def test_a_command_that_is_not_there(inventory: Path) -> None:
    with pytest.raises(SecretError, match="there is no command nowhere"):
        Secrets(inventory, ["nowhere"]).get("pw")


def test_the_inventory_names_the_command(inventory: Path) -> None:
    (inventory / "hosts.yml").write_text(
        "all: {vars: {hakit: {secrets: {command: [echo, 'x-{name}']}}}, hosts: {h: {hakit: {balancer: {password: "
        "{secret: pw}}}}}}\n"
    )
    assert load(inventory, SCHEMAS).secrets.get("pw") == "x-pw"


@pytest.mark.parametrize(
    "damage", [b"", b"junk", b"age-encryption.org/v1\n-> X25519 x\n", ARMOR_BEGIN.encode() + b"\n%%"]
)
def test_a_damaged_store_is_one_message(damage: bytes, inventory: Path) -> None:
    good(inventory, "init")
    (inventory / "secrets.age").write_bytes(damage)
    assert "can't be decrypted" in bad(inventory, "list")


def test_without_a_store_the_next_step_is_told(inventory: Path) -> None:
    assert "hakit secret init" in bad(inventory, "set", "pw", text="x")


def test_two_writers_exclude_each_other(inventory: Path) -> None:
    good(inventory, "init")
    with Store(inventory).locked():
        assert "is changing the store right now" in bad(inventory, "set", "pw", text="x")


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Sets $EDITOR to a script that notes what it was given, then runs Python statements on `text`."""

    def make(statements: str) -> Path:
        script, seen = tmp_path / "editor.py", tmp_path / "seen"
        script.write_text(
            "import os, sys, pathlib\n"
            "path = pathlib.Path(sys.argv[1]); text = path.read_text()\n"
            f"pathlib.Path({str(seen)!r}).write_text(f'{{path}} {{oct(path.stat().st_mode)}} '\n"
            "    f'{oct(path.parent.stat().st_mode)}')\n"
            f"{statements}\npath.write_text(text)\n"
        )
        monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
        return seen

    return make


def test_edit(inventory: Path, editor: Callable[[str], Path]) -> None:
    good(inventory, "init")
    good(inventory, "set", "old", text="x")
    good(inventory, "set", "gone", text="x")
    seen = editor("text = 'old: y\\nnew: |\\n  two\\n  lines\\n'")
    assert good(inventory, "edit").splitlines()[:3] == ["− gone", "+ new", "~ old"]
    assert Store(inventory).load() == {"old": "y", "new": "two\nlines\n"}
    path, file_mode, folder_mode = seen.read_text().split()
    assert (file_mode, folder_mode) == ("0o100600", "0o40700")
    assert path.startswith(("/dev/shm/", "/run/"))  # noqa: S108 - the place is what is tested
    assert not Path(path).parent.exists()


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        ("text = 'old: [1'", "can't be used; nothing changed"),
        ("text = 'old: 5'", "can't be used; nothing changed"),
        ("sys.exit(3)", "ended with 3; nothing changed"),
        ("path.unlink(); os._exit(0)", "nothing changed"),
    ],
)
def test_a_failed_edit_changes_nothing_and_leaves_nothing(
    statements: str, said: str, inventory: Path, editor: Callable[[str], Path]
) -> None:
    good(inventory, "init")
    good(inventory, "set", "old", text="secret value")
    before = (inventory / "secrets.age").read_bytes()
    seen = editor(statements)
    result = run(inventory, "edit")
    assert isinstance(result.exception, HakitError)
    assert said in result.exception.text()
    assert "secret value" not in result.output + result.exception.text()
    assert (inventory / "secrets.age").read_bytes() == before
    assert not Path(seen.read_text().split()[0]).parent.exists()


def test_an_ended_edit_leaves_nothing(inventory: Path, editor: Callable[[str], Path]) -> None:
    good(inventory, "init")
    seen = editor("import signal; os.kill(os.getppid(), signal.SIGTERM)")
    done = subprocess.run(
        [sys.executable, "-m", "hakit", "secret", "edit", "-i", str(inventory)], capture_output=True, check=False
    )
    assert done.returncode == 128 + 15
    assert not Path(seen.read_text().split()[0]).parent.exists()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text("ab.-_1", min_size=1, max_size=5).filter(is_name), st.text(min_size=1), max_size=4))
def test_any_text_is_kept_as_it_is(values: dict[str, str]) -> None:
    kept = {name: text for name, text in values.items() if all(c.isprintable() or c in "\n\t" for c in text)}
    assert parse_secrets(format_secrets(kept), "secrets") == kept
