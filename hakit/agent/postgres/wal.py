"""Positions in the WAL and the timelines that it is on: as numbers, and as a server is asked for them."""

from __future__ import annotations

_PRIMARY = "('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int"

END = "greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
"""SQL: where the WAL ends that a standby has on disk."""

# The control file tells the timeline of the last checkpoint, and what is received that of the WAL that comes. While
# nothing comes, WAL on disk may still be of a newer one than the last checkpoint: its files have it in their names.
TIMELINE = f"""
CASE WHEN NOT pg_is_in_recovery() THEN {_PRIMARY}
ELSE greatest(
    (SELECT timeline_id FROM pg_control_checkpoint()),
    (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
    (SELECT received_tli FROM pg_stat_wal_receiver),
    CASE WHEN NOT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') THEN
        (SELECT max(('x' || left(name, 8))::bit(32)::int)
         FROM (SELECT setting::bigint AS bytes FROM pg_settings WHERE name = 'wal_segment_size') segment,
              (SELECT {END} AS lsn OFFSET 0) wal, pg_ls_waldir()
         WHERE name ~ '^[0-9A-F]{{24}}$'
           AND ('x' || substr(name, 9, 8))::bit(32)::bigint * (4294967296 / bytes)
               + ('x' || right(name, 8))::bit(32)::bigint
               = trunc(greatest(lsn - '0/0'::pg_lsn - 1, 0) / bytes))
    END)
END"""  # noqa: S608 - of constants
"""SQL: the timeline of a server that runs; for a standby the newest one of which it has WAL."""

STREAMS = """
EXISTS (SELECT FROM pg_stat_wal_receiver receiver JOIN pg_stat_activity USING (pid)
        WHERE receiver.status = 'streaming'
          AND (last_msg_receipt_time <> last_msg_send_time
               OR wait_event = 'WalReceiverMain' AND last_msg_receipt_time < clock_timestamp() - interval '0.5 s'))"""
"""SQL: whether a standby receives.

A receiver says `streaming` from its very start, also one that its upstream is about to refuse. Such a one has got no
message yet (both times are that of its start then), and does not live long enough to wait for one.
"""

DELAYS = """
EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event = 'RecoveryApplyDelay')"""
"""SQL: whether a standby holds back a commit on purpose. Meanwhile PostgreSQL starts no receiver for it."""

PROMOTED = f"CASE WHEN NOT pg_is_in_recovery() THEN {_PRIMARY} END"
"""SQL: the timeline of a primary; NULL on a standby."""


def number(lsn: str) -> int:
    """An LSN as the number of bytes before it: `1/2` is 4294967298, nothing is 0. Raises ValueError.

    PostgreSQL manual, 8.20: two hexadecimal numbers of up to 8 digits.
    """
    if not lsn:
        return 0
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def written(position: int) -> str:
    """The reverse of `number`."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
