"""Users and groups."""

from __future__ import annotations

from hakit.agent.resources.base import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from hakit.agent.declare import Content


class Group(Resource):
    """A group. Removal takes it away only when hakit made it and no user has it as primary group."""

    type: ClassVar[str] = "group"
    group: str
    gid: int | None = None
    system: bool = False

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.group


class User(Resource):
    """A user. None leaves a property as it is; `groups` are added, never taken.

    `authorized_keys` replaces the whole file.
    `password_hash` is a crypt(3) hash. Removal takes away the account that hakit made, its home stays and is reported.
    """

    type: ClassVar[str] = "user"
    user: str
    uid: int | None = None
    group: str | None = None
    groups: tuple[str, ...] = ()
    home: str | None = None
    shell: str | None = None
    comment: str | None = None
    system: bool = False
    password_hash: Content | None = None
    authorized_keys: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """What tells it from others of its type."""
        return self.user
