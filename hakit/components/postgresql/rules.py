"""The rules of streaming replication that settings can break, and those that deriving, deciding and guarding uphold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import BaseModel

from hakit.components.postgresql import hba
from hakit.components.postgresql.commits import COMMIT_RULES
from hakit.components.postgresql.members import COMPONENT, cluster_of, clusters, settings_of
from hakit.components.postgresql.settings import PostgresqlSettings
from hakit.components.postgresql.tuning import needed, senders, where
from hakit.lint.rule import Finding, Upheld, configured, rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hakit.components.base import Component
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path

    Components = Mapping[str, Component]

MANUAL = "PostgreSQL documentation"
_PROMOTES = re.compile(
    r"\bpg_ctl(?:cluster)?\b.*\bpromote\b|\bpg_promote\b|\brepmgr\b.*\bpromote\b|\bpatronictl\b|\bhakit\s+postgres\b"
)
_OFF = ("off", "false", "no", "0")


@rule(
    "PG002",
    "error",
    reason="Two nodes can't decide safely who is primary: a script that promotes on a lost VRRP advert makes a second.",
    source="RFC 5798, 6.4 (a backup that hears no adverts becomes master); automatic failover needs a quorum",
)
def promotion_by_vrrp(site: Site, components: Components) -> Iterator[Finding]:
    """Commands of other components that promote a server."""
    del components
    seen: set[int] = set()
    for host in site.hosts.values():
        for name, settings in host.settings.items():
            if name == COMPONENT or id(settings) in seen:
                continue
            seen.add(id(settings))
            for path, text in _texts(settings, (name,)):
                if _PROMOTES.search(text):
                    message = "a promotion on a missed advert makes a second primary: the first may be alive"
                    write = "leave it out; an operator runs  hakit postgres failover"
                    yield Finding(host, path, message, write=write)


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text in settings, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _texts(getattr(value, name), (*path, name))
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _texts(one, (*path, str(key)))
    elif isinstance(value, tuple):
        for place, one in enumerate(value):
            yield from _texts(one, (*path, place))


@rule(
    "PG004",
    "error",
    reason="A slot without a bound keeps WAL for a standby that never comes back, until the disk is full.",
    source=f"{MANUAL}, 20.6.1 max_slot_wal_keep_size; https://github.com/patroni/patroni/issues/1941",
)
def unbounded_slots(site: Site, components: Components) -> Iterator[Finding]:
    """A bound of -1; plan and apply warn of one above the room that the host has."""
    del components
    for host, settings in configured(site, COMPONENT, PostgresqlSettings):
        for path, value in where(settings, "max_slot_wal_keep_size"):
            if str(value).strip().startswith("-"):
                message = "a standby that is away would have WAL kept for it until the primary's disk is full"
                yield Finding(host, path, message, write="leave it out; replication: {slot_limit: 1GB}")


@rule(
    "PG008",
    "error",
    reason="A standby with less of these than the primary had when it wrote the WAL stops replaying it.",
    source=f"{MANUAL}, 27.4.3 (administrator's overview of hot standby)",
)
def less_than_the_primary(site: Site, components: Components) -> Iterator[Finding]:
    """Members below one that may be the primary."""
    del components
    for cluster in clusters(site).values():
        values = {host.name: needed(site, host) for host in cluster.hosts}
        for host in cluster.hosts:
            for name, mine in values[host.name].items():
                most = max(cluster.promotable, key=lambda one: values[one][name], default=host.name)
                if values[most][name] > mine:
                    yield _too_small(host, name, mine, most, values[most][name])


def _too_small(host: Host, name: str, mine: int, most: str, theirs: int) -> Finding:
    places = [path for path, _ in where(settings_of(host), name)]
    message = f"{name} is {mine} here and {theirs} on {most}: while {most} is primary, this standby can't follow it"
    return Finding(host, places[-1] if places else (COMPONENT,), message, write=f"{name}: {theirs}  on all members")


@rule(
    "PG009",
    "error",
    reason="A row of pg_hba.conf that is too wide lets strangers copy the cluster; one that is hidden does nothing.",
    source=f"{MANUAL}, 21.1 (the first row that fits is the only one)",
)
def doors(site: Site, components: Components) -> Iterator[Finding]:
    """Rows for replication that anybody fits, weak methods, rows that an earlier one hides."""
    del components
    for host, _ in configured(site, COMPONENT, PostgresqlSettings):
        found = hba.rows(site, host)
        for row in found:
            if row.path:
                yield from _weak(host, row)
        for row, first in hba.hidden(found):
            if row.path:
                what = f"the row for {first.address or 'local clients'}" + (f" ({first.why})" if first.why else "")
                message = f"{what} comes first and takes every connection that fits here: this one does nothing"
                yield Finding(host, row.path, message, write="leave it out, or put the narrower row first")


def _weak(host: Host, row: hba.Row) -> Iterator[Finding]:
    write = f"method: {hba.SCRAM}"
    if row.replicates and row.method == "trust":
        yield Finding(host, row.path, f"anybody at {row.address} could copy the whole cluster, unasked", write=write)
    elif row.replicates and row.anywhere and row.method != "reject":
        message = f"replication is open to {row.address}: whoever has the password copies the whole cluster"
        yield Finding(host, row.path, message, write="the standbys' own addresses; those of members are there already")
    elif row.method == "trust":
        message = f"anybody at {row.address or 'this host'} is let in as whoever they claim to be"
        yield Finding(host, row.path, message, write=write, severity="warning")
    if row.method in ("md5", "password"):
        message = f"{row.method} gives passwords away to whoever listens; all verifiers here are SCRAM"
        yield Finding(host, row.path, message, write=write, severity="warning")


@rule(
    "PG010",
    "error",
    reason="Without the WAL, or a sender and a slot for each standby, nobody can follow.",
    source=f"{MANUAL}, 20.5.1 wal_level; 20.6.1 max_wal_senders, max_replication_slots",
)
def nothing_to_follow(site: Site, components: Components) -> Iterator[Finding]:
    """`wal_level = minimal`; too few senders or slots."""
    del components
    for host, settings in configured(site, COMPONENT, PostgresqlSettings):
        for path, value in where(settings, "wal_level"):
            if str(value).lower() == "minimal":
                yield Finding(
                    host, path, "no standby can follow a primary that writes minimal WAL", write="leave it out"
                )
        others = len(cluster_of(site, host).hosts) - 1
        for name, least, what in (
            ("max_wal_senders", others + 2, "a sender for each and two for a copy"),
            ("max_replication_slots", others, "a slot for each"),
        ):
            for path, value in where(settings, name):
                if str(value).isdecimal() and int(str(value)) < least:
                    message = f"{others} other members need {what}: {least}, not {value}"
                    write = f"leave it out ({senders(cluster_of(site, host))} are derived)"
                    yield Finding(host, path, message, write=write, severity="warning")


@rule(
    "PG013",
    "warning",
    reason="A standby that stays on an old timeline, or lacks WAL that is gone everywhere, has to be copied anew.",
    source=f"{MANUAL}, 20.5.5 recovery_target_timeline; 27.2.6 (replication slots and archives)",
)
def left_behind(site: Site, components: Components) -> Iterator[Finding]:
    """A timeline other than the latest; a standby on another site without an archive."""
    del components
    for host, settings in configured(site, COMPONENT, PostgresqlSettings):
        for path, value in where(settings, "recovery_target_timeline"):
            if str(value).lower() != "latest":
                message = f"after a promotion this standby stays on timeline {value} and follows nobody"
                yield Finding(host, path, message, write="leave it out")
    for cluster in clusters(site).values():
        for host in cluster.hosts:
            if cluster.afar(host) and not where(settings_of(host), "restore_command"):
                limit = settings_of(host).replication.slot_limit
                message = f"once {host.name} is cut off for longer than its slot keeps WAL ({limit}), it is copied anew"
                write = "parameters: {restore_command: …}  that reads a WAL archive, or a waiver"
                yield Finding(host, (COMPONENT, "site"), message, write=write)


@rule(
    "PG014",
    "warning",
    reason="Feedback trades cancelled queries on standbys for dead rows on the primary.",
    source=f"{MANUAL}, 20.6.3 hot_standby_feedback; 27.4.2 (handling query conflicts)",
)
def feedback(site: Site, components: Components) -> Iterator[Finding]:
    """`hot_standby_feedback = on`."""
    del components
    for host, settings in configured(site, COMPONENT, PostgresqlSettings):
        for path, value in where(settings, "hot_standby_feedback"):
            if value is not False and str(value).lower() not in _OFF:
                message = (
                    "a long query on a standby keeps dead rows on the primary, which bloat its tables; without it "
                    "such queries are cancelled after max_standby_streaming_delay instead"
                )
                yield Finding(host, path, message, write="leave it out, or waive this where long reads matter more")


@rule(
    "PG015",
    "warning",
    reason="Replication without TLS shows every row that changes to whoever listens on the way.",
    source=f"{MANUAL}, 19.9 (secure TCP/IP connections with SSL)",
)
def clear_text(site: Site, components: Components) -> Iterator[Finding]:
    """`ssl = off`."""
    del components
    for host, settings in configured(site, COMPONENT, PostgresqlSettings):
        for path, value in where(settings, "ssl"):
            if value is False or str(value).lower() in _OFF:
                message = "standbys copy every row in clear text, and clients' queries can be read on the way"
                yield Finding(host, path, message, write="leave it out: TLS is on, with the host's own certificate")


RULES = (
    promotion_by_vrrp,
    unbounded_slots,
    *COMMIT_RULES,
    less_than_the_primary,
    doors,
    nothing_to_follow,
    left_behind,
    feedback,
    clear_text,
)
UPHELD = (
    Upheld(
        "PG001",
        reason="A promotion while the old primary may take writes splits the cluster in two.",
        source="https://github.com/patroni/patroni/issues/421; " + MANUAL + ", 27.3 (failover)",
        how="a failover needs the old primary stopped, fenced or named by the operator, and enough standbys; a boot "
        "guard keeps a primary of the past from opening for writes",
    ),
    Upheld(
        "PG003",
        reason="pg_rewind needs to know which pages changed, and the WAL back to where the servers parted.",
        source=f"{MANUAL}, pg_rewind",
        how="wal_log_hints is on, checksums are made; rejoin makes a checkpoint first, and says when only a copy helps",
    ),
    Upheld(
        "PG011",
        reason="A data directory of another cluster is somebody's data.",
        source=f"{MANUAL}, 73.1 (the system identifier in pg_control)",
        how="system identifiers are compared before anything is made; what is in the way is never deleted",
    ),
    Upheld(
        "PG012",
        reason="With two primaries each has commits that the other lacks, and any choice loses some.",
        source=f"{MANUAL}, 27.3 (failover: only one system must be primary)",
        how="plan, apply and every command on the cluster stop and show both timelines",
    ),
    Upheld(
        "PG016",
        reason="A parameter that needs a restart does nothing until there was one.",
        source=f"{MANUAL}, 54.24 (pg_settings: context, pending_restart)",
        how="by the server's own list such parameters are in a file of their own, whose change restarts the server",
    ),
    Upheld(
        "PG017",
        reason="An upgrade by itself restarts the primary at a moment that nobody chose.",
        source="https://github.com/liske/needrestart (override_rc); unattended-upgrades, Package-Blacklist",
        how="both are told to leave the server alone: hakit upgrade takes one member after the other",
    ),
)
