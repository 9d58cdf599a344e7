"""Reads inventory files and secrets into an immutable, typed `Site`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel

    from hakit.inventory.model import Site

__all__ = ["load"]


def load(path: Path, schemas: Mapping[str, type[BaseModel]], *, need_secrets: bool = True, whole: bool = False) -> Site:
    """The site of an inventory file or folder; `schemas` are the components' settings by name.

    With `need_secrets`, a secret that is surely not set is a problem too. With `whole`, hosts without hakit's settings
    are held to addresses and groups of their own too, which Ansible does not ask. Raises InventoryError with every
    problem.
    """
    from hakit.inventory.loader import load_site  # noqa: PLC0415 - whoever only needs a type does not pay for YAML

    return load_site(path, schemas, need_secrets=need_secrets, whole=whole)
