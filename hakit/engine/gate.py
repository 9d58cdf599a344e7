"""The rolling gate: before a member is disrupted what remains must serve, afterwards the member must serve again.

A member that does not serve may always be repaired, and a group in which nobody serves needs no gate: the first apply.
One of which nobody can tell whether it serves is no such member. A host in several groups obeys all of them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from hakit.engine.steps import Standing
from hakit.errors import AgentError, ConnectError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from hakit.agent.answers import ProbeResult
    from hakit.agent.probes import Probe
    from hakit.components.base import RedundancyGroup
    from hakit.engine.session import HostSession

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds that a member has to serve again: a daemon's start, its peers' checks, and some reserve."""
PAUSE = 0.2
DETAIL = 200
"""Characters of an answer in a reason."""


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a group can't do without a member: what would be left of it, and why each of the others does not count.

    `resting` are those of `missing` that are out of service on purpose. `risky` are others that serve and would not
    survive the next failure, and why: while that is so, nobody is taken from them.
    """

    group: str
    left: int
    members: int
    missing: Mapping[str, str]
    resting: tuple[str, ...] = ()
    risky: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """In words: `pool web would be left with 0 of 2 that serve (web2 in maintenance since 20:28 by ana@desk)`."""
        if self.risky:
            told = "; ".join(f"{host}: {why}" for host, why in self.risky.items())
            return f"{self.group} would be left with what the next failure may end ({told})"
        others = "; ".join(f"{host} {why}" for host, why in self.missing.items())
        return f"{self.group} would be left with {self.left} of {self.members} that serve" + (
            f" ({others})" if others else ""
        )

    @property
    def lasting(self) -> bool:
        """Whether it is no use to wait: those who are missing are out on purpose, or mend themselves in hours."""
        return bool(self.risky) or set(self.missing) == set(self.resting)

    @property
    def hint(self) -> str:
        """The command that helps."""
        if self.risky:
            return "wait until that is mended; see  hakit status"
        if self.resting:
            return f"take it back with  hakit maintenance off {self.resting[0]}"
        return "mend the others first; see  hakit status" if self.missing else "it is needed as long as it is declared"


class Unseen(str):
    """A reason that is no answer: nobody is left who could look."""

    __slots__ = ()


class Gate:
    """Asks the groups' probes from where they look.

    `halted` says that nothing new is to be begun, so that a wait for it ends; `aborted` that no wait goes on. `tell` is
    given a host and why it is waited for longer than usual.
    """

    def __init__(
        self,
        groups: Sequence[RedundancyGroup],
        sessions: Mapping[str, HostSession],
        halted: Callable[[], bool] = lambda: False,
        aborted: Callable[[], bool] = lambda: False,
        tell: Callable[[str, str], None] = lambda _host, _text: None,
    ) -> None:
        self.groups = tuple(groups)
        self._sessions = sessions
        self._halted = halted
        self._aborted = aborted
        self._tell = tell
        self._served: set[str] = set()

    def groups_of(self, host: str) -> tuple[RedundancyGroup, ...]:
        """The groups that a host is a member of."""
        return tuple(group for group in self.groups if host in group.hosts)

    def standing(self, hosts: Iterable[str]) -> Standing:
        """How these hosts stand in their groups now; also remembers which groups serve their clients."""
        hosts = tuple(hosts)
        concerned = [group for group in self.groups if not set(hosts).isdisjoint(group.hosts)]
        asked = [(h, probe) for group in concerned for h in group.hosts for probe in group.asked(h)]
        asked += [(h, group.holder) for group in concerned for h in group.hosts if group.holder is not None]
        asked += [("", probe) for group in concerned for probe in group.service]
        answers = self._ask(asked)
        roles: dict[str, set[str]] = defaultdict(set)
        idle: set[str] = set()
        for group in concerned:
            serving = {h for h in group.hosts if not any(answers[h, probe] for probe in group.asked(h))}
            idle |= {h for h in group.hosts if h not in serving} if serving else set()
            if group.service and all(not answers["", probe] for probe in group.service):
                self._served.add(group.name)
            for h in group.hosts:
                if group.holder is not None and not answers[h, group.holder]:
                    roles[h].add(group.name)
        return Standing({host: frozenset(names) for host, names in roles.items()}, frozenset(idle))

    def remains(self, host: str, gone: Mapping[str, str] | None = None) -> Shortage | None:
        """Wait until the groups of a host can do without it. Returns None, or what they lack.

        `gone` are hosts that do not count although they may serve, and why: an operator has taken them out, say.
        """
        lack: Shortage | None = None

        def look() -> Shortage | None:
            nonlocal lack
            lack = self._missing(host, gone or {})
            return lack

        return self._wait(look, PATIENCE, lambda: self._halted() or (lack is not None and lack.lasting))

    def await_ready(self, host: str, groups: Iterable[RedundancyGroup]) -> str:
        """Wait until a host that is out of its duties could serve in these groups. Returns "" or why it can't."""
        return self._await(host, groups, serving=False)

    def await_serving(self, host: str, groups: Iterable[RedundancyGroup]) -> str:
        """Wait until a host serves in these groups, and the groups their clients. Returns "" or what does not serve."""
        return self._await(host, groups, serving=True)

    def _await(self, host: str, groups: Iterable[RedundancyGroup], *, serving: bool) -> str:
        groups = tuple(groups)
        served = [group for group in groups if serving and group.name in self._served]

        def failing() -> str:
            asked = [
                (host, p) for group in groups for p in (group.asked(host) if serving else group.probes.get(host, ()))
            ]
            asked += [("", probe) for group in served for probe in group.service]
            return next((reason for reason in self._ask(asked).values() if reason), "")

        limit, why = PATIENCE, self._wait(failing, PATIENCE, self._aborted)
        more = max((group.patience for group in groups), default=0.0) - PATIENCE
        if why and more > 0 and not self._aborted():
            limit += more
            self._tell(host, f"does not serve yet, and gets up to {more:.0f} s more for it: {why}")
            why = self._wait(failing, more, self._aborted)
        return f"does not serve after {limit:.0f} s: {why}" if why else ""

    def await_gone(self, probes: Sequence[Probe], limit: float) -> str:
        """Wait until a host carries nothing any more. Returns "" or what it still carries."""

        def carries() -> str:
            known = [probe for probe in probes if self._usable(probe.seen_from)]
            answers = self._ask([(probe.seen_from, probe) for probe in known])
            return next((reason for reason in answers.values() if reason), "")

        return self._wait(carries, limit, self._halted) if probes else ""

    def _wait(self, reason: Callable[[], T], limit: float, ended: Callable[[], bool]) -> T:
        deadline = time.monotonic() + limit
        while True:
            why = reason()
            if not why or time.monotonic() > deadline or ended():
                return why
            time.sleep(PAUSE)

    def _missing(self, host: str, gone: Mapping[str, str]) -> Shortage | None:
        """What a group of a host lacks right now to do without it and those that are gone."""
        for group in self.groups_of(host):
            asked = [(h, probe) for h in group.hosts for probe in group.asked(h)]
            if not asked:
                continue
            answers = self._ask(asked)
            down: dict[str, str] = {}
            for (member, _), reason in answers.items():
                if reason:
                    down.setdefault(member, reason)
            own = [answers[host, probe] for probe in group.asked(host)]
            if any(reason and not isinstance(reason, Unseen) for reason in own):
                continue
            others = [h for h in group.hosts if h != host]
            left = [h for h in others if h not in down and h not in gone]
            if len(left) < min(group.keep, len(others)):
                missing = {h: gone.get(h) or f"does not serve: {down[h]}" for h in others if h not in left}
                return Shortage(group.name, len(left), len(group.hosts), missing, tuple(h for h in others if h in gone))
            risky = self._risky(group, left)
            if risky:
                return Shortage(group.name, len(left), len(group.hosts), {}, risky=risky)
        return None

    def _risky(self, group: RedundancyGroup, left: Iterable[str]) -> dict[str, str]:
        """Which of these would not survive the next failure, and why; who can't be asked is no reason to wait."""
        answers = self._ask([(host, probe) for host in left for probe in group.sound.get(host, ())])
        found: dict[str, str] = {}
        for (host, _), reason in answers.items():
            if reason and not isinstance(reason, Unseen):
                found.setdefault(host, reason)
        return found

    def _ask(self, asked: Sequence[tuple[str, Probe]]) -> dict[tuple[str, Probe], str]:
        """Why each probe says no, or "": one question to each host that is to look, whoever it looks at.

        What was asked of one that is lost meanwhile is asked of another: its silence says nothing of whom it looks at.
        """
        found: dict[tuple[str, Probe], str] = {}
        lost: dict[str, str] = {}
        waiting = list(dict.fromkeys(asked))
        while waiting:
            by_asker: dict[str, list[tuple[str, Probe]]] = defaultdict(list)
            for subject, probe in waiting:
                asker = self._asker(subject, probe, lost)
                if asker is None:
                    found[subject, probe] = _unseen(subject, probe, lost)
                else:
                    by_asker[asker].append((subject, probe))
            waiting = []
            for name, questions in by_asker.items():
                try:
                    found.update(zip(questions, self._answers(name, questions), strict=True))
                except (AgentError, ConnectError) as error:
                    lost[name] = error.message
                    waiting += questions
        return found

    def _answers(self, asker: str, questions: Sequence[tuple[str, Probe]]) -> list[str]:
        """Why an asker says no to each question, or "". Raises AgentError, ConnectError."""
        results = self._sessions[asker].probe([probe for _, probe in questions])
        return [_reason(asker, probe, result) for (_, probe), result in zip(questions, results, strict=True)]

    def _asker(self, subject: str, probe: Probe, lost: Collection[str]) -> str | None:
        """Who looks: the one that the probe names; where it is lost, another that can; at last the subject itself."""
        elsewhere = probe.kind in {"tcp", "http"} and bool(probe.seen_from)
        peers = [host for group in self.groups_of(subject) for host in group.hosts if host != subject]
        # A member may answer its peers alone; a service answers everyone.
        strangers = self._sessions if elsewhere and not subject else ()
        candidates = [probe.seen_from, *(peers if elsewhere else ()), *strangers, subject]
        if not probe.seen_from:
            candidates = [subject]
        return next((name for name in candidates if self._usable(name) and name not in lost), None)

    def _usable(self, name: str) -> bool:
        return name in self._sessions and self._sessions[name].usable


def _unseen(subject: str, probe: Probe, lost: Mapping[str, str]) -> Unseen:
    why = next((lost[name] for name in (probe.seen_from, subject) if name in lost), "")
    return Unseen(f"nobody is left to ask for {probe.kind} {probe.target}" + (f" ({why})" if why else ""))


def _reason(asker: str, probe: Probe, result: ProbeResult) -> str:
    if result.ok or probe.no:
        return "" if result.ok else probe.no
    lines = result.detail.strip().splitlines() or ["no"]
    said = lines[0][:DETAIL] + (" …" if len(lines) > 1 or len(lines[0]) > DETAIL else "")
    said = said.removeprefix(f"{probe.target}: ")
    if probe.text:
        return f"{probe.text} on {probe.target} from {asker}: {said}"
    return f"{'' if '://' in probe.target else f'{probe.kind} '}{probe.target} from {asker}: {said}"
