from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from hakit.errors import ConnectError
from hakit.ssh.config import Config, Lookup

CASES = {
    "plain": ("Host web1\n HostName 10.0.0.1\n User deploy\n Port 2222\n", ["web1", "web2"]),
    "equals and quotes": ('Host = "web1"\nHostName=10.0.0.1\n  IdentityFile "~/my key"\n', ["web1"]),
    "first value counts": ("Host web1\n Port 1\nHost *\n Port 2\n User x\n", ["web1", "db1"]),
    "before any host": ("User all\nHost web1\n User late\n", ["web1"]),
    "negation": ("Host * !db*\n User web\nHost *\n User other\n", ["web1", "db1"]),
    "question mark": ("Host web?\n User one\n", ["web1", "web10", "WEB1", "Web1"]),
    "identities add up": ("IdentityFile ~/a\nHost web1\n IdentityFile ~/b\n IdentitiesOnly yes\n", ["web1", "x"]),
    "tokens": (
        """
        Host web*
          HostName %h.example.org
          User me
          IdentityFile %d/keys/%r-%h-%n-%p%%
          UserKnownHostsFile ~/kh/%h /dev/null
        """,
        ["web1"],
    ),
    "alias": ("Host web1\n HostName 10.0.0.1\n HostKeyAlias cluster\n", ["web1"]),
    "match host sees hostname": ("Host w\n HostName web.org\nMatch host *.org\n User m\n", ["w", "x.org"]),
    "match originalhost": ("Host w\n HostName web.org\nMatch originalhost w\n User m\n", ["w", "web.org"]),
    "match all": ("Match all\n User everyone\n", ["x"]),
    "match negated": ("Match !host web1\n User others\n", ["web1", "db1"]),
    "match user": ("Host web1\n User bob\nMatch user bob\n Port 99\n", ["web1", "db1"]),
    "match two": ("Match host WEB* user nobody-here\n Port 99\nMatch host web*,db* \n Port 7\n", ["web1", "db2"]),
    "match exec": ('Match exec "test %h = web1"\n User yes\nMatch exec false\n Port 9\n', ["web1", "db1"]),
    "comments": ("# a\n   # b\nHost web1 # the first\n Port 22022 # ours\n", ["web1"]),
    "unknown keywords": ("Host *\n SendEnv LANG\n ServerAliveInterval 5\n Port 77\n", ["x"]),
    "case": ("hOsT web1\n pOrT 5\n", ["web1"]),
    "proxy jump": (
        "Host web1\n ProxyJump a,b@c:9\nHost db1\n ProxyJump none\nHost *\n ProxyJump z\n",
        ["web1", "db1", "x"],
    ),
    "proxy command": ("Host web1\n ProxyCommand ssh -W %h:%p gate\nHost *\n ProxyJump z\n", ["web1", "x"]),
    "proxy none first": ("Host web1\n ProxyCommand none\nHost *\n ProxyJump z\n", ["web1", "x"]),
    "included": ("Include more\nHost *\n User last\n", ["web1", "db1"]),
    "included inside a host": ("Host web1\n Include more\nHost *\n User last\n", ["web1", "db1", "inner"]),
    "include globs": ("Include conf.d/*.conf none/*\n", ["web1", "db1"]),
}
FILES = {
    "more": "Host web1\n Port 1001\nHost inner\n Port 1002\nHost *\n Port 1003\n",
    "conf.d/10.conf": "Host web1\n User ten\n",
    "conf.d/20.conf": "Host *\n User twenty\n Include ~/.ssh/nested\n",
    "nested": "Port 3000\n",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHELL", "/bin/sh")
    for name, content in FILES.items():
        path = tmp_path / ".ssh" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def openssh(config: Path, host: str) -> dict[str, list[str]]:
    """What ssh -G makes of it. ssh takes the home folder from the password file, so `~` is written out beforehand."""
    printed = subprocess.run(
        ["ssh", "-G", "-F", str(config), host], check=True, capture_output=True, text=True, env=os.environ
    ).stdout
    found: dict[str, list[str]] = {}
    for line in printed.splitlines():
        keyword, _, value = line.partition(" ")
        found.setdefault(keyword, []).append(value)
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_host_is_understood_as_openssh_understands_it(name: str, home: Path) -> None:
    content, hosts = CASES[name]
    config = home / ".ssh" / "config"
    real_home = Path("~").expanduser()
    for path in (home / ".ssh").rglob("*"):
        if path.is_file():
            path.write_text(path.read_text().replace("~/.ssh/", f"{home}/.ssh/"))
    config.write_text(content.replace("Include ", f"Include {home}/.ssh/").replace(" none/*", f" {home}/.ssh/none/*"))
    mine = Config(config, None, real_home)
    for host in hosts:
        theirs = openssh(config, host)
        found = mine.lookup(host)
        assert found.host.lower() == theirs["hostname"][0]
        assert (found.user or mine.local_user) == theirs["user"][0]
        assert str(found.port or 22) == theirs["port"][0]
        assert found.identities_only == (theirs["identitiesonly"][0] == "yes")
        assert (found.alias or "none") == theirs.get("hostkeyalias", ["none"])[0]
        if found.identity_files:
            identities = [str(Path(os.path.expandvars(file)).expanduser()) for file in theirs["identityfile"]]
            assert [str(path) for path in found.identity_files] == [_tokens(file, found, host) for file in identities]
        kind = found.proxy.keyword.lower() if found.proxy else ""
        for keyword in ("proxyjump", "proxycommand"):
            printed = [value for value in theirs.get(keyword, ["none"]) if value != "none"]
            assert printed == ([found.proxy.written] if found.proxy and kind == keyword else [])
        if found.user_known_hosts:
            files = shlex.split(theirs["userknownhostsfile"][0])
            assert [str(path) for path in found.user_known_hosts] == [str(Path(file).expanduser()) for file in files]


def _tokens(file: str, found: Lookup, host: str) -> str:
    """ssh -G prints IdentityFile with its tokens; what they stand for is in ssh_config(5)."""
    values = {"%d": str(Path.home()), "%r": found.user or "", "%h": found.host, "%n": host, "%p": str(found.port or 22)}
    for token, value in values.items():
        file = file.replace(token, value)
    return file.replace("%%", "%")


def config(home: Path, content: str) -> Config:
    path = home / ".ssh" / "config"
    path.write_text(content)
    return Config(path, None, home)


def test_includes_are_relative_to_the_ssh_folder_of_the_user(home: Path) -> None:
    assert config(home, "Include more conf.d/*.conf\n").lookup("web1") == Lookup("web1", user="ten", port=1001)


def test_a_tilde_and_variables_stand_for_folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYS", "/keys")
    found = config(home, "IdentityFile ~/k\nIdentityFile ${KEYS}/l\nIdentityFile none\n").lookup("x")
    assert found.identity_files == (home / "k", Path("/keys/l"))


@pytest.mark.parametrize(
    ("line", "agent"),
    [("", None), ("IdentityAgent none", ""), ("IdentityAgent ~/a.sock", "HOME/a.sock"), ("IdentityAgent $SOCK", "/s")],
)
def test_the_agent_can_be_named(home: Path, monkeypatch: pytest.MonkeyPatch, line: str, agent: str | None) -> None:
    monkeypatch.setenv("SOCK", "/s")
    found = config(home, line + "\n").lookup("x")
    assert found.agent == (agent.replace("HOME", str(home)) if agent else agent)


def test_what_the_inventory_says_counts_for_match(home: Path) -> None:
    found = config(home, "Match user root\n Port 44\n")
    assert found.lookup("x", user="root").port == 44
    assert found.lookup("x", user="bob").port is None
    assert found.lookup("x", user="root", port=22).port == 22


@pytest.mark.parametrize(
    ("lines", "keyword", "text"),
    [
        ("ProxyJump bastion", "ProxyJump", "bastion"),
        ("ProxyJump %r@gate-%h:22%p", "ProxyJump", "me@gate-x:2222"),
        ("ProxyCommand nc -x proxy:1080 %h %p # %n%%", "ProxyCommand", "nc -x proxy:1080 x 22 # x%"),
        ("ProxyJump one\n  ProxyCommand two", "ProxyJump", "one"),
        ("ProxyCommand two\n  ProxyJump one", "ProxyCommand", "two"),
    ],
)
def test_the_first_proxy_counts_with_its_tokens_and_place(home: Path, lines: str, keyword: str, text: str) -> None:
    found = config(home, f"Host *\n  {lines}\n").lookup("x", user="me").proxy
    assert found
    assert (found.keyword, found.text, found.place) == (keyword, text, f"{home}/.ssh/config:2")


@pytest.mark.parametrize("lines", ["ProxyJump none\nProxyCommand nc", "ProxyCommand none\nProxyJump a"])
def test_none_switches_both_kinds_of_proxy_off(home: Path, lines: str) -> None:
    assert config(home, lines + "\n").lookup("x").proxy is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Host x\n Port ssh\n", r"config:2: 'ssh' is no port"),
        ("Port 70000\n", r"config:1: '70000' is no port"),
        ('Host "x\n', r"config:1: a quote is opened and not closed"),
        ("Host\n", r"config:1: host needs a value"),
        ("Match host\n", r"config:1: Match host needs a value"),
        ("Match moon full\n", r"config:1: hakit does not know the criterion moon"),
        ("Include config\n", r"config:1: Include goes round in a circle"),
    ],
)
def test_mistakes_are_told_with_their_place(home: Path, content: str, message: str) -> None:
    with pytest.raises(ConnectError, match=message):
        config(home, content).lookup("x")


def test_a_file_that_is_not_there_says_nothing(home: Path) -> None:
    assert Config(home / "none", home / "none", home).lookup("x") == Lookup("x")


def test_a_folder_in_place_of_the_file_is_an_error(home: Path) -> None:
    with pytest.raises(ConnectError, match="can't be read"):
        Config(home / ".ssh", None, home)


def test_the_users_file_comes_before_that_of_the_system(home: Path) -> None:
    (home / "system").write_text("User late\nPort 9\n")
    path = home / ".ssh" / "config"
    path.write_text("User early\n")
    assert Config(path, home / "system", home).lookup("x") == Lookup("x", user="early", port=9)
