"""PostgreSQL: a member of a cluster, and what the cluster's primary holds."""

from __future__ import annotations

from hakit.agent.postgres.place import Place
from hakit.agent.resources.base import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from hakit.agent.declare import Content, Declaration

    Nested = dict[str, type[Declaration]]


class Cluster(Resource):
    """The data directory of this host's member.

    `origin` says what to do where there is none: `create` (initdb with `options`), or `copy` (pg_basebackup from the
    member `upstream` as `user`, with this member's slot, at most `rate` KiB/s where not 0); empty: not known. `system`
    is the system identifier the others have, empty where none has. `mount` is a mount point that must be there first.
    A data directory that is there is never touched: one of another cluster, or of nothing known, is a failure. `parted`
    says why the server of these data must not be started; empty: it may.
    """

    type: ClassVar[str] = "cluster"
    nested: ClassVar[Nested] = {"place": Place}
    place: Place
    origin: str = ""
    upstream: str = ""
    system: str = ""
    options: tuple[str, ...] = ()
    user: str = ""
    rate: int = 0
    mount: str = ""
    parted: str = ""

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.place.label


class Role(Resource):
    """A role, on the primary; on a standby nothing is to be done.

    `options` are pairs of an option and its SQL value, `("LOGIN", "true")`, `("CONNECTION LIMIT", "20")`. `password` is
    clear text, never sent to the server: it gets a SCRAM verifier, and keeps the one it has while the password fits it.
    `member_of` are granted, never revoked. `settings` are those of ALTER ROLE … SET. Removal only reports.
    """

    type: ClassVar[str] = "role"
    nested: ClassVar[Nested] = {"place": Place}
    place: Place
    role: str
    options: tuple[tuple[str, str], ...] = ()
    member_of: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    password: Content | None = None

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.role


class Database(Resource):
    """A database, on the primary. `template`, `encoding` and `locale` hold where it is made. Removal only reports."""

    type: ClassVar[str] = "database"
    nested: ClassVar[Nested] = {"place": Place}
    place: Place
    database: str
    owner: str = ""
    template: str = ""
    encoding: str = ""
    locale: str = ""

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.database


class Extension(Resource):
    """An extension in a database, on the primary. Removal only reports."""

    type: ClassVar[str] = "extension"
    nested: ClassVar[Nested] = {"place": Place}
    place: Place
    database: str
    extension: str
    schema: str = ""

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return f"{self.database}/{self.extension}"


class Grant(Resource):
    """Privileges on one object, on the primary; those left out are not revoked.

    `kind` and `target` are SQL's: `DATABASE orders`, `SCHEMA public`, `ALL TABLES IN SCHEMA public`, `FUNCTION
    pg_ls_dir(text, boolean, boolean)`. With `future` the privileges hold for what `kind`'s schema gets later, too.
    """

    type: ClassVar[str] = "grant"
    nested: ClassVar[Nested] = {"place": Place}
    place: Place
    database: str
    role: str
    privileges: tuple[str, ...]
    kind: str
    target: str
    future: bool = False

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return f"{self.role} on {self.kind.lower()} {self.target} in {self.database}"
