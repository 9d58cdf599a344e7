"""From components to ordered resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pytest
from pydantic import BaseModel

from hakit.agent.resources.account import User
from hakit.agent.resources.files import File, Files
from hakit.agent.resources.package import Package
from hakit.agent.resources.paths import Directory
from hakit.agent.resources.unit import Unit
from hakit.components.base import Component, Facts, HostContext
from hakit.components.content import Content
from hakit.components.templates import Templates
from hakit.engine.compile import HostResources, declare
from hakit.errors import InventoryError
from tests.unit.engine.sites import host, site

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hakit.agent.resources.base import Resource


class Empty(BaseModel):
    pass


class Fake(Component):
    Settings: ClassVar[type[BaseModel]] = Empty

    def __init__(self, name: str, *resources: Resource) -> None:
        self.name = name  # type: ignore[misc]  # a class variable of real components
        self._resources = resources

    def resources(self, ctx: HostContext) -> Iterable[Resource]:
        del ctx
        return self._resources


def file(path: str, text: str = "x\n", **more: str) -> Files:
    return Files(label=path, files=(File(path=path, content=Content((text,)), **more),))  # type: ignore[arg-type]  # owner, group


def compiled(*components: Fake) -> HostResources:
    one = host("h", **{component.name: Empty() for component in components})
    here = site(one)
    return declare(here, {component.name: component for component in components}, one, Facts(), Templates(here))


def before(found: HostResources, first: str, second: str) -> bool:
    order = list(found.resources)
    return order.index(first) < order.index(second)


def test_order_is_derived() -> None:
    found = compiled(
        Fake(
            "a",
            Unit(unit="a.service", reload_on=("/etc/a/a.conf",)),
            file("/etc/a/a.conf", owner="runner"),
            Directory(path="/etc/a"),
            User(user="runner"),
            Package(package="a"),
        )
    )
    for first, second in [
        ("package:a", "files:/etc/a/a.conf"),
        ("directory:/etc/a", "files:/etc/a/a.conf"),
        ("user:runner", "files:/etc/a/a.conf"),
        ("files:/etc/a/a.conf", "unit:a.service"),
    ]:
        assert before(found, first, second)


def test_a_drop_in_of_another_component_restarts_the_unit() -> None:
    drop_in = "/etc/systemd/system/a.service.d/50-b.conf"
    found = compiled(Fake("a", Unit(unit="a.service")), Fake("b", file(drop_in)))
    unit = found.resources["unit:a.service"]
    assert isinstance(unit, Unit)
    assert unit.restart_on == (drop_in,)
    assert before(found, f"files:{drop_in}", "unit:a.service")


def test_a_file_that_a_package_is_to_find_comes_before_it() -> None:
    early, late = file("/etc/early"), file("/etc/late")
    found = compiled(Fake("a", late, Package(package="p", after=("files:/etc/early",)), early))
    assert list(found.resources) == ["files:/etc/early", "package:p", "files:/etc/late"]


def test_a_drop_in_that_another_unit_claims_restarts_nothing() -> None:
    drop_in = "/etc/systemd/system/a.service.d/50-b.conf"
    watcher = Unit(unit="b.service", reload_on=(drop_in,))
    found = compiled(Fake("a", Unit(unit="a.service")), Fake("b", file(drop_in), watcher))
    watched = found.resources["unit:a.service"]
    assert isinstance(watched, Unit)
    assert watched.restart_on == ()
    assert watched.reload_on == ()


def test_what_two_components_declare_alike_is_declared_once() -> None:
    found = compiled(Fake("a", Package(package="p")), Fake("b", Package(package="p")))
    assert list(found.resources) == ["package:p"]
    assert found.resources["package:p"].component == "a"


@pytest.mark.parametrize(
    "second",
    [file("/etc/x", "other\n"), Directory(path="/etc/x")],
    ids=["another content", "another type"],
)
def test_a_path_with_two_owners_is_refused(second: Resource) -> None:
    with pytest.raises(InventoryError, match=r"/etc/x is declared twice on h, differently, by a and b"):
        compiled(Fake("a", file("/etc/x")), Fake("b", second))


def test_a_circle_is_named() -> None:
    with pytest.raises(InventoryError, match="wait for each other: package"):
        compiled(Fake("a", Package(package="p", after=("package:q",)), Package(package="q", after=("package:p",))))


def test_what_stands_on_a_resource_does_so_by_way_of_others_too() -> None:
    found = compiled(
        Fake(
            "db",
            Package(package="db"),
            Directory(path="/srv/db", after=("package:db",)),
            file("/srv/db/data"),
            Unit(unit="db.service"),
        ),
        Fake("web", file("/srv/web")),
    )
    assert found.standing_on(["directory:/srv/db"]) == {"directory:/srv/db", "files:/srv/db/data", "unit:db.service"}
    assert found.standing_on(["unit:db.service"]) == {"unit:db.service"}
    assert "files:/srv/web" not in found.standing_on(["package:db"])
