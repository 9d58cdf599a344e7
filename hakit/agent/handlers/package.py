"""How Debian packages are read, installed in one transaction, and removed."""

from __future__ import annotations

import os
from time import monotonic, sleep

from hakit.agent import disk, loaded
from hakit.agent.errors import Failure
from hakit.agent.process import TAIL
from hakit.agent.work import Change

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from hakit.agent.process import Result
    from hakit.agent.resources.package import Package
    from hakit.agent.work import Work

# All that apt-get asks for: of those but the first it does not wait for the one on the lists (apt.conf(5)).
LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
POLICY = "/usr/sbin/policy-rc.d"
MARK = "# hakit: no service starts while hakit installs its package"
PATIENCE = 900.0  # seconds for one transaction, and for the lock of another one
SAY_EVERY = 5.0  # seconds between two notes about the lock
ENV = {
    "NEEDRESTART_SUSPEND": "1",
    "APT_LISTCHANGES_FRONTEND": "none",
    "UCF_FORCE_CONFFOLD": "1",
    "TMPDIR": "/run",  # apt copies its lists' signed heads there; /tmp may be full
}
KEEP = "keep it: "
DPKG_FORM = "${binary:Package}\t${Version}\t${db:Status-Abbrev}\n"
APT = (
    "apt-get",
    "-q",
    "-y",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
    "-o",
    "DPkg::Lock::Timeout=120",
    # Two tries of 20 s for a source that does not answer, instead of the four of 30 s that are apt's own.
    "-o",
    "Acquire::Retries=1",
    "-o",
    "Acquire::http::Timeout=20",
    "-o",
    "Acquire::https::Timeout=20",
)


def installed(text: str) -> dict[str, str]:
    """Package → version from `dpkg-query`'s rows of name, version and status; only those wholly installed."""
    rows = (line.split("\t") for line in text.splitlines() if line.count("\t") == DPKG_FORM.count("\t"))
    return {name: version for name, version, status in rows if status.strip().endswith("i")}


def candidates(text: str) -> dict[str, str]:
    """Package → version that apt would install, from `apt-cache policy`."""
    found: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line and not line[0].isspace():
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            found[name] = line.split(":", 1)[1].strip()
    return found


def going(text: str) -> set[str]:
    """The packages that a simulated `apt-get remove` would take away."""
    return {line.split()[1] for line in text.splitlines() if line.startswith(("Remv ", "Purg "))}


def complaints(text: str) -> str:
    """What `apt-get update` complains of, the sources that it could not read; it exits with 0 all the same."""
    lines = (line.strip() for line in text.splitlines())
    found = [line for line in lines if line.startswith(("E: ", "W: Failed to fetch", "W: GPG error"))]
    return "\n".join(dict.fromkeys(found))[-TAIL:]


def query_installed(work: Work) -> dict[str, str]:
    """Everything that is installed, from one `dpkg-query`. Raises Failure."""
    found = installed(work.must(["dpkg-query", "-W", "-f", DPKG_FORM], "reading what is installed").out)
    for name in list(found):
        found.setdefault(name.partition(":")[0], found[name])
    return found


def query_candidates(names: Iterable[str], work: Work) -> dict[str, str]:
    """What apt would install, from one `apt-cache policy`; silent on what it does not know."""
    wanted = [name for name in names if not name.startswith("-")]
    return candidates(work.run(["apt-cache", "policy", "--", *wanted], 60.0, env=ENV).out) if wanted else {}


class Packages:
    """The handler of `Package`."""

    def read(self, resources: list[Package], work: Work) -> dict[str, tuple[str | None, str | None]]:
        """The installed version and the one that apt would install, or None, for all packages at once."""
        if work.versions is None:
            work.versions = query_installed(work)
        have = work.versions
        offered = query_candidates([one.package for one in resources if one.package not in have], work)
        return {one.key: (have.get(one.package), offered.get(one.package)) for one in resources}

    def diff(self, resource: Package, state: tuple[str | None, str | None], work: Work) -> Change:
        """Whether it has to be installed."""
        del work
        present, version = state
        if present is not None:
            return Change()
        line = f"install {version}" if version else "install (the version is known after apt-get update)"
        return Change(summary=(line,), impact=resource.impact, new=True)

    def install(self, resources: list[Package], work: Work) -> dict[str, tuple[str, ...] | Failure]:
        """Install packages in one transaction; what was done, or why not, by key."""
        known = query_candidates([one.package for one in resources], work)
        updated = len(known) < len({one.package for one in resources})
        if updated:
            work.say("apt-get update: some packages are not in the package lists")
            update = apt(["update"], work)
            known = query_candidates([one.package for one in resources], work)
            unknown = Failure("no source of this host has the package", output=complaints(update.out))
        outcome: dict[str, tuple[str, ...] | Failure] = {
            one.key: unknown for one in resources if one.package not in known
        }
        ready = [one for one in resources if one.package in known]
        if not ready:
            return outcome
        for one in ready:
            work.state.own(one.key, one.component, {"installed": True})
        try:
            result = self._transaction([one.package for one in ready], work, may_update=not updated)
        except Failure as failure:
            return {**outcome, **{one.key: failure for one in ready}}
        work.versions = query_installed(work)
        for one in ready:
            version = work.versions.get(one.package)
            if version is None:
                outcome[one.key] = Failure(f"apt-get could not install {one.package}", output=result.tail())
            else:
                outcome[one.key] = (f"installed {version}",)
        return outcome

    def _transaction(self, names: list[str], work: Work, *, may_update: bool) -> Result:
        argv = ["install", "--no-install-recommends", "--", *names]
        with NoAutostart(work) as guard:
            result = apt(argv, work, prefix=guard.prefix)
            if result.code and may_update and "Failed to fetch" in result.out:
                work.say("apt-get update: the package lists are older than the archive")
                apt(["update"], work)
                result = apt(argv, work, prefix=guard.prefix)
        return result

    def leftover(self, key: str, record: dict[str, Any], work: Work) -> Change:
        """What removal would do: nothing when others need the package."""
        del record
        name = key.partition(":")[2]
        if work.versions is None:
            work.versions = query_installed(work)
        if name not in work.versions:
            return Change(summary=("forget, it is gone already",))
        others = self._others(name, work)
        if others:
            return Change(summary=(f"{KEEP}{', '.join(sorted(others))} would go with it",))
        impact = "disruptive" if _serves(name, work) else "none"
        return Change(summary=(f"remove {work.versions[name]}",), impact=impact)

    def _others(self, name: str, work: Work) -> set[str]:
        """Packages that would go with this one although nobody asked for it. Raises Failure."""
        leaving = {key.partition(":")[2] for key in work.removing if key.startswith("package:")} | {name}
        argv = ["apt-get", "-s", "-q", "remove", "--", name]
        return going(work.must(argv, f"seeing what would go with {name}", env=ENV).out) - leaving

    def remove(self, key: str, record: dict[str, Any], work: Work) -> tuple[str, ...]:
        """Remove a package that hakit installed and nobody needs; its configuration and data stay. Raises Failure.

        What leaves together goes in one transaction.
        """
        del record
        name = key.partition(":")[2]
        before = work.versions = query_installed(work)
        if name not in before or _is_kept(key, work):
            return ()
        others = self._others(name, work)
        if others:
            raise Failure(f"{', '.join(sorted(others))} would go with it now: look at it again with a new plan")
        leaving = {one.partition(":")[2] for one in work.removing if one.startswith("package:")} | {name}
        wanted = [one for one in sorted(leaving) if one in before and not _is_kept(f"package:{one}", work)]
        together = [one for one in wanted if not self._others(one, work)]
        result = apt(["remove", "--", *together], work)
        work.versions = query_installed(work)
        if name in work.versions:
            raise Failure(f"apt-get could not remove {name}", output=result.tail())
        return ()


def _serves(name: str, work: Work) -> bool:
    """Whether a service of this package runs, and hakit does not stop that one before. Raises Failure."""
    if not os.path.isdir(work.at("/run/systemd/system")):
        return False
    listed = work.must(["dpkg-query", "-L", "--", name], f"reading what is of {name}").out.splitlines()
    units = {os.path.basename(line) for line in listed if line.startswith(loaded.SYSTEMD) and line.endswith(".service")}
    own = [unit for unit in sorted(units) if "@." not in unit and f"unit:{unit}" not in work.removing]
    return any(loaded.invocation(state) for state in loaded.show(own, work).values())


def _is_kept(key: str, work: Work) -> bool:
    """Whether the plan has said that a package stays."""
    return any(line.startswith(KEEP) for line in work.removing.get(key, ()))


class NoAutostart:
    """While it lasts, no service starts because its package is installed by us; others' installations are left alone.

    invoke-rc.d and deb-systemd-invoke ask `policy-rc.d` (Debian policy 9.3.3). Ours denies only where the environment
    says that hakit installs, which apt passes on to maintainer scripts: what a killed run leaves behind is harmless.
    Someone else's policy stays in place: ours is mounted over it in a mount namespace of apt alone.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._path = work.at(POLICY)
        self.prefix: list[str] = []

    def __enter__(self) -> NoAutostart:  # noqa: PYI034 - typing.Self is newer than Python 3.9
        self._remove_ours()
        script = f'#!/bin/sh\n{MARK}\n[ -n "$HAKIT_INSTALLS" ] && exit 101\nexit 0\n'
        if not os.path.lexists(self._path):
            disk.write(self._path, script.encode(), 0o755)
            return self
        ours = f"{self._work.state.scratch()}/policy-rc.d"
        disk.write(ours, script.encode(), 0o755)
        mount = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
        self.prefix = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh", ours, self._path]
        return self

    def __exit__(self, *_: object) -> None:
        if self.prefix:
            disk.delete_tree(os.path.dirname(self.prefix[-2]))
        self._remove_ours()

    def _remove_ours(self) -> None:
        try:
            if MARK.encode() in disk.read(self._path):
                disk.delete(self._path)
        except OSError:
            return


def apt(argv: list[str], work: Work, prefix: Iterable[str] = ()) -> Result:
    """Run apt-get once no one else does; an interrupted dpkg is completed first. Raises Failure.

    Its output goes to a file, so that it ends in peace when the agent does not.
    """
    wait_for_lock(work)
    folder = work.state.scratch()
    try:
        if os.path.isdir(work.at("/var/lib/dpkg/updates")) and os.listdir(work.at("/var/lib/dpkg/updates")):
            work.say("dpkg was interrupted before: dpkg --configure -a")
            configure = ["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"]
            work.must(configure, "completing dpkg", PATIENCE, env=_env(), log=f"{folder}/dpkg.log")
        line = [*prefix, *APT, *argv]
        result = work.run(line, PATIENCE, env=_env(), log=f"{folder}/apt.log")
        if result.code and "dpkg --configure -a" in result.out:
            work.say("dpkg was interrupted before: dpkg --configure -a")
            configure = ["dpkg", "--configure", "-a", "--force-confdef", "--force-confold"]
            work.must(configure, "completing dpkg", PATIENCE, env=_env(), log=f"{folder}/dpkg.log")
            result = work.run(line, PATIENCE, env=_env(), log=f"{folder}/apt.log")
    finally:
        disk.delete_tree(folder)
    if result.late:
        raise Failure(f"apt-get {argv[0]} did not end within {PATIENCE / 60:g} min", output=result.tail())
    return result


def _env() -> dict[str, str]:
    return {**ENV, "HAKIT_INSTALLS": "1"}


def lock_holder(path: str) -> int | None:
    """The process that holds a lock of fcntl's kind on a file, None when it is free. Raises OSError."""
    import fcntl
    from _struct import pack, unpack

    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        form = "hhqqixxxx"  # struct flock of 64-bit Linux: type, whence, start, length, pid
        answer = fcntl.fcntl(fd, fcntl.F_GETLK, pack(form, fcntl.F_WRLCK, 0, 0, 0, 0))
    finally:
        os.close(fd)
    kind, _, _, _, pid = unpack(form, answer)
    return None if kind == fcntl.F_UNLCK else pid


def wait_for_lock(work: Work) -> None:
    """Wait until nobody holds a lock that apt needs, and say who does.

    Raises Failure when it takes longer than `PATIENCE`, or when the controller is gone.
    """
    began, said = monotonic(), -SAY_EVERY
    while True:
        held = _first_held(work)
        if held is None:
            return
        lock, pid = held
        who = f"process {pid} ({_command(pid)})"
        waited = monotonic() - began
        if waited > PATIENCE or work.gone():
            raise Failure(f"dpkg is locked by {who} for {waited:.0f} s: {lock}", path=lock)
        if waited - said >= SAY_EVERY:
            said = waited
            work.say(f"waiting for dpkg's lock, held by {who}, for {waited:.0f} s; at most {PATIENCE / 60:g} min")
        sleep(0.2)


def _first_held(work: Work) -> tuple[str, int] | None:
    for path in LOCKS:
        pid = lock_holder(work.at(path))
        if pid is not None:
            return path, pid
    return None


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "it just ended"
