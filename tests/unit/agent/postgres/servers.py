"""Real PostgreSQL servers, each below a root of its own, laid out there as on a host.

    site = Servers(folder)                      # folder: short (sockets are in it), gone afterwards
    db1 = site.member("db1").create().start()   # initdb is done once per process and copied
    db2 = site.member("db2").copy(db1).start()  # a standby that streams from it
    db1.query("SELECT 1"), db1.root, db1.place, db1.at(db1.place.decision), db1.stop("immediate"), db1.freeze()

Members listen on 127.0.0.1 up to 127.0.0.N, all on one port, and on a socket in <root>/run/postgresql. As root the
servers run as `postgres`, as on a host; otherwise as ourselves, and the superuser is called `postgres` all the same.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from hakit.agent.postgres.client import Connection
from hakit.agent.postgres.place import SOCKETS, USER, Member, Place, slot_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
VERSION = int(PROGRAMS.parent.name)
REPLICATOR = "replicator"
PASSWORD = "a secret's test value"  # noqa: S105 - of servers that live for a test, on loopback
PATIENCE = 60.0  # seconds until a server must have done what it was asked; the machine may be busy
PORTS = range(15000, 32768)
"""Below those that Linux gives to outgoing connections unless told otherwise (ip_local_port_range, ip(7))."""


def account() -> tuple[int, int, str]:
    """Whom the servers run as: uid, gid, name."""
    found = pwd.getpwnam(USER) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return found.pw_uid, found.pw_gid, found.pw_name


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short name (the path of a UNIX socket has 107 bytes at most), in memory where there is one."""
    shared = Path("/dev/shm")  # noqa: S108 - the folder in it gets a name of its own
    folder = Path(tempfile.mkdtemp(prefix="hakit-pg-", dir=shared if shared.is_dir() else None))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def until(condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
    """Wait for a condition, or fail saying what was waited for."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(0.02)


def command(*argv: object, stdin: str = "") -> str:
    """What a program of the server's says, run as the servers are."""
    uid, gid, name = account()
    env = {"PATH": f"{PROGRAMS}:/usr/bin:/bin", "LC_ALL": "C", "HOME": "/", "USER": name}
    drop = {"user": uid, "group": gid, "extra_groups": ()} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [str(word) for word in argv], input=stdin, env=env, capture_output=True, text=True, check=False, cwd="/", **drop
    )  # type: ignore[call-overload]  # options that depend on who we are
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return str(done.stdout)


class Server:
    """The server of one member."""

    def __init__(self, servers: Servers, place: Place) -> None:
        self.servers = servers
        self.place = place
        self.root = servers.folder / place.host
        self.process: subprocess.Popen[bytes] | None = None
        self.log = self.root / "log"

    def at(self, path: str) -> Path:
        """Where a path of the host is for us."""
        return self.root / path.lstrip("/")

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.at(self.place.data)

    @property
    def sockets(self) -> str:
        """The folder of its UNIX socket."""
        return str(self.at(SOCKETS))

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.place.address(self.place.host)

    def lay_out(self) -> Server:
        """The folders and the configuration, as the component would make them; no data."""
        for folder in (self.place.state, SOCKETS, "/run/hakit-postgresql", self.place.config):
            self.at(folder).mkdir(parents=True, exist_ok=True)
        self.data.parent.mkdir(parents=True, exist_ok=True)
        config = self.at(self.place.config)
        (config / "postgresql.conf").write_text(self._settings())
        (config / "pg_hba.conf").write_text(
            f"local all all peer map=test\nhost all all 127.0.0.0/8 scram-sha-256\n"
            f"host replication {REPLICATOR} 127.0.0.0/8 scram-sha-256\n"
        )
        (config / "pg_ident.conf").write_text(f"test {account()[2]} {USER}\ntest root {USER}\n")
        passfile = self.at(self.place.passfile)
        passfile.write_text(f"*:*:*:{REPLICATOR}:{PASSWORD}\n")
        passfile.chmod(0o600)
        self.own()
        return self

    def _settings(self) -> str:
        config = self.at(self.place.config)
        settings = {
            "data_directory": self.data,
            "hba_file": config / "pg_hba.conf",
            "ident_file": config / "pg_ident.conf",
            "listen_addresses": self.address,
            "port": self.place.port,
            "unix_socket_directories": self.sockets,
            "cluster_name": self.place.host,
            "max_connections": 20,
            "shared_buffers": "16MB",
            "max_wal_senders": 10,
            "dynamic_shared_memory_type": "mmap",  # its files go with the folder, whatever kills the server
            "wal_level": "replica",
            "wal_log_hints": "on",
            "wal_retrieve_retry_interval": "200ms",
            "max_slot_wal_keep_size": "64MB",
            "min_wal_size": "4MB",
            "fsync": "off",  # what is tested here is no crash of the machine
            "autovacuum": "off",
            "log_min_messages": "info",
        }
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        return "\n".join([*lines, f"include_if_exists = '{self.at(self.place.upstream)}'", ""])

    def own(self) -> None:
        """Give everything below the root to whom the server runs as."""
        if os.geteuid() == 0:
            uid, gid, _ = account()
            for path in (self.root, *self.root.rglob("*")):
                os.chown(path, uid, gid, follow_symlinks=False)

    def create(self, *, anew: bool = False) -> Server:
        """A cluster's first data directory. `anew`: one of another system identifier than all the others."""
        self.lay_out()
        template = self.servers.initdb("anew-" + self.place.host) if anew else self.servers.template
        shutil.copytree(template, self.data, symlinks=True)
        self.own()
        self.data.chmod(0o700)
        return self

    def copy(self, source: Server) -> Server:
        """A standby of a running server, with a slot there, copied by pg_basebackup."""
        self.lay_out()
        source.add_slot(self.place.host)
        command(
            PROGRAMS / "pg_basebackup", "-D", self.data, "-X", "stream", "-c", "fast", "--no-sync", "-d",
            f"host={source.address} port={source.place.port} user={REPLICATOR} passfile={self.at(self.place.passfile)}",
        )  # fmt: skip
        return self.follow(source)

    def follow(self, source: Server) -> Server:
        """Make it a standby of another server when it is started next."""
        slot = slot_name(self.place.host)
        self.at(self.place.upstream).write_text(
            f"primary_conninfo = 'host={source.address} port={source.place.port} user={REPLICATOR} "
            f"passfile={self.at(self.place.passfile)} application_name={self.place.host} connect_timeout=3'\n"
            f"primary_slot_name = '{slot}'\n"
        )
        self.at(self.place.signal).touch()
        self.own()
        return self

    def add_slot(self, host: str) -> None:
        """Make a member's replication slot here, unless it is there."""
        name = slot_name(host)
        self.query(
            f"SELECT pg_create_physical_replication_slot('{name}', true) "  # noqa: S608 - of our own names
            f"WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = '{name}')"
        )

    def start(self, *options: str, wait: bool = True) -> Server:
        """Start it and wait until it answers."""
        uid, gid, _ = account()
        drop = {"user": uid, "group": gid, "extra_groups": ()} if os.geteuid() == 0 else {}
        argv = [PROGRAMS / "postgres", "-D", self.data]
        argv += ["-c", f"config_file={self.at(self.place.config)}/postgresql.conf", *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # type: ignore[call-overload]  # options that depend on who we are
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True, **drop
            )
        self.servers.started.append(self)
        if wait:
            until(self.answers, f"{self.place.host} answers; its log: {self.log.read_text()[-2000:]}")
        return self

    @property
    def running(self) -> bool:
        """Whether its postmaster is there."""
        return self.process is not None and self.process.poll() is None

    def answers(self) -> bool:
        """Whether it answers a query."""
        assert self.running, f"{self.place.host} ended: {self.log.read_text()[-2000:]}"
        with contextlib.suppress(Exception):
            return bool(self.query("SELECT 1"))
        return False

    def connect(self, database: str = "postgres", timeout: float = 10.0) -> Connection:
        """A connection as the superuser."""
        return Connection(self.sockets, self.place.port, database, timeout=timeout)

    def query(self, sql: str, database: str = "postgres") -> list[tuple[str | None, ...]]:
        """The rows of one query."""
        with self.connect(database) as connection:
            return connection.query(sql)

    def value(self, sql: str, database: str = "postgres") -> str | None:
        """The one value of a query of one row."""
        return self.query(sql, database)[0][0]

    def is_primary(self) -> bool:
        """Whether it is out of recovery."""
        return self.value("SELECT pg_is_in_recovery()") == "f"

    def streams(self) -> bool:
        """Whether its walreceiver streams."""
        return self.value("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == "1"

    def reload(self) -> None:
        """Have it read its configuration again."""
        self.query("SELECT pg_reload_conf()")

    def promote(self) -> Server:
        """Make it a primary, as pg_promote() does, and wait for it."""
        self.query("SELECT pg_promote(true, 60)")
        until(self.is_primary, f"{self.place.host} is promoted")
        return self

    def stop(self, mode: str = "fast") -> None:
        """Stop it: `smart`, `fast`, `immediate` (no checkpoint, as after a crash), or `kill` (of every process)."""
        process = self.process
        if process is None or process.poll() is not None:
            return
        self.thaw()
        if mode == "kill":
            self._kill()
        else:
            process.send_signal({"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])
        process.wait(PATIENCE)

    def _kill(self) -> None:
        """Kill every process, and free what no process is left to free: a reboot would."""
        segment = (self.data / "postmaster.pid").read_text().splitlines()[6].split()[-1]
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["ipcrm", "-m", segment], check=True)

    def freeze(self) -> None:
        """Let no process of it run, so that it hangs."""
        for pid in self._pids():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its processes run again."""
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _pids(self) -> list[int]:
        if self.process is None or self.process.poll() is not None:
            return []
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]


class Servers:
    """The members of a cluster below one folder."""

    def __init__(
        self, folder: Path, hosts: Sequence[str] = ("db1", "db2", "db3"), template: Path | None = None
    ) -> None:
        self.folder = folder
        self.port, self.endpoint = _free_ports(2)
        self.members = tuple(Member(name=host, address=f"127.0.0.{n}") for n, host in enumerate(hosts, 1))
        self.started: list[Server] = []
        self._template = template
        self._servers: dict[str, Server] = {}

    def member(self, host: str, **changes: object) -> Server:
        """The server of a member; the same one each time. `changes` are fields of its `Place`."""
        if host not in self._servers:
            data = f"/var/lib/postgresql/{VERSION}/main"
            place = Place(
                version=VERSION, cluster="main", host=host, data=data, port=self.port, endpoint=self.endpoint,
                members=self.members,
            )  # fmt: skip
            self._servers[host] = Server(self, place.replace(**changes))
        return self._servers[host]

    @cached_property
    def template(self) -> Path:
        """A data directory of which the members' are copies: with checksums and the replication role."""
        return self._template or self.initdb("template")

    def initdb(self, name: str) -> Path:
        """Make a data directory."""
        data = self.folder / name
        data.mkdir()
        data.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(data, *account()[:2])
        command(
            PROGRAMS / "initdb", "-D", data, "-U", USER, "--data-checksums", "--wal-segsize=1", "--locale=C.UTF-8",
            "-E", "UTF8", "--no-sync", "-A", "peer",
        )  # fmt: skip
        grants = "".join(
            f"GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {REPLICATOR};\n"
            for function in (
                "pg_ls_dir(text, boolean, boolean)",
                "pg_stat_file(text, boolean)",
                "pg_read_binary_file(text)",
                "pg_read_binary_file(text, bigint, bigint, boolean)",
            )
        )
        quoted = PASSWORD.replace("'", "''")
        sql = f"CREATE ROLE {REPLICATOR} LOGIN REPLICATION PASSWORD '{quoted}';\n{grants}"
        command(
            PROGRAMS / "postgres", "--single", "-F", "-j", "-D", data, "postgres", stdin=sql.replace(";\n", ";\n\n")
        )
        return data

    def pair(self) -> tuple[Server, Server]:
        """db1, a running primary, and db2, a standby that streams from it."""
        db1 = self.member("db1").create().start()
        db2 = self.member("db2").copy(db1).start()
        until(db2.streams, "db2 streams")
        return db1, db2

    def close(self) -> None:
        """Stop them all."""
        for server in self.started:
            server.stop("immediate")


def _free_ports(count: int) -> list[int]:
    """Ports that are free at all addresses, and that the kernel lends to no outgoing connection, a member's say."""
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(PORTS)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("", port))
            found += [port] if port not in found else []
    return found
