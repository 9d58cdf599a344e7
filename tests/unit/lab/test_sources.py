from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.errors import LabError
from hakit.lab import sources
from hakit.lab.sources import Source, Upstream, debian_sources, parse_deb822, parse_one_line, parse_options

if TYPE_CHECKING:
    from pathlib import Path

ONE_LINE = """
# deb http://commented.example/debian bookworm main
deb http://mirror.example/debian/ bookworm main contrib # with a comment
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] https://m.example/sec bookworm-security main
deb	http://mirror.example/debian	bookworm-updates	main
deb cdrom:[Debian]/ bookworm main
"""

DEB822 = """\
# Debian's own
Types: deb deb-src
URIs: http://one.example/debian https://two.example/debian/
Suites: bookworm bookworm-updates
# in between
Components: main non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb
URIs: http://inline.example/debian
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGPL0BUBEADmW5NdOOHwPIJlgPu6JDcKw/NZJPR8lsD3K87ZMDRrzRBfNhFx
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_one_line_sources() -> None:
    key = " /usr/share/keyrings/debian-archive-keyring.gpg"
    assert parse_one_line(ONE_LINE)[:3] == [
        Source("http://mirror.example/debian", "bookworm", ("main", "contrib")),
        Source("https://m.example/sec", "bookworm-security", ("main",), key),
        Source("http://mirror.example/debian", "bookworm-updates", ("main",)),
    ]


def test_deb822_sources() -> None:
    found = parse_deb822(DEB822)
    assert [(one.uri, one.suite) for one in found] == [
        ("http://one.example/debian", "bookworm"),
        ("http://one.example/debian", "bookworm-updates"),
        ("https://two.example/debian", "bookworm"),
        ("https://two.example/debian", "bookworm-updates"),
        ("http://inline.example/debian", "bookworm-security"),
    ]
    assert found[0].components == ("main", "non-free-firmware")
    assert found[-1].signed_by.endswith("-----END PGP PUBLIC KEY BLOCK-----")


@pytest.mark.parametrize(
    "foreign",
    [
        Source("http://vendor.example/apt", "bookworm", ("stable",)),
        Source("http://vendor.example/apt", "bookworm-pgdg", ("main",)),
        Source("http://vendor.example/apt", "nodistro", ("main",)),
        Source("http://vendor.example/apt", "bookworm", ("main",), " /usr/share/keyrings/vendor.gpg"),
        Source("http://mirror.example/debian", "bookworm-backports", ("main",)),
        Source("cdrom:[Debian]", "bookworm", ("main",)),
        Source("file:/srv/mirror", "bookworm", ("main",)),
    ],
)
def test_only_debians_own_suites_are_taken(foreign: Source) -> None:
    own = Source("http://mirror.example/debian", "bookworm", ("main",))
    assert debian_sources([foreign, own], 12) == (own,)


@pytest.mark.parametrize("name", ["bookworm", "stable", "trixie", "bullseye"])
def test_the_release_asked_for_is_put_in(name: str) -> None:
    found = debian_sources([Source("http://m/d", f"{name}{part}", ("main",)) for part in sources.PARTS], 13)
    assert [one.suite for one in found] == ["trixie", "trixie-updates", "trixie-security"]


def test_a_source_named_twice_is_taken_once() -> None:
    twice = [Source("http://m/d", "bookworm", ("main",)), Source("http://m/d", "stable", ("main",))]
    assert len(debian_sources(twice, 12)) == 1


def test_hosts_ask_by_http_and_the_proxy_knows_the_real_scheme() -> None:
    upstream = Upstream(
        sources=(
            Source("https://mirror.example:8443/debian", "bookworm", ("main", "contrib"), " /usr/share/keyrings/k.gpg"),
            Source("http://other.example/security", "bookworm-security", ("main",)),
        ),
        proxies={},
        options=(),
    )
    assert upstream.schemes() == {"mirror.example:8443": "https", "other.example": "http"}
    text = upstream.deb822()
    assert "https" not in text
    assert parse_deb822(text) == [
        Source("http://mirror.example:8443/debian", "bookworm", ("main", "contrib"), " /usr/share/keyrings/k.gpg"),
        Source("http://other.example/security", "bookworm-security", ("main",)),
    ]


def test_an_inline_key_survives() -> None:
    found = parse_deb822(DEB822)[-1:]
    assert parse_deb822(Upstream(tuple(found), {}, ()).deb822()) == found


def test_options_of_apt() -> None:
    dump = 'APT "";\nAcquire::http::Proxy "http://proxy.example:3128";\nAcquire::Languages:: "en";\n'
    assert parse_options(dump)["Acquire::http::Proxy"] == "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("options", "proxies"),
    [
        ({}, {}),
        ({"Acquire::http::Proxy": "http://p:1"}, {"http": "http://p:1", "https": "http://p:1"}),
        ({"Acquire::http::Proxy": "http://p:1", "Acquire::https::Proxy": "DIRECT"}, {"http": "http://p:1"}),
        ({"Acquire::http::Proxy": "false"}, {}),
    ],
)
def test_this_machines_proxy_is_passed_on(
    options: dict[str, str], proxies: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    dump = "".join(f'{name} "{value}";\n' for name, value in options.items()) + 'Acquire::Check-Date "false";\n'
    (tmp_path / "sources.list").write_text(ONE_LINE, encoding="utf-8")
    found = sources.read(12, tmp_path, dump)
    assert found.proxies == proxies
    assert found.options == ('Acquire::Check-Date "false";',)
    assert len(found.sources) == 3


def test_a_machine_without_debian_sources_is_told_so(tmp_path: Path) -> None:
    folder = tmp_path / "sources.list.d"
    folder.mkdir()
    (folder / "vendor.list").write_text("deb http://vendor.example/apt noble main\n", encoding="utf-8")
    (folder / "off.sources.disabled").write_text(DEB822, encoding="utf-8")
    with pytest.raises(LabError, match="no mirror of Debian"):
        sources.read(12, tmp_path, "")
