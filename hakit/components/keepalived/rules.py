"""The rules of VRRP that settings can break, and those that deriving the configuration upholds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hakit.components.keepalived.agreement import AGREEMENT_RULES
from hakit.components.keepalived.routers import instance_path, members
from hakit.components.keepalived.settings import KeepalivedSettings
from hakit.components.keepalived.weights import WEIGHT_RULES
from hakit.errors import SecretError
from hakit.lint.rule import Finding, Upheld, configured, rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from hakit.components.base import Component
    from hakit.inventory.model import Host, Site
    from hakit.inventory.origin import Path
    from hakit.inventory.secrets import Secret

    Components = Mapping[str, Component]

MANUAL = "keepalived.conf(5)"
_ONLY_A_PROCESS = re.compile(
    r"\b(?:pidof|pgrep)\b|\bkill(?:all)?\s+(?:-s\s+)?-?0\b|\bsystemctl\s.*\bis-active\b|\bservice\s+\S+\s+status\b"
)
_SLOW_TO_FORWARD = re.compile(r"(?:bond|team|br)[0-9._-]")
PASSWORD_LENGTH = 8
"""Characters of a VRRP password (RFC 3768's predecessor RFC 2338, 5.3.10)."""


def _directive(lines: Iterable[str], *names: str) -> tuple[int, str] | None:
    """Place and text of the first extra line that starts with one of the words."""
    for place, line in enumerate(lines):
        if line.split()[:1] and line.split()[0] in names:
            return place, line
    return None


@rule(
    "KA003",
    "error",
    reason="keepalived drops nopreempt and preempt_delay of an instance that starts as MASTER.",
    source=f"{MANUAL}, nopreempt and preempt_delay: the initial state must not be MASTER",
)
def starts_as_master(site: Site, components: Components) -> Iterator[Finding]:
    """`state MASTER` slipped in by extra lines."""
    del components
    for router, member in members(site):
        settings = member.settings
        found = _directive(settings.extra, "state")
        if found and found[1].split()[1:] == ["MASTER"] and (not settings.preempt or settings.preempt_delay):
            what = "preempt_delay" if settings.preempt else "nopreempt"
            yield Finding(
                member.host,
                instance_path(router, "extra", found[0]),
                f"state MASTER makes keepalived drop {what}; members find the holder by priority anyway",
                write="leave the line out; prefer: HOST names the holder",
            )


@rule(
    "KA005",
    "error",
    reason="VRRP's password goes over the wire in clear text, VRRPv3 has none, and only eight characters count.",
    source="RFC 5798, 9 (authentication removed); RFC 3768, 10; keepalived.conf(5), auth_pass",
)
def password(site: Site, components: Components) -> Iterator[Finding]:
    """A password: an error with VRRPv3, a warning with VRRPv2, an error where it is cut."""
    del components
    for router, member in members(site):
        settings = member.settings
        if settings.auth is None:
            continue
        if settings.version != 2:  # noqa: PLR2004 - VRRP version
            message = "VRRPv3 has no authentication; keepalived ignores it or refuses the file"
            where = instance_path(router, "auth")
            yield Finding(member.host, where, message, write="leave auth out, or  version: 2", waivable=False)
        else:
            message = (
                "the password crosses the network in clear text and proves nothing; unicast and a firewall that lets "
                "protocol 112 pass between the members alone do more (at most eight characters count)"
            )
            yield Finding(
                member.host, instance_path(router, "auth"), message, write="leave auth out", severity="warning"
            )
            if _length(settings.auth) > PASSWORD_LENGTH:
                message = f"only the first {PASSWORD_LENGTH} characters of the password count, the others are cut off"
                yield Finding(
                    member.host, instance_path(router, "auth"), message, write=f"{PASSWORD_LENGTH} characters"
                )


def _length(secret: Secret) -> int:
    """The length of a secret; 0 where it can't be read here (keepalived -t on the host refuses it then)."""
    try:
        return len(secret.reveal())
    except SecretError:
        return 0


@rule(
    "KA009",
    "warning",
    reason="A check that runs as root is a way to become root for whoever can change what it runs.",
    source=f"{MANUAL}, script_user and enable_script_security",
)
def check_as_root(site: Site, components: Components) -> Iterator[Finding]:
    """Checks with user root."""
    del components
    for host, settings in configured(site, "keepalived", KeepalivedSettings):
        for name, script in settings.scripts.items():
            if script.user == "root":
                path: Path = ("keepalived", "scripts", name, "user")
                yield Finding(host, path, f"the check {name} runs as root", write="leave user out")


@rule(
    "KA010",
    "warning",
    reason="A process that is there may hang all the same: only an answer proves that it serves.",
    source="keepalived 2.2.7: track_process stays in FAULT inside network namespaces; " + MANUAL,
)
def only_a_process(site: Site, components: Components) -> Iterator[Finding]:
    """Checks that look for a process."""
    del components
    for host, settings in configured(site, "keepalived", KeepalivedSettings):
        for name, script in settings.scripts.items():
            if _ONLY_A_PROCESS.search(script.command):
                path: Path = ("keepalived", "scripts", name, "command")
                yield _looks_for_process(host, path)
        for name, instance in settings.instances.items():
            if found := _directive(instance.extra, "track_process"):
                yield _looks_for_process(host, ("keepalived", "instances", name, "extra", found[0]))


def _looks_for_process(host: Host, path: Path) -> Finding:
    message = "the check only looks for a process: it misses one that hangs"
    return Finding(host, path, message, write="track: [COMPONENT], or a check that makes a request with a timeout")


@rule(
    "KA012",
    "warning",
    reason="Bonds and bridges forward late after a start, and switches learn an address's new port by its ARP.",
    source=f"{MANUAL}, vrrp_startup_delay and garp_master_refresh",
)
def slow_interface(site: Site, components: Components) -> Iterator[Finding]:
    """Addresses on a bond, a team or a bridge without a startup delay and repeated gratuitous ARP."""
    del components
    for host, settings in configured(site, "keepalived", KeepalivedSettings):
        for name, instance in settings.instances.items():
            if not _SLOW_TO_FORWARD.match(instance.interface):
                continue
            missing = [
                *(["startup_delay: 5s"] if not settings.startup_delay else []),
                *(["garp: {refresh: 60s}"] if not instance.garp.refresh else []),
            ]
            if missing:
                message = f"{instance.interface} may forward late, and switches may keep the old port for the address"
                path: Path = ("keepalived", "instances", name, "interface")
                yield Finding(host, path, message, write="  and  ".join(missing))


@rule(
    "KA013",
    "error",
    reason="Strict mode refuses unicast and authentication, and drops packets to an address the host does not own.",
    source=f"{MANUAL}, vrrp_strict and no_accept",
)
def strict_mode(site: Site, components: Components) -> Iterator[Finding]:
    """`vrrp_strict` or `strict_mode` slipped in by extra lines."""
    del components
    message = "strict mode drops packets to an address that the host does not own, so nothing can be served there"
    for host, settings in configured(site, "keepalived", KeepalivedSettings):
        if found := _directive(settings.extra, "vrrp_strict"):
            path: Path = ("keepalived", "extra", found[0])
            yield Finding(host, path, message, write="leave the line out")
        for name, instance in settings.instances.items():
            found = _directive(instance.extra, "strict_mode")
            if found and found[1].split()[1:2] not in (["off"], ["no"], ["false"]):
                path = ("keepalived", "instances", name, "extra", found[0])
                yield Finding(host, path, message, write="leave the line out")


RULES = (
    *WEIGHT_RULES,
    *AGREEMENT_RULES,
    starts_as_master,
    password,
    check_as_root,
    only_a_process,
    slow_interface,
    strict_mode,
)
UPHELD = (
    Upheld(
        "KA014",
        reason="A firewall between the members that drops protocol 112 makes two holders.",
        source="RFC 5798, 5.1.1.4 (protocol 112)",
        how="hakit manages no firewall; where one of yours drops adverts, verify finds two holders",
    ),
    Upheld(
        "KA015",
        reason="keepalived works around errors in its file, and skips checks it finds insecure.",
        source="keepalived(8), --config-test: exit 5 and 6",
        how="the staged file must pass keepalived -t on the host, with exit 0, before it replaces the running one",
    ),
)
