"""Constellations in which a server that is no standby starts, and what its boot guard has to say.

A case: the members (`db1*` does not vote), who starts, with what timeline and decision, and what the peers tell.
A decision is `2 db2` (epoch and primary), `1 db1 -db2,db3` (the latter excused). A peer tells `role timeline decision`,
where the role is followed by `@x` for another cluster, `@` for none and `s` for a standby that is stopped; a peer that
is not named tells nothing.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    name: str
    members: str
    host: str
    timeline: int
    decision: str
    peers: dict[str, str]
    opens: bool
    why: str
    """What the reason has to contain."""


OPEN = True
SHUT = False
CASES = (
    # one member
    Case("single server", "db1", "db1", 1, "1 db1", {}, OPEN, "no other is needed"),
    Case("single server, never decided", "db1", "db1", 1, "0", {}, OPEN, "nobody was named"),
    Case("single server that was decided against", "db1", "db1", 1, "2 db9", {}, SHUT, "db9 was made the primary"),
    # making
    Case("made, nobody joined", "db1 db2 db3", "db1", 1, "1 db1 -db2,db3", {}, OPEN, "epoch 1 names db1"),
    Case(
        "made, others are being copied", "db1 db2 db3", "db1", 1, "1 db1 -db2,db3",
        {"db2": "stopped@ 0 0", "db3": "stopped@ 0 0"}, OPEN, "db2, db3 know of no other",
    ),
    Case("made, one joined, alone", "db1 db2 db3", "db1", 1, "1 db1 -db3", {}, SHUT, "1 of 2 members are heard, 2 are"),
    Case(
        "made, one joined, together", "db1 db2 db3", "db1", 1, "1 db1 -db3", {"db2": "standby 1 0"}, OPEN, "epoch 1",
    ),
    Case(
        "made, one joined, only the one that did not answers", "db1 db2 db3", "db1", 1, "1 db1 -db3",
        {"db3": "stopped@ 0 0"}, SHUT, "1 of 2",
    ),
    # the whole site starts
    Case(
        "cold start, all", "db1 db2 db3", "db1", 1, "1 db1", {"db2": "stopped:s 1 0", "db3": "standby 1 0"}, OPEN,
        "epoch 1 names db1",
    ),
    Case("cold start, first one up", "db1 db2 db3", "db1", 1, "1 db1", {}, SHUT, "1 of 3 members are heard, 2 are"),
    Case("cold start, second one up", "db1 db2 db3", "db1", 1, "1 db1", {"db3": "stopped:s 1 0"}, OPEN, "db3 knows"),
    Case(
        "cold start after a failover, the new one", "db1 db2 db3", "db2", 2, "2 db2",
        {"db1": "starting 1 1 db1", "db3": "standby 2 2 db2"}, OPEN, "epoch 2 names db2",
    ),
    Case(
        "cold start after a failover, the new one with the old one only", "db1 db2 db3", "db2", 2, "2 db2",
        {"db1": "starting 1 1 db1"}, OPEN, "db1 knows of no other",
    ),
    Case(
        "cold start after a failover, the old one", "db1 db2 db3", "db1", 1, "1 db1",
        {"db2": "starting 2 2 db2", "db3": "stopped:s 1 2 db2"}, SHUT, "db2 was made the primary (epoch 2",
    ),
    Case(
        "cold start after a failover that excused the old one", "db1 db2 db3", "db2", 2, "2 db2 -db1",
        {"db3": "stopped:s 1 2 db2"}, OPEN, "epoch 2 names db2",
    ),
    Case(
        "cold start after a failover that excused the old one, alone", "db1 db2 db3", "db2", 2, "2 db2 -db1", {}, SHUT,
        "1 of 2",
    ),
    Case(
        "cold start of five, a minority", "db1 db2 db3 db4 db5", "db1", 3, "7 db1", {"db2": "stopped:s 3 7 db1"}, SHUT,
        "2 of 5 members are heard, 3 are",
    ),
    Case(
        "cold start of five, a majority", "db1 db2 db3 db4 db5", "db1", 3, "7 db1",
        {"db2": "stopped:s 3 7 db1", "db5": "standby 3 6 db4"}, OPEN, "epoch 7 names db1",
    ),
    # a stale primary returns
    Case(
        "stale, all others are there", "db1 db2 db3", "db1", 1, "1 db1",
        {"db2": "primary 2 2 db2", "db3": "standby 2 2 db2"}, SHUT, "db2 was made the primary (epoch 2",
    ),
    Case(
        "stale, only the other standby is there, which knows", "db1 db2 db3", "db1", 1, "1 db1",
        {"db3": "standby 1 2 db2"}, SHUT, "db2 was made the primary",
    ),
    Case(
        "stale, promoted by hand without a decision", "db1 db2 db3", "db1", 1, "1 db1",
        {"db2": "primary 2 0", "db3": "standby 2 0"}, SHUT, "db2 runs as the primary",
    ),
    Case(
        "stale, who was promoted by hand is down again", "db1 db2 db3", "db1", 1, "1 db1",
        {"db2": "stopped 2 0", "db3": "stopped:s 1 0"}, SHUT, "db2 is on timeline 2, ours is 1",
    ),
    Case(
        "stale, a standby alone has followed the new timeline", "db1 db2 db3", "db1", 1, "1 db1",
        {"db3": "standby 2 0"}, SHUT, "db3 is on timeline 2, ours is 1",
    ),
    Case("stale, cut off", "db1 db2 db3", "db1", 1, "1 db1", {}, SHUT, "nobody could say"),
    Case("one of two, the other is dead", "db1 db2", "db1", 1, "1 db1", {}, SHUT, "1 of 2"),
    Case("one of two, the other is excused", "db1 db2", "db1", 1, "3 db1 -db2", {}, OPEN, "epoch 3 names db1"),
    Case(
        "one of two, the excused one knows better", "db1 db2", "db1", 1, "3 db1 -db2", {"db2": "primary 2 4 db2"}, SHUT,
        "db2 was made the primary (epoch 4",
    ),
    Case(
        "excused itself by an older decision", "db1 db2 db3", "db1", 1, "2 db1 -db1", {"db2": "standby 1 2 db1"}, OPEN,
        "epoch 2",
    ),
    # a switchover from db1 to db2 was cut off
    Case(
        "switchover, decided on the old one alone", "db1 db2 db3", "db1", 1, "2 db2",
        {"db2": "standby 1 1 db1", "db3": "standby 1 1 db1"}, SHUT, "db2 was made the primary (epoch 2, no time",
    ),
    Case(
        "switchover, decided on the target alone", "db1 db2 db3", "db1", 1, "1 db1",
        {"db2": "standby 1 2 db2", "db3": "standby 1 1 db1"}, SHUT, "says db2",
    ),
    Case(
        "switchover, stopped, not promoted", "db1 db2 db3", "db1", 1, "2 db2",
        {"db2": "standby 1 2 db2", "db3": "standby 1 2 db2"}, SHUT, "db2 was made the primary",
    ),
    Case(
        "switchover, went back", "db1 db2 db3", "db1", 1, "3 db1",
        {"db2": "standby 1 3 db1", "db3": "standby 1 2 db2"}, OPEN, "epoch 3 names db1",
    ),
    Case(
        "switchover, went back, known to one other only", "db1 db2 db3", "db1", 1, "2 db2",
        {"db2": "standby 1 3 db1", "db3": "standby 1 2 db2"}, OPEN, "epoch 3 names db1",
    ),
    Case(
        "switchover, promoted, the target reboots", "db1 db2 db3", "db2", 2, "2 db2",
        {"db1": "stopped:s 1 2 db2", "db3": "standby 1 2 db2"}, OPEN, "epoch 2 names db2",
    ),
    Case(
        "switchover, promoted, the old one returns before it was made a standby", "db1 db2 db3", "db1", 1, "2 db2",
        {"db2": "primary 2 2 db2"}, SHUT, "db2 was made the primary",
    ),
    # members that do not vote
    Case(
        "another site does not make a majority", "db1 db2 db3*", "db1", 1, "1 db1", {"db3": "standby 1 0"}, SHUT,
        "1 of 2",
    ),
    Case(
        "another site is not needed", "db1 db2 db3 far*", "db1", 1, "1 db1", {"db2": "standby 1 0"}, OPEN, "epoch 1",
    ),
    Case(
        "another site may know better", "db1 db2 far*", "db1", 1, "1 db1",
        {"db2": "stopped:s 1 0", "far": "standby 1 2 db2"}, SHUT, "says far",
    ),
    Case(
        "who does not vote has no voice for itself", "db1 db2 far*", "far", 1, "0", {"db1": "stopped:s 1 0"}, SHUT,
        "1 of 2",
    ),
    # strangers
    Case(
        "another cluster at a peer's address does not count", "db1 db2 db3", "db1", 1, "1 db1",
        {"db2": "primary@x 9 9 db2"}, SHUT, "1 of 3",
    ),
    Case(
        "another cluster beside a majority is ignored", "db1 db2 db3", "db1", 1, "1 db1",
        {"db2": "primary@x 9 9 db2", "db3": "standby 1 0"}, OPEN, "db3 knows of no other",
    ),
    Case(
        "a member that lost its data still knows", "db1 db2 db3", "db1", 1, "1 db1", {"db2": "stopped@ 0 2 db3"}, SHUT,
        "db3 was made the primary",
    ),
    Case(
        "a replaced member knows nothing", "db1 db2 db3", "db1", 1, "1 db1", {"db3": "stopped@ 0 0"}, SHUT,
        "1 of 3 members are heard, 2 are needed (db2: timed out, db3: has no data, and was never told",
    ),
    Case(
        "a replaced member is not needed", "db1 db2 db3", "db1", 1, "1 db1",
        {"db2": "standby 1 0", "db3": "stopped@ 0 0"}, OPEN, "epoch 1 names db1",
    ),
    # contradictions
    Case(
        "two decisions of one epoch", "db1 db2 db3", "db1", 1, "2 db1", {"db2": "standby 1 2 db2"}, SHUT,
        "db2 was made the primary",
    ),
    Case(
        "named, but another one runs", "db1 db2 db3", "db1", 2, "5 db1",
        {"db2": "primary 2 4 db2", "db3": "standby 2 5 db1"}, SHUT, "db2 runs as the primary",
    ),
    Case(
        "nobody was ever named, and a peer is no standby either", "db1 db2", "db1", 1, "0", {"db2": "starting 1 0"},
        SHUT, "db2 could be the primary as well",
    ),
    Case(
        "nobody was ever named, the peer is a standby", "db1 db2", "db1", 1, "0", {"db2": "stopped:s 1 0"}, OPEN,
        "nobody was named",
    ),
)  # fmt: skip
