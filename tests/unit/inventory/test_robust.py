"""Whatever is thrown at the loader: a site or problems with places, soon, and never anything else."""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hakit.errors import InventoryError
from hakit.inventory import load
from tests.unit.inventory.conftest import SCHEMAS

if TYPE_CHECKING:
    from pathlib import Path

    from hakit.inventory.model import Site

COMMON = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WORDS = st.sampled_from(
    ["all", "hosts", "vars", "children", "hakit", "balancer", "backends", "web", "port", "zone", "lab", "secret", "<<"]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=6),
    st.dates(),
    st.binary(max_size=3),
    WORDS,
    st.sampled_from(["{{ x }}", "10.0.0.1", "10.0.0.0/8", "3s", "-", "[1:3]", "h[1:3]", "a" * 5000]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(WORDS, st.text(max_size=3), st.integers(), st.booleans(), st.none()), inner),
    ),
    max_leaves=25,
)
YAML = "all: hosts: vars: hakit: children: balancer: {{x}} !vault !unsafe !!python/name:x !!set &a *a << ---"
SIGNS = "{ } [ ] , - : ? | > & * ! !! % @ ' \" # ... 0x 1e 2020-01-01 ~ null yes \\x \\u d8 é 🐎"
BLANKS = (" ", "  ", "\n", "\n  ", "\n    ", "\t", "\x00", "\x1b", "\x85", "\u2028", "\ufeff", "\ud800")
PIECES = st.lists(st.sampled_from([*YAML.split(), *SIGNS.split(), *BLANKS]), max_size=40).map("".join)


def outcome(path: Path) -> Site | InventoryError:
    try:
        return load(path, SCHEMAS)
    except InventoryError as error:
        found = error
    assert found.problems
    for problem in found.problems:
        assert problem.mark is not None
        assert problem.text().isprintable()
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "hosts.yml"


@COMMON
@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes, file: Path) -> None:
    file.write_bytes(data)
    assert outcome(file)


@COMMON
@given(text=PIECES)
@example(text="all: {hosts: {a: {hakit: {balancer: {backends: {? {a: b} : c}}}}}}")
@example(text="? ? ? a")
@example(text="&a a: *a")
@example(text="!!set {? [a]}")
def test_pieces_of_yaml(text: str, file: Path) -> None:
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    assert outcome(file)


@COMMON
@given(tree=TREES)
def test_any_tree(tree: object, file: Path) -> None:
    file.write_text(yaml.dump(tree, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    assert outcome(file)


@COMMON
@given(hakit=TREES, where=st.sampled_from(["vars", "host", "settings", "backend"]))
def test_any_tree_below_hakit(hakit: object, where: str, file: Path) -> None:
    tree: object = {"all": {"vars": {"hakit": hakit}, "hosts": {"h": None}}}
    if where == "host":
        tree = {"all": {"hosts": {"h": {"hakit": hakit}}}}
    elif where == "settings":
        tree = {"all": {"hosts": {"h": {"hakit": {"balancer": hakit, "lab": hakit, "services": hakit}}}}}
    elif where == "backend":
        tree = {"all": {"hosts": {"h": {"hakit": {"balancer": {"backends": {"w": hakit}, "password": hakit}}}}}}
    file.write_text(yaml.dump(tree, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    assert outcome(file)


def _bombs() -> dict[str, str]:
    letters = "abcdefghijklmnopqrst"
    aliases = "".join(
        f"{letters[i]}: &{letters[i]} [{', '.join([f'*{letters[i - 1]}' if i else 'x'] * 10)}]\n" for i in range(20)
    )
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], k{i}: 1}}\n" for i in range(1, 60)
    )
    hakit = "x: &x {" + ", ".join(f"k{i}: v" for i in range(500)) + "}\n"
    hakit += f"all: {{vars: {{hakit: {{balancer: {{backends: [{', '.join(['*x'] * 1900)}]}}}}}}, hosts: {{h: }}}}\n"
    return {
        "aliases": aliases,
        "merges": merges,
        "lists": "[" * 200_000,
        "mappings": "{a: " * 100_000,
        "block": "\n".join(" " * i + "a:" for i in range(1500)),
        "keys": "? " * 50_000,
        "hakit": hakit,
        "ranges": "all: {hosts: {'" + "[0:9]" * 12 + "': }}\n",
        "huge number": "all: {vars: {x: " + "9" * 200_000 + "}}\n",
        "groups": "all: {children: {g0: }}\n" + "".join(f"g{i}: {{children: {{g{i + 1}: }}}}\n" for i in range(3000)),
        "long line": "all: {vars: {x: '" + "a" * 3_000_000 + "'}}\n",
        "quotes": '"' * 200_000,
        "comments": "#" * 2_000_000,
    }


@pytest.mark.parametrize(("name", "text"), _bombs().items(), ids=_bombs())
def test_bombs_end_soon_and_small(name: str, text: str, file: Path) -> None:
    file.write_text(text)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert outcome(file), name
    assert time.process_time() - begun < 5, name
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024, name


def test_missing_file_suggests(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all:\n")
    found = outcome(tmp_path / "host.yml")
    assert isinstance(found, InventoryError)
    assert str(found) == f"{tmp_path}/host.yml: there is no such inventory (did you mean {tmp_path}/hosts.yml?)"


def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("all:\n")
    path.chmod(0)
    if os.geteuid() == 0:
        path.unlink()
        path.symlink_to(path)
    found = outcome(path)
    assert isinstance(found, InventoryError)
    assert "can't be read" in str(found)


@pytest.mark.parametrize("kind", ["fifo", "loop", "folder loop", "variables loop"])
def test_odd_files_neither_hang_nor_crash(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    if kind == "fifo":
        os.mkfifo(path)
        said = "is no regular file"
    elif kind == "loop":
        path.symlink_to("hosts.yml")
        said = "can't be read"
    else:
        path.write_text("all: {hosts: {a: }}\n")
        inner = tmp_path / ("more" if kind == "folder loop" else "group_vars/all/more")
        inner.parent.mkdir(parents=True, exist_ok=True)
        inner.symlink_to(inner.parent)
        path = tmp_path
        said = "links back to a folder that contains it"
    found = outcome(path)
    assert isinstance(found, InventoryError)
    assert said in str(found)
