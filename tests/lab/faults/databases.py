"""Rows about PostgreSQL clusters: their tests break a cluster of three behind two balancers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.lab.faults.row import Elsewhere

if TYPE_CHECKING:
    from tests.lab.faults.row import Row

FAULTS = "tests/lab/postgres/test_faults.py"
SHAPES = "tests/lab/postgres/test_shapes.py"
MOVES = "tests/lab/postgres/test_moves.py"
KILLS = "tests/lab/postgres/test_kills.py"
COPIES = "tests/lab/postgres/test_copies.py"
CLAIMS = "tests/lab/postgres/test_claims.py"


def _row(name: str, broken: str, promise: str, *tests: str) -> Row:
    return Elsewhere(name, "database", broken, promise, tests)


ROWS: tuple[Row, ...] = (
    _row(
        "pg-slot-lost",
        "A standby is away for longer than its slot keeps WAL",
        "Status, apply and rejoin say so and name `reinit`; its server goes on; the old data are moved aside",
        f"{FAULTS}::test_a_standby_that_was_away_for_too_long_is_copied_anew",
    ),
    _row(
        "pg-full-primary",
        "The disk with the primary's WAL is full",
        "Status says whose; no acknowledged row is lost; it goes on by itself when there is room, or a failover does",
        f"{FAULTS}::test_a_full_wal_disk_of_the_primary_loses_nothing_and_goes_on_when_there_is_room",
        f"{FAULTS}::test_a_full_wal_disk_of_the_primary_is_no_obstacle_for_a_failover",
    ),
    _row(
        "pg-full-standby",
        "The disk with a standby's WAL is full",
        "Status says whose; writes go on; it follows again by itself when there is room",
        f"{FAULTS}::test_a_full_wal_disk_of_a_standby_stops_nobody_else",
    ),
    _row(
        "pg-password",
        "The password of the replication role is changed by hand, on the server or in a member's file",
        "Status says that it is refused; apply puts it right; rejoin leaves the standby running",
        f"{FAULTS}::test_a_password_that_was_changed_by_hand_is_said_and_put_right",
        f"{FAULTS}::test_a_password_file_that_was_changed_by_hand_is_put_right",
    ),
    _row(
        "pg-new-password",
        "The replication password is changed where hakit runs",
        "One apply brings it to the role and to all members, while writes go on",
        f"{FAULTS}::test_a_new_replication_password_reaches_the_role_and_all_members",
    ),
    _row(
        "pg-other-system",
        "A member's data directory holds another cluster",
        "It does not open, and serves neither writes nor reads; every command refuses with both system identifiers; "
        "`reinit` moves it aside",
        f"{FAULTS}::test_data_of_another_cluster_serve_nobody_and_are_moved_aside",
    ),
    _row(
        "pg-in-the-way",
        "In a member's place is a folder with files, a cluster of another version, a link, somebody else's folder, "
        "a new file system, a damaged cluster",
        "Apply refuses before any change on that host and says what is there; only `reinit` moves it aside",
        f"{FAULTS}::test_what_is_in_the_way_of_a_copy_is_left_alone",
        f"{FAULTS}::test_what_is_in_the_way_is_moved_aside_when_that_is_asked_for",
    ),
    _row(
        "pg-standby-power",
        "One of two standbys loses its power while commits wait for any one",
        "Writes go on",
        f"{FAULTS}::test_writes_go_on_when_one_standby_loses_its_power",
    ),
    _row(
        "pg-no-standby",
        "Both standbys lose their power",
        "Writes wait, and status says for what; they go on as soon as one is back",
        f"{FAULTS}::test_without_standbys_writes_wait_and_go_on_when_one_is_back",
    ),
    _row(
        "pg-open-door",
        "A row in `pg_hba.conf` lets strangers replicate",
        "Verify finds it, apply takes it away",
        f"{FAULTS}::test_an_open_door_for_strangers_is_found_and_shut",
    ),
    _row(
        "pg-upstream-gone",
        "The standby is gone that another one follows",
        "Status says so; rejoin has it follow the primary, and later its own upstream again",
        f"{SHAPES}::test_a_member_behind_a_standby_that_is_gone_follows_the_primary_meanwhile",
    ),
    _row(
        "pg-primary-power",
        "The primary loses its power at a random moment under load",
        "A failover loses no acknowledged row; the old primary stays shut until it is taken back",
        f"{MOVES}::test_a_failover_loses_nothing",
    ),
    _row(
        "pg-primary-back",
        "The primary loses its power and is back before anybody acted",
        "It asks its peers, and serves again",
        f"{MOVES}::test_a_primary_that_comes_back_serves_again",
    ),
    _row(
        "pg-site-power",
        "The whole site loses its power",
        "It comes back without an operator, with every acknowledged row",
        f"{MOVES}::test_the_whole_site_comes_back_by_itself",
    ),
    _row(
        "pg-killed",
        "hakit is killed at any step of a switchover or a failover",
        "Status says where things stand and names the command that finishes it; no row is lost, never two take writes",
        f"{KILLS}::test_a_switchover_that_is_killed_is_finished",
        f"{KILLS}::test_a_failover_that_is_killed_is_finished",
    ),
    _row(
        "pg-copy-power",
        "The primary or the standby loses its power in the middle of a copy",
        "The copy is begun again, and never taken for a standby; what was there stays until a whole one is there",
        f"{COPIES}::test_the_first_copy_loses_its_standby_then_its_primary",
        f"{COPIES}::test_a_copy_made_anew_loses_its_standby",
        f"{COPIES}::test_a_copy_made_anew_loses_its_primary",
    ),
    _row(
        "pg-two-primaries",
        "A standby is promoted by hand beside the primary",
        "Neither gets writes; every command refuses and shows both histories",
        f"{CLAIMS}::test_neither_of_two_primaries_gets_writes",
    ),
)
