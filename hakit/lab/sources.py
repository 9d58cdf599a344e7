"""Debian's package sources as this machine's own apt knows them: the project names no mirror.

Read from /etc/apt (both formats) and `apt-config`; pure but for `read`.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from hakit.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CODENAMES: Final = {12: "bookworm", 13: "trixie"}
ALIASES: Final = frozenset({*CODENAMES.values(), "bullseye", "oldoldstable", "oldstable", "stable", "testing"})
"""Names by which a source may call a release; sources of another release differ in nothing but this name."""
PARTS: Final = ("", "-updates", "-security")
"""The suites that make up a release (Debian's sources.list(5) defaults); backports and others are left out."""
KEYRINGS: Final = ("debian-archive-", "debian-")
"""How the files of Debian's own keys are called; a source signed by another key is not Debian's."""


@dataclass(frozen=True, slots=True)
class Source:
    """A repository: its URI without final slash, suite, components; `signed_by` as deb822 holds it, or empty."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""


@dataclass(frozen=True, slots=True)
class Upstream:
    """How packages are fetched: sources, the proxies this machine's apt uses by scheme, and apt options passed on."""

    sources: tuple[Source, ...]
    proxies: Mapping[str, str]
    options: tuple[str, ...]
    ca_file: str | None = None

    def schemes(self) -> dict[str, str]:
        """Host (with port) → scheme of every mirror; the lab's package proxy fetches from these only."""
        return {urlsplit(source.uri).netloc: urlsplit(source.uri).scheme for source in self.sources}

    def deb822(self) -> str:
        """The sources for a lab's hosts: by plain http, since the package proxy speaks to the mirrors for them."""
        stanzas = []
        for source in self.sources:
            uri = source.uri.replace("https://", "http://", 1)
            signed = f"Signed-By:{source.signed_by}\n" if source.signed_by else ""
            stanzas.append(
                f"Types: deb\nURIs: {uri}\nSuites: {source.suite}\nComponents: {' '.join(source.components)}\n{signed}"
            )
        return "\n".join(stanzas)


def debian_sources(sources: Iterable[Source], release: int) -> tuple[Source, ...]:
    """Debian's own sources for a release, once each: those of this machine with the release's name put in."""
    codename = CODENAMES[release]
    found: dict[tuple[str, str], Source] = {}
    for source in sources:
        base, part = _split(source.suite)
        if base not in ALIASES or part not in PARTS or "main" not in source.components or not _by_debian(source):
            continue
        if urlsplit(source.uri).scheme not in ("http", "https"):
            continue
        suite = f"{codename}{part}"
        found.setdefault((source.uri, suite), replace(source, suite=suite))
    return tuple(found.values())


def _split(suite: str) -> tuple[str, str]:
    # "bullseye/updates" is how the security suite was called up to Debian 10; it is not carried over.
    for part in PARTS[1:]:
        if suite.endswith(part):
            return suite.removesuffix(part), part
    return suite, ""


def _by_debian(source: Source) -> bool:
    key = source.signed_by.strip()
    return not key.startswith("/") or all(Path(name).name.startswith(KEYRINGS) for name in key.split())


def parse_one_line(text: str) -> list[Source]:
    """The sources of a `sources.list` (sources.list(5), one-line style); what is no `deb` line is passed over."""
    found = []
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)", line)
        if match:
            options, uri, suite, components = match.groups()
            signed = re.search(r"signed-by=(\S+)", options or "", re.IGNORECASE)
            key = f" {signed.group(1).replace(',', ' ')}" if signed else ""
            found.append(Source(uri.rstrip("/"), suite, tuple(components.split()), key))
    return found


def parse_deb822(text: str) -> list[Source]:
    """The sources of a `.sources` file (sources.list(5), deb822 style), but for disabled ones."""
    found: list[Source] = []
    for stanza in re.split(r"\n\s*\n", _without_comments(text)):
        fields = {
            match.group(1).lower(): match.group(2)
            for match in re.finditer(r"^([A-Za-z-]+):(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        }
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").strip().lower() == "no":
            continue
        found.extend(
            Source(
                uri.rstrip("/"),
                suite,
                tuple(fields.get("components", "").split()),
                fields.get("signed-by", "").rstrip(),
            )
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        )
    return found


def _without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def parse_options(dump: str) -> dict[str, str]:
    """What `apt-config dump` prints, by name."""
    return dict(re.findall(r'^(\S+) "(.*)";$', dump, re.MULTILINE))


PASSED_ON: Final = ("Acquire::Check-Valid-Until", "Acquire::Check-Date", "Acquire::Languages")
"""apt's options that must hold on the hosts too: they say how current this machine's mirrors are."""


def read(release: int, apt: Path = Path("/etc/apt"), dump: str | None = None) -> Upstream:
    """What this machine's apt is set up to use, for a release. Raises LabError when it knows no Debian source.

    `dump` is what `apt-config dump` prints; it is asked for when it is not given.
    """
    sources: list[Source] = []
    for path in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))):
        if path.is_file() and path.suffix in (".list", ".sources"):
            text = path.read_text(encoding="utf-8", errors="replace")
            sources += parse_deb822(text) if path.suffix == ".sources" else parse_one_line(text)
    debian = debian_sources(sources, release)
    if not any(source.suite == CODENAMES[release] for source in debian):
        raise LabError(
            "this machine's apt knows no mirror of Debian",
            why=f"The lab's hosts install Debian {release} from the same mirrors as this machine ({apt}).",
            hint="Run the lab on a Debian machine whose  apt-get update  works.",
        )
    return _upstream(debian, parse_options(_apt_config() if dump is None else dump))


def _upstream(sources: tuple[Source, ...], options: Mapping[str, str]) -> Upstream:
    proxies: dict[str, str] = {}
    for scheme in ("http", "https"):
        proxy = options.get(f"Acquire::{scheme}::Proxy", "") or os.environ.get(f"{scheme}_proxy", "")
        # An https source goes through the http proxy when no other is named (apt-transport-https(1)).
        proxy = proxy or (proxies.get("http", "") if scheme == "https" else "")
        if proxy and proxy.upper() not in ("DIRECT", "FALSE"):
            proxies[scheme] = proxy
    passed = tuple(f'{name} "{options[name]}";' for name in PASSED_ON if options.get(name))
    return Upstream(sources, proxies, passed, options.get("Acquire::https::CaInfo"))


def _apt_config() -> str:
    done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError("apt-config dump failed", why=done.stderr.strip())
    return done.stdout
