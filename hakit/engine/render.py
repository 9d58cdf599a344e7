"""Writes what would land on the hosts into a folder, for review."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakit.components.templates import Templates
from hakit.engine.compile import declare
from hakit.engine.facts import offline
from hakit.errors import HakitError, InventoryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hakit.components.base import Component
    from hakit.inventory.model import Site
    from hakit.inventory.origin import Problem

MARKER = ".hakit-render"
"""Lists what hakit wrote into a folder, so that a later rendering removes its own leftovers and nothing else."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a rendering did: paths below the output folder."""

    hosts: int
    written: list[str]
    removed: list[str]


def render_site(site: Site, components: Mapping[str, Component], hosts: Sequence[str], output: Path) -> Rendered:
    """Render the files of these hosts into `output`. Raises InventoryError, TemplateError, HakitError."""
    templates = Templates(site)
    files: dict[str, str] = {}
    for name in hosts:
        host = site.hosts[name]
        declared = declare(site, components, host, offline(site, host), templates)
        files |= {f"{name}{path}": content.masked() for path, content in declared.contents().items()}
    try:
        removed = _clean(output, files, hosts)
        for path, text in files.items():
            target = output / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HakitError(f"can't write {error.filename}: {error.strerror}") from error
    return Rendered(len(hosts), sorted(files), removed)


def broken(site: Site, components: Mapping[str, Component]) -> tuple[Problem, ...]:
    """What can't be rendered, on any host: templates that are missing or broken, paths declared twice; each once."""
    templates = Templates(site)
    found: dict[str, Problem] = {}
    for host in site.hosts.values():
        try:
            declare(site, components, host, offline(site, host), templates)
        except InventoryError as error:
            for problem in error.problems:
                found.setdefault(f"{problem.mark} {problem.key}", problem)
    return tuple(found.values())


def _clean(output: Path, files: Mapping[str, str], hosts: Sequence[str]) -> list[str]:
    """Remove what an earlier rendering wrote for these hosts and this one does not; refuse a folder of other things."""
    marker = output / MARKER
    if output.exists() and not marker.exists() and any(output.iterdir()):
        raise HakitError(
            f"{output} is not empty and was not written by hakit render",
            hint="name a new folder, or empty this one",
        )
    output.mkdir(parents=True, exist_ok=True)
    before = marker.read_text(encoding="utf-8").splitlines() if marker.exists() else []
    ours = tuple(f"{name}/" for name in hosts)
    kept = {path for path in before if not path.startswith(ours)}
    marker.write_text("".join(f"{path}\n" for path in sorted(kept | set(files))), encoding="utf-8")
    gone = sorted(set(before) - kept - set(files))
    for path in gone:
        (output / path).unlink(missing_ok=True)
        _remove_empty((output / path).parent, output)
    return gone


def _remove_empty(folder: Path, top: Path) -> None:
    while folder != top and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent
