"""What a member asks another one as the replication role, and why that fails: psql on a replication connection."""

from __future__ import annotations

from time import monotonic, sleep

from hakit.agent.errors import Failure, Stopped
from hakit.agent.postgres import programs
from hakit.agent.postgres.place import slot_name
from hakit.agent.postgres.upstream import connection, conninfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hakit.agent.postgres.place import Place
    from hakit.agent.process import Result
    from hakit.agent.work import Work

PATIENCE = 30.0  # seconds for an answer
RELEASE = 75.0  # seconds until a server notices that the user of a slot is gone: wal_sender_timeout is 60
# What libpq and the server say (in the C locale), and what it means. The first that is found counts.
_SIGNS = (
    ("password authentication failed", "refuses the password of the role {user}: the inventory's is not the role's"),
    ("no password supplied", "asks for a password, and {passfile} has none for the role {user}"),
    ("no pg_hba.conf entry", "has no row in its pg_hba.conf that lets the role {user} replicate from here"),
    ('role "', "has no role {user} that may replicate"),
    ("must be superuser or replication role", "has a role {user} that may not replicate"),
    ("Connection refused", "is there, but no server listens on port {port}"),
    ("No route to host", "can't be reached"),
    ("timeout expired", "does not answer on port {port}"),
    ("timed out", "does not answer on port {port}"),
    ("the database system is", "is not ready"),
    ("all replication slots are in use", "has no replication slot left: raise max_replication_slots there"),
    ("standby connections exceeds max_wal_senders", "has no connection left for standbys: raise max_wal_senders there"),
    ("too many clients already", "has no connection left: raise max_connections there"),
    ("requested WAL segment", "no longer has the WAL that is needed"),
    ("No space left on device", "the disk is full: "),
)


class Upstream:
    """A member that this one is to copy from or to follow, asked as the role `user`."""

    def __init__(self, place: Place, host: str, user: str, work: Work) -> None:
        self.place = place
        self.host = host
        self.user = user
        self.words = connection(place, host, user, work)
        self._work = work

    @property
    def label(self) -> str:
        """`db1 (10.77.0.21)`."""
        return f"{self.host} ({self.words['host']})"

    def system(self) -> str:
        """Its system identifier. Raises Failure saying why it does not answer."""
        rows = self._ask("IDENTIFY_SYSTEM").strip().split("|")
        if not rows[0].isdigit():
            raise Failure(f"{self.label} does not say which cluster it is of", output=rows[0])
        return rows[0]

    def is_on_its_timeline(self) -> bool:
        """Whether its last checkpoint is of the timeline that it writes. Raises Failure."""
        now = self._ask("IDENTIFY_SYSTEM").strip().split("|")[1]
        sql = "SELECT timeline_id FROM pg_control_checkpoint()"
        return self._ask(sql, {"dbname": "postgres"}).strip() == now

    def keeps(self, timeline: int) -> bool:
        """Whether it is on a timeline, and its slot of this member's has not lost its WAL. Raises Failure."""
        now = self._ask("IDENTIFY_SYSTEM").strip().split("|")[1]
        # Nothing is told of a slot that is not there; one that has lost its WAL has no position.
        slot = self._ask(f"READ_REPLICATION_SLOT {slot_name(self.place.host)}").strip().split("|")
        return now == str(timeline) and len(slot) > 1 and slot[1] != ""

    def check(self, system: str) -> str:
        """Its system identifier, which has to be `system` where that is known. Raises Failure."""
        found = self.system()
        if system and found != system:
            raise Failure(
                f"{self.label} belongs to another cluster: its system identifier is {found}, that of this one "
                f"is {system}"
            )
        return found

    def fresh_slot(self) -> None:
        """Make this member's slot anew, so that it keeps the WAL from now on. Raises Failure, Stopped.

        A connection of ours that died may hold the slot until the server notices.
        """
        name = slot_name(self.place.host)
        deadline, told = monotonic() + RELEASE, False
        while True:
            result = self._psql(f"DROP_REPLICATION_SLOT {name}")
            if result.code == 0 or "does not exist" in result.err:
                break
            if "is active" not in result.err:
                raise self.failure(result)
            if monotonic() > deadline:
                raise Failure(f"the slot {name} on {self.label} is in use: does another server replicate as {name}?")
            if not told:
                self._work.say(f"{self.label} still holds the slot {name} of a connection that ended; waiting")
                told = True
            if self._work.gone():
                raise Stopped
            sleep(1.0)
        result = self._psql(f"CREATE_REPLICATION_SLOT {name} PHYSICAL RESERVE_WAL")
        if result.code and "already exists" not in result.err:
            raise self.failure(result)

    def failure(self, result: Result) -> Failure:
        """Why a program that connected to it failed."""
        said = "\n".join(line for line in result.tail().splitlines() if "kB (" not in line)
        if result.late:
            return Failure(f"{self.label} did not answer in time", output=said)
        known = {"user": self.user, "passfile": self.place.passfile, "port": self.place.port}
        for sign, words in _SIGNS:
            if sign in said and words.endswith(": "):
                return Failure(f"{words}{_line(said, sign)}", output=said)
            if sign in said:
                return Failure(f"{self.label} {words.format(**known)}", output=said)
        return Failure(f"{self.label}: {said.splitlines()[-1] if said else f'exit {result.code}'}", output=said)

    def _ask(self, command: str, how: dict[str, str] | None = None) -> str:
        result = self._psql(command, how)
        if result.code or result.late:
            raise self.failure(result)
        return result.out

    def _psql(self, command: str, how: dict[str, str] | None = None) -> Result:
        target = conninfo({**self.words, **(how or {"replication": "yes"})})
        argv = [f"{self.place.programs}/psql", "-X", "-A", "-t", "-q", "-w", "-d", target, "-c", command]
        return programs.run(argv, self._work, PATIENCE)


def _line(text: str, sign: str) -> str:
    return next(line for line in text.splitlines() if sign in line)
