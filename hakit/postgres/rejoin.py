"""A member taken back: as it is where its history allows, rewound where it parted, copied anew where that can't be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.agent.postgres import serverlog
from hakit.errors import HakitError, RefusedError
from hakit.postgres.conductor import ATTACHING, CHECKPOINT, STARTING, STOPPING, Conductor, Outcome, refuse_torn
from hakit.postgres.member import CLUSTER
from hakit.postgres.picture import OTHER

if TYPE_CHECKING:
    from hakit.postgres.member import MemberState
    from hakit.postgres.picture import Picture

REJOIN, REINIT = "rejoin", "reinit"
SHORT = 5.0
"""Seconds that a standby has to attach whose slot has lost its WAL: it can have come that far by other means."""
REWINDING = 4 * 3600.0
COPYING = 7 * 86400.0
"""Seconds for a copy; the host ends one that does not advance long before."""


class Return:
    """What brings one member of a cluster back to its place."""

    def __init__(self, conductor: Conductor, host: str) -> None:
        self._at = conductor
        self._layout = conductor.layout
        self._host = host

    def rejoin(self) -> Outcome:
        """Have the member follow the primary with the data that it has. Raises RefusedError."""
        picture, state = self._check()
        primary, upstream = picture.primary, self._upstream(picture)
        streamed = state.streams and state.upstream == upstream
        self._prepare(picture, upstream)
        patience = SHORT if picture.is_left_behind(self._host) else ATTACHING
        if state.follows and self._follows(upstream, patience):
            return self._done(REJOIN, picture, "it did so already" if streamed else "it had only to be told whom")
        if state.signal and not state.demoted:
            if not state.running and self._starts(upstream, patience):
                return self._done(REJOIN, picture, "it had only to be started")
            self._check_reasons(upstream)
        self._at.note(self._host, f"is compared with {primary}, and rewound where it parted from it")
        self._at.do(self._host, "stop", STOPPING, mode="fast")
        self._at.do(primary, "checkpoint", CHECKPOINT)
        try:
            found = self._at.do(self._host, "rewind", REWINDING, upstream=primary)
        except RefusedError as error:
            error.hint = error.hint or self._anew()
            raise
        self._at.do(self._host, "follow", upstream=upstream)
        self._at.do(self._host, "start", STARTING)
        if not self._follows(upstream):
            raise RefusedError(
                f"{self._host} was started as a standby, and does not stream from {upstream}",
                why=self._at.state(self._host).why or None,
                hint=self._anew(),
            )
        return self._done(REJOIN, picture, "it was rewound" if found.get("rewound") else "nothing had to be rewound")

    def reinit(self) -> Outcome:
        """Copy the member anew; its old data are moved aside. Raises RefusedError."""
        picture, _ = self._check(anew=True)
        upstream = self._upstream(picture)
        self._prepare(picture, upstream)
        words = {"upstream": upstream, "rate": str(self._layout.rate), "system": picture.states[upstream].system}
        found = self._at.do(self._host, "reinit", COPYING, **words)
        self._at.do(self._host, "start", STARTING)
        if not self._follows(upstream, self._layout.catch_up):
            raise RefusedError(
                f"{self._host} was copied, and does not stream from {upstream} after {self._layout.catch_up:g} s",
                why=self._at.state(self._host).why or None,
                hint=f"hakit postgres rejoin {self._layout.name} {self._host}",
            )
        aside = str(found.get("aside") or "")
        return self._done(REINIT, picture, f"it was copied; its old data are in {aside}" if aside else "it was copied")

    def _check(self, *, anew: bool = False) -> tuple[Picture, MemberState]:
        """What both need. Raises RefusedError."""
        picture, host, name = self._at.look(), self._host, self._layout.name
        if not (anew and host in picture.astray):
            refuse_torn(picture)
        if host not in picture.states:
            raise RefusedError(
                f"{host} does not answer: {picture.errors.get(host, '')}",
                hint="see that it is on and that SSH reaches it",
            )
        if not picture.primary:
            findings = picture.findings()
            raise RefusedError(
                f"{name} has no primary that {host} could follow",
                why=findings[0].text if findings else None,
                hint=findings[0].command if findings else None,
            )
        if host == picture.primary:
            raise RefusedError(
                f"{host} is the primary of {name}: there is nothing to take back",
                hint=f"to move the primary first:  hakit postgres switchover {name}",
            )
        state, lead = picture.states[host], picture.states[picture.primary]
        if not state.installed or (state.blank and not anew):
            raise RefusedError(f"{host} has no data", hint="hakit apply  copies them")
        if anew:
            return picture, state
        if state.data != CLUSTER or state.system != lead.system:
            holds = f"it holds {OTHER.get(state.data, 'another cluster')}"
            raise RefusedError(f"the data directory of {host} can't be used", why=state.why or holds, hint=self._anew())
        if (state.former or state.demoted) and state.timeline >= lead.timeline:
            # Each was promoted to that timeline by itself: to pg_rewind both look like one history.
            raise RefusedError(
                f"{host} and {picture.primary} have both been primaries on timeline {lead.timeline}",
                why="\n  ".join(picture.histories()),
                hint=self._anew(),
            )
        return picture, state

    def _check_reasons(self, upstream: str) -> None:
        """Raises RefusedError where a standby follows nobody for a reason that no rewind takes away."""
        host, why = self._host, self._at.state(self._host).why
        if serverlog.is_gone(why):
            text = f"{host} was away for too long: {upstream} no longer has the WAL that it needs"
            raise RefusedError(text, why=why, hint=self._anew())
        if serverlog.is_refused(why):
            hint = "hakit apply  puts passwords and rows of pg_hba.conf right"
            raise RefusedError(f"{upstream} does not let {host} in", why=why, hint=hint)
        if serverlog.is_full(why):
            raise RefusedError(
                f"the disk of {host} is full", why=why, hint="make room there: it goes on by itself then"
            )

    def _anew(self) -> str:
        return f"copy it anew, with its data moved aside:  hakit postgres reinit {self._layout.name} {self._host}"

    def _upstream(self, picture: Picture) -> str:
        """Whom it is to follow: its declared upstream where that serves, else the primary."""
        return self._layout.upstream_of(self._host, picture.primary, self._away(picture))

    def _away(self, picture: Picture) -> set[str]:
        """The others that nobody can follow."""
        away = {*picture.absent, *(host for host, state in picture.states.items() if not state.streams)}
        return away - {picture.primary, self._host}

    def _prepare(self, picture: Picture, upstream: str) -> None:
        """The member knows the decision, which keeps it from opening for writes, and its upstream keeps WAL for it."""
        last = picture.decision
        if last.epoch:
            excused = tuple(host for host in last.excused if host != self._host)
            self._at.do(self._host, "decide", record=last.replace(excused=excused).text())
        hosts = {self._host, *self._layout.followers(upstream, picture.primary, picture.absent)}
        self._at.do(upstream, "slots", hosts=",".join(sorted(hosts)))

    def _follows(self, upstream: str, patience: float = ATTACHING) -> bool:
        try:
            self._at.do(self._host, "follow", patience + 30.0, upstream=upstream, wait=str(patience))
        except RefusedError as error:
            self._at.note(self._host, error.message)
            return False
        return True

    def _starts(self, upstream: str, patience: float) -> bool:
        """Whether a stopped standby starts and streams."""
        try:
            self._at.do(self._host, "follow", upstream=upstream)
            self._at.do(self._host, "start", STARTING)
        except RefusedError as error:
            self._at.note(self._host, error.message)
            return False
        return self._follows(upstream, patience)

    def _done(self, kind: str, picture: Picture, note: str) -> Outcome:
        """The end: what hung on it from an earlier command is undone, and what follows it finds its slots."""
        left: dict[str, str] = {}
        try:
            below = self._layout.followers(self._host, picture.primary, picture.absent)
            self._at.do(self._host, "slots", hosts=",".join(below))
            self._at.do(self._host, "release")
            if self._upstream(picture) != picture.primary:
                self._at.slots(picture.primary, self._away(picture))
        except HakitError as error:
            left[self._host] = error.message
        lead = picture.states[picture.primary]
        return Outcome(
            kind,
            picture.primary,
            self._host,
            lead.timeline,
            picture.decision.epoch,
            left=left,
            notes=(note,) if note else (),
        )
