"""How users and groups are read, made and removed."""

from __future__ import annotations

import os
import stat

from hakit.agent import disk
from hakit.agent.declare import Declaration
from hakit.agent.errors import Failure, from_os
from hakit.agent.handlers import account_locks
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hakit.agent.resources.account import Group, User
    from hakit.agent.work import Work

PASSWD, GROUP, SHADOW, GSHADOW = "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"
COMPLETE = "complete it: a run was cut off while it made it"
LEFT = "delete what is left of it: a run was cut off while it deleted it"


class Account(Declaration):
    """A user as the host knows it."""

    uid: int
    gid: int
    comment: str
    home: str
    shell: str
    groups: tuple[str, ...]
    password: str
    keys: str | None


def user_commands(user: User, actual: Account | None, gid: int | None) -> list[list[str]]:
    """The commands that make or mend an account; pure. `gid` is the number of the declared primary group."""
    home, shell, comment = (actual.home, actual.shell, actual.comment) if actual else (None, None, None)
    options = [
        *(["--uid", str(user.uid)] if user.uid is not None and (not actual or actual.uid != user.uid) else []),
        *(["--gid", user.group or ""] if gid is not None and (not actual or actual.gid != gid) else []),
        *_option("--home-dir" if actual is None else "--home", user.home, home),
        *_option("--shell", user.shell, shell),
        *_option("--comment", user.comment, comment),
    ]
    missing = sorted(set(user.groups) - set(actual.groups if actual else ()))
    if actual is None:
        kind = ["--system"] if user.system else ["--create-home"]
        return [["useradd", *kind, *options, *(["--groups", ",".join(missing)] if missing else []), "--", user.user]]
    joins = ["--append", "--groups", ",".join(missing)] if missing else []
    return [["usermod", *options, *joins, "--", user.user]] if options or joins else []


def _option(name: str, wanted: str | None, actual: str | None) -> list[str]:
    return [] if wanted is None or wanted == actual else [name, wanted]


class Groups:
    """The handler of `Group`."""

    def read(self, resources: list[Group], work: Work) -> dict[str, int | None]:
        """The numbers, None where there is no such group."""
        numbers = {row[0]: int(row[2]) for row in work.rows(GROUP)}
        return {one.key: numbers.get(one.group) for one in resources}

    def diff(self, resource: Group, state: int | None, work: Work) -> Change:
        """Whether it is missing, was made by half, or has another number."""
        if state is None:
            number = f" {resource.gid}" if resource.gid is not None else ""
            return Change(summary=(f"create{number}",), impact=resource.impact, new=True)
        lines = []
        if work.state.items.get(resource.key, {}).get("unfinished"):
            lines.append(COMPLETE)
        if resource.gid is not None and resource.gid != state:
            lines.append(f"gid {state} → {resource.gid}")
        return Change(summary=tuple(lines), impact=resource.impact) if lines else Change()

    def apply(self, resource: Group, change: Change, work: Work) -> tuple[str, ...]:
        """Make it or change its number. Raises Failure."""
        account_locks.clear(work)
        actual = self.read([resource], work)[resource.key]
        number = ["--gid", str(resource.gid)] if resource.gid is not None else []
        made = {"made": True, "unfinished": True} if actual is None else {"made": False}
        work.state.own(resource.key, resource.component, made)
        record = work.state.items[resource.key]
        if actual is None:
            kind = ["--system"] if resource.system else []
            work.must(["groupadd", *kind, *number, "--", resource.group], f"making group {resource.group}")
        else:
            if resource.gid in {None, actual}:
                number = []
            shadow = _shadow(resource.group, work) if "unfinished" in record else []
            if number or shadow:
                work.must(["groupmod", *number, *shadow, "--", resource.group], f"changing group {resource.group}")
        if record.pop("unfinished", False):
            work.state.save_manifest()
        return change.summary

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """Whether it would be removed."""
        name = key.partition(":")[2]
        reason = _keeps(name, record, work)
        return Change(summary=(f"keep it: {reason}" if reason else "delete",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Remove it when hakit made it and it is nobody's primary group. Raises Failure."""
        account_locks.clear(work)
        name = key.partition(":")[2]
        reason = _keeps(name, record, work)
        if reason:
            return (f"kept: {reason}",)
        there = any(row[0] == name for row in work.rows(GROUP))
        if not there and any(row[0] == name for row in work.rows(GSHADOW)):
            # groupdel(8) died between the two files, and finds no group to delete any more.
            work.must(["groupadd", "--", name], f"deleting what is left of group {name}")
            there = True
        if there:
            work.must(["groupdel", "--", name], f"deleting group {name}")
        return ()


def _shadow(name: str, work: Work) -> list[str]:
    """What has groupmod(8) write the row in gshadow, which groupadd(8) writes last: a power cut may come before it."""
    there = any(row[0] == name for row in work.rows(GSHADOW)) or not os.path.exists(work.at(GSHADOW))
    return [] if there else ["--password", "!"]


def _keeps(name: str, record: dict[str, Any], work: Work) -> str:
    if not record.get("made"):
        return "it was here before hakit"
    gid = next((row[2] for row in work.rows(GROUP) if row[0] == name), None)
    leaving = {key.partition(":")[2] for key in work.removing if key.startswith("user:")}
    users = [row[0] for row in work.rows(PASSWD) if row[3] == gid and row[0] not in leaving]
    return f"the primary group of {', '.join(users)}" if users else ""


class Users:
    """The handler of `User`."""

    def read(self, resources: list[User], work: Work) -> dict[str, Account | None]:
        """The accounts, None where there is no such user. Raises Failure."""
        return {one.key: self._account(one, work) for one in resources}

    def _account(self, user: User, work: Work) -> Account | None:
        row = next((row for row in work.rows(PASSWD) if row[0] == user.user), None)
        if row is None:
            return None
        shadow = next((entry[1] for entry in work.rows(SHADOW) if entry[0] == user.user), "")
        groups = _memberships(user.user, work)
        groups += tuple(entry[0] for entry in work.rows(GROUP) if entry[2] == row[3])
        keys = _read_keys(row[5], work) if user.authorized_keys is not None else None
        return Account(
            uid=int(row[2]),
            gid=int(row[3]),
            comment=row[4],
            home=row[5],
            shell=row[6],
            groups=groups,
            password=shadow,
            keys=keys,
        )

    def diff(self, resource: User, state: Account | None, work: Work) -> Change:
        """What differs, property by property. Raises Failure."""
        lines: list[str] = []
        gid, after = self._primary(resource, work)
        if state is not None and work.state.items.get(resource.key, {}).get("unfinished"):
            lines.append(COMPLETE)
        if user_commands(resource, state, gid):
            lines.append("create" if state is None else _words(resource, state, gid))
        if resource.password_hash is not None and (not state or state.password != resource.password_hash.reveal()):
            lines.append("set password")
        wanted = _keys_text(resource)
        if wanted is not None and (state is None or state.keys != wanted):
            count = len(resource.authorized_keys or ())
            lines.append(f"authorized_keys: {count} {'key' if count == 1 else 'keys'}")
        if wanted is None and "keys_were" in work.state.items.get(resource.key, {}):
            # They may not be put back once more, years later, over what others have written meanwhile.
            forget = "forget authorized_keys: they stay as they are"
            if not lines:
                return Change(summary=(forget,), memory=True)
            lines.append(forget)
        return Change(summary=tuple(lines), impact=resource.impact if lines else "none", after=after, new=not state)

    def _primary(self, user: User, work: Work) -> tuple[int | None, str]:
        if user.group is None:
            return None, ""
        try:
            return work.gid(user.group), ""
        except Failure as failure:
            return -1, f"known after {work.require(user, failure.message)}"

    def apply(self, resource: User, change: Change, work: Work) -> tuple[str, ...]:
        """Make or mend it; a password goes through stdin, never through an argument. Raises Failure."""
        account_locks.clear(work)
        actual = self._account(resource, work)
        made = {"made": True, "unfinished": True} if actual is None else {"made": False}
        work.state.own(resource.key, resource.component, made)
        record = work.state.items[resource.key]
        if resource.authorized_keys is None and "keys_were" in record:
            del record["keys_were"]
            work.state.save_manifest()
        if record.pop("removing", False) and actual is None:
            _delete_rest(resource.user, work)
        gid = work.gid(resource.group) if resource.group is not None else None
        for command in user_commands(resource, actual, gid):
            work.must(command, f"{'making' if actual is None else 'changing'} user {resource.user}")
        if actual is not None and "unfinished" in record:
            for command in _rest(resource, actual, work):
                work.must(command, f"completing user {resource.user}")
        if record.pop("unfinished", False):
            work.state.save_manifest()
        if resource.password_hash is not None:
            line = f"{resource.user}:{resource.password_hash.reveal()}\n".encode()
            work.must(["chpasswd", "--encrypted"], f"setting the password of {resource.user}", stdin=line)
        wanted = _keys_text(resource)
        now = self._account(resource, work)
        if now is None:
            raise Failure(f"useradd made no user {resource.user}")
        if wanted is not None and now.keys != wanted:
            self._write_keys(resource, now, wanted, work)
        return change.summary

    def _write_keys(self, user: User, account: Account, text: str, work: Work) -> None:
        record = work.state.items[user.key]
        record.setdefault("keys_were", account.keys)
        work.state.save_manifest()
        try:
            _write_keys(account, text, work)
        except OSError as error:
            raise from_os(error, f"writing the authorized keys of {user.user}", (_keys_file(account.home),)) from None

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do; a home is never deleted."""
        name = key.partition(":")[2]
        home = next((row[5] for row in work.rows(PASSWD) if row[0] == name), None)
        if home is None:
            return Change(summary=(LEFT if "removing" in record else "forget, it is gone already",))
        if record.get("made"):
            return Change(summary=("delete", f"its home {home} stays"))
        return Change(summary=("authorized_keys as they were before hakit" if "keys_were" in record else "forget",))

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Remove the account that hakit made, or the keys that it wrote. Raises Failure."""
        account_locks.clear(work)
        name = key.partition(":")[2]
        row = next((row for row in work.rows(PASSWD) if row[0] == name), None)
        if row is None:
            if "removing" in record:
                _delete_rest(name, work)
            return ()
        if "keys_were" in record:
            account = Account(
                uid=int(row[2]), gid=int(row[3]), comment="", home=row[5], shell="", groups=(), password="", keys=None
            )
            try:
                _write_keys(account, record["keys_were"], work)
            except OSError as error:
                raise from_os(error, f"restoring the authorized keys of {name}", (_keys_file(account.home),)) from None
        if record.get("made"):
            record["removing"] = True
            work.state.save_manifest()
            work.must(["userdel", "--", name], f"deleting user {name}")
            return (f"its home {row[5]} stays",)
        return ()


def _rest(user: User, actual: Account, work: Work) -> list[list[str]]:
    """What useradd(8) writes after the row in passwd, as far as it is missing: a power cut may come in between."""
    commands = []
    if not any(row[2] == str(actual.gid) for row in work.rows(GROUP)):
        commands.append(["groupadd", "--gid", str(actual.gid), "--", user.user])
    elif any(row[0] == user.user for row in work.rows(GROUP)) and (shadow := _shadow(user.user, work)):
        commands.append(["groupmod", *shadow, "--", user.user])
    if not any(row[0] == user.user for row in work.rows(SHADOW)):
        commands.append(["usermod", "--password", "!", "--", user.user])
    if not user.system and not os.path.isdir(work.at(actual.home)):
        commands.append(["mkhomedir_helper", user.user])
    return commands


def _delete_rest(name: str, work: Work) -> None:
    """Delete a user whose row in passwd userdel(8) took away before it died: it takes the others of one that is there.

    Raises Failure.
    """
    own = ["--gid", name] if any(row[0] == name for row in work.rows(GROUP)) else ["--user-group"]
    again = ["useradd", "--system", "--no-create-home", "--no-log-init", *own, "--", name]
    for command in (again, ["userdel", "--", name]):
        work.must(command, f"deleting what is left of user {name}")


def _memberships(name: str, work: Work) -> tuple[str, ...]:
    """The groups that list a user, in both files: usermod(8) writes one after the other, and may die in between."""
    shadowed = {row[0]: row[3].split(",") for row in work.rows(GSHADOW)}
    listed = (row[0] for row in work.rows(GROUP) if name in row[3].split(","))
    return tuple(group for group in listed if group not in shadowed or name in shadowed[group])


def _words(user: User, actual: Account, gid: int | None) -> str:
    pairs = (
        ("uid", actual.uid, user.uid),
        ("group", actual.gid, user.group if gid is not None and gid != actual.gid else None),
        ("home", actual.home, user.home),
        ("shell", actual.shell, user.shell),
        ("comment", actual.comment, user.comment),
    )
    words = [f"{name} {old} → {new}" for name, old, new in pairs if new is not None and new != old]
    missing = sorted(set(user.groups) - set(actual.groups))
    return ", ".join([*words, *([f"join {', '.join(missing)}"] if missing else [])])


def _keys_file(home: str) -> str:
    return f"{home}/.ssh/authorized_keys"


def _keys_text(user: User) -> str | None:
    if user.authorized_keys is None:
        return None
    return "".join(key.strip() + "\n" for key in user.authorized_keys)


def _read_keys(home: str, work: Work) -> str | None:
    """The authorized keys of a home, None when there are none.

    Raises Failure for links, which the user could aim anywhere.
    """
    folder = f"{home}/.ssh"
    for path in (folder, f"{folder}/authorized_keys"):
        info = disk.look(work.at(path))
        if info is None:
            return None
        if stat.S_ISLNK(info.st_mode):
            raise Failure(f"{path} is a symbolic link: hakit does not follow links in a user's home", path=path)
    try:
        return disk.read(work.at(f"{folder}/authorized_keys")).decode("utf-8", "replace")
    except OSError as error:
        raise from_os(error, "reading authorized keys") from None


def _write_keys(account: Account, text: str | None, work: Work) -> None:
    """Replace a user's keys through descriptors, so that no link of the user's leads elsewhere. Raises OSError."""
    home = work.at(account.home)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    if not os.path.isdir(home):
        disk.make_folder(os.path.dirname(home), 0o755)
        os.mkdir(home, 0o700)
        os.chown(home, account.uid, account.gid)
    top = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if disk.look(".ssh", top) is None:
            if text is None:
                return
            os.mkdir(".ssh", 0o700, dir_fd=top)
        folder = os.open(".ssh", flags, dir_fd=top)
    finally:
        os.close(top)
    try:
        disk.own(folder, account.uid, account.gid, 0o700)
        if text is None:
            if disk.look("authorized_keys", folder) is not None:
                os.unlink("authorized_keys", dir_fd=folder)
        else:
            staged = work.state.temporary(f"{account.home}/.ssh/authorized_keys")
            work.state.save_manifest()
            disk.stage(folder, staged, text.encode("utf-8"), (account.uid, account.gid), 0o600)
            os.rename(staged, "authorized_keys", src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)
