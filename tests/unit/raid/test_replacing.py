"""A disk is replaced step by step, and a replacement that was cut short is gone on with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hakit.errors import HakitError, RefusedError, UsageError
from hakit.raid.replacing import Operator, Replacement
from tests.unit.raid.arrays import bench, disk

if TYPE_CHECKING:
    from hakit.components.storage import SeenDisk
    from hakit.raid.picture import Picture
    from hakit.raid.replacing import Replaced
    from tests.unit.raid.arrays import Bench

TAKEN_OUT = [("fail", "serial:B2"), ("remove", "serial:B2")]
PUT_IN = [("exchange", "B2 serial:C3"), ("add", "serial:C3")]


class Person:
    """Who types what is asked for, takes the disks named, and remembers what was said."""

    def __init__(self, *, types: bool = True, takes: str | None = None) -> None:
        self.types = types
        self.takes = takes
        self.told: list[str] = []
        self.shown: list[str] = []
        self.offered: list[str] = []

    @property
    def operator(self) -> Operator:
        return Operator(self.told.append, self.confirm, self.show, None if self.takes is None else self.pick)

    def confirm(self, question: str, word: str) -> bool:
        self.told.append(f"{question}? {word}")
        return self.types

    def show(self, picture: Picture, what: str) -> None:
        del picture
        self.shown.append(what)

    def pick(self, one: SeenDisk) -> bool:
        self.offered.append(one.serial)
        return one.serial == self.takes


def replaced(hands: Bench, person: Person, old: str = "B2", new: str = "") -> Replaced:
    return Replacement(hands, "db1", "data", person.operator, lambda _: None).run(old, new)


def test_the_declared_disk_comes_in_place_of_the_old_one() -> None:
    hands, person = bench(), Person()
    done = replaced(hands, person)
    assert (done.old, done.new, done.picture.state) == ("B2", "serial:C3", "clean")
    assert hands.did == [*TAKEN_OUT, *PUT_IN]
    assert "is in sync: data has one copy less until" in person.told[0]
    assert person.told[1] == "B2 is out of data. Pull the disk ST4000 serial B2, now sdb, at pci-B2"
    assert set(person.shown) == {"rebuilds"}


@pytest.mark.parametrize("word", ["B2", "serial:B2"])
def test_a_disk_has_several_words(word: str) -> None:
    hands = bench()
    assert replaced(hands, Person(), word).old == "B2"
    assert hands.did == [*TAKEN_OUT, *PUT_IN]


def test_a_disk_in_sync_goes_only_by_its_serial_number() -> None:
    hands = bench()
    with pytest.raises(UsageError, match="taking B2 out was not confirmed") as caught:
        replaced(hands, Person(types=False))
    assert caught.value.hint == "add  --confirm B2"
    assert hands.did == []


def test_a_dead_one_goes_without_a_question() -> None:
    hands, person = bench(old="faulty"), Person(types=False)
    replaced(hands, person)
    assert hands.did == [*TAKEN_OUT, *PUT_IN]


def test_one_that_was_pulled_is_only_replaced() -> None:
    hands = bench(old="missing")
    hands.members["B2"] = disk("", "missing", 1, word="", now="", path="")
    replaced(hands, Person())
    assert hands.did == PUT_IN


def test_one_that_was_pulled_and_that_md_still_has_is_let_go() -> None:
    hands = bench(old="faulty")
    hands.members["B2"] = disk("", "faulty", 1, word="", now="sdb", path="")
    replaced(hands, Person())
    assert hands.did == [*TAKEN_OUT, *PUT_IN]


def test_one_that_is_out_already_is_gone_on_with() -> None:
    hands = bench()
    del hands.members["B2"]
    assert replaced(hands, Person()).old == "B2"
    assert [verb for verb, _ in hands.did] == ["exchange", "add"]


@pytest.mark.parametrize("new", ["serial:C3", ""])
def test_a_rebuild_that_runs_is_waited_for(new: str) -> None:
    hands = bench()
    del hands.members["B2"]
    hands.members["C3"] = disk("C3", "rebuilding", 1)
    done = replaced(hands, Person(), "B2", new)
    assert [verb for verb, _ in hands.did] == ["exchange"]
    assert done.picture.state == "clean"


def test_a_declared_disk_that_is_not_there_is_waited_for() -> None:
    hands, person = bench(new="absent"), Person()
    hands.plugged = {6: "C3"}
    replaced(hands, person)
    assert hands.did == [*TAKEN_OUT, *PUT_IN]
    assert person.shown[0] == "waits for serial:C3"


def test_where_nothing_is_declared_the_disk_that_appears_is_offered() -> None:
    hands, person = bench(new=""), Person(takes="D4")
    hands.plugged = {4: "X9", 7: "D4"}
    assert replaced(hands, person).new == "serial:D4"
    assert person.offered == ["X9", "D4"]
    assert hands.did[-1] == ("add", "serial:D4")


def test_without_a_terminal_somebody_has_to_say_which_one_comes() -> None:
    hands = bench(new="")
    with pytest.raises(UsageError, match="nothing says which disk comes in place of B2; nothing was changed"):
        replaced(hands, Person())
    assert hands.did == []


def test_two_declared_disks_that_could_come_are_not_guessed_between() -> None:
    hands = bench()
    hands.declared["D4"] = disk("D4", "empty", -1)
    with pytest.raises(UsageError, match="nothing says which disk comes"):
        replaced(hands, Person())


def test_a_word_that_means_no_member_is_told_with_those_that_do() -> None:
    hands = bench()
    with pytest.raises(UsageError, match="B3 is no member of data on db1, which lacks none") as caught:
        replaced(hands, Person(), "B3")
    assert caught.value.hint == "its members are A1, B2"


def test_one_that_was_replaced_already_needs_nothing() -> None:
    hands = bench(new="")
    done = replaced(hands, Person(), "Z9")
    assert (done.new, done.picture.state, hands.did) == ("", "clean", [])


def test_where_a_spare_has_stepped_in_the_new_disk_stands_by() -> None:
    hands = bench()
    hands.declared["Z9"] = disk("Z9", "absent", -1)
    done = replaced(hands, Person(), "Z9")
    assert hands.did == [("exchange", "Z9 serial:C3"), ("add", "serial:C3")]
    assert [(one.serial, one.state) for one in done.picture.members][-1] == ("C3", "spare")
    assert done.picture.state == "clean"


def test_a_disk_does_not_replace_itself() -> None:
    with pytest.raises(UsageError, match="can't be replaced by itself"):
        replaced(bench(), Person(), "B2", "serial:B2")


@pytest.mark.parametrize("verb", ["fail", "remove", "add"])
def test_what_the_host_refuses_ends_it_there_and_it_can_be_gone_on_with(verb: str) -> None:
    hands = bench()
    hands.refuses = verb
    with pytest.raises(HakitError, match="no"):
        replaced(hands, Person())
    hands.refuses = ""
    assert replaced(hands, Person()).picture.state == "clean"


def test_an_array_that_does_not_run_has_nothing_to_rebuild_from() -> None:
    class Gone(type(bench())):  # type: ignore[misc]  # the bench's class, with another look
        def look(self, name: str) -> Picture:
            found: Picture = super().look(name)
            return type(found)(**{**{n: getattr(found, n) for n in found.__slots__}, "state": "absent"})

    hands = Gone(bench().members)
    with pytest.raises(RefusedError, match="array data is absent"):
        replaced(hands, Person())
