from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from hakit.inventory.types import Ip, Line, Name, Port, Secret, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Ansible:
    """ansible-core's own reading of inventories, in a process of its own."""

    def __init__(self, home: Path) -> None:
        environment = os.environ | {
            "ANSIBLE_HOME": str(home),
            "ANSIBLE_INVENTORY_ENABLED": "yaml",
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",
            "ANSIBLE_LOCALHOST_WARNING": "False",
            "PYTHONWARNINGS": "ignore",
        }
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "ansible_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=home,
        )

    def list(self, inventory: Path) -> dict[str, Any]:
        """What `ansible-inventory -i INVENTORY --list` prints. Raises AssertionError when Ansible gives up."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{inventory}\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "list" in answer, answer
        found: dict[str, Any] = answer["list"]
        found["_meta"].pop("profile", None)
        return found

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture(scope="session")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ansible]:
    server = Ansible(tmp_path_factory.mktemp("ansible"))
    yield server
    server.close()


class Check(Settings):
    """A small model, deep enough to go wrong in every way."""

    http: Line = Field(default="/", description="The path to ask for.")
    fall: Annotated[int, Field(ge=1, le=10)] = 3


class Backend(Settings):
    port: Port
    group: Name | None = None
    mode: Literal["http", "tcp"] = "http"
    check: Check | bool = True
    weights: dict[Name, Annotated[int, Field(ge=0, le=256)]] = Field(default_factory=dict)


class Balancer(Settings):
    """The settings of a made-up component."""

    backends: dict[Name, Backend] = Field(default_factory=dict)
    names: tuple[Name, ...] = ()
    address: Ip | None = None
    password: Secret | None = None
    ratio: float = 1.0
    enabled: bool = True


SCHEMAS: dict[str, type[BaseModel]] = {"balancer": Balancer}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Writes files (path → text) into a folder of their own and returns it."""

    def write_files(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write_files
