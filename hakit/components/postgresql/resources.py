"""What a member needs on its host: packages, configuration, guard and role endpoint, the server, what it holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hakit.agent.postgres import library
from hakit.agent.postgres.place import LIBRARY, RUNNING, SOCKETS, USER
from hakit.agent.resources.files import File, Files, Validator
from hakit.agent.resources.package import Package
from hakit.agent.resources.paths import Directory
from hakit.agent.resources.postgres import Cluster
from hakit.agent.resources.unit import Unit
from hakit.agent.wire import wire
from hakit.components.postgresql import hba, objects, tuning
from hakit.components.postgresql.check import passfile_word
from hakit.components.postgresql.members import place as place_of
from hakit.components.postgresql.part import Part
from hakit.components.postgresql.paths import (
    CREATECLUSTER,
    LASTING,
    NEEDRESTART,
    RELOAD,
    SYSTEMD,
    TMPFILES,
    TOOLS,
    UNATTENDED,
    endpoint_unit,
)
from hakit.components.postgresql.settings import PostgresqlSettings, kibibytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.postgres.place import Place
    from hakit.agent.resources.base import Resource
    from hakit.components.base import HostContext

REFUSED = r'^.*? (?:LOG|FATAL):  (?P<message>(?!skipping).*?)(?: in file "(?P<path>[^"]+)" line (?P<line>\d+).*)?$'
"""How the server says what is wrong with its configuration, and where."""
PROGRAM = " ".join(library.COMMAND)


def resources(ctx: HostContext) -> Iterator[Resource]:
    """Everything a member needs on its host."""
    settings = ctx.settings(PostgresqlSettings)
    place = place_of(ctx.site, ctx.host, ctx.facts.release)
    part = ctx.decided if isinstance(ctx.decided, Part) else Part()
    yield from _packages(ctx, settings, place)
    yield from _folders(ctx, place)
    yield from _configuration(ctx, settings, place)
    yield from _endpoint(ctx, place)
    yield from _server(ctx, settings, place, part)
    yield from objects.objects(ctx, settings, place)


def _packages(ctx: HostContext, settings: PostgresqlSettings, place: Place) -> Iterator[Resource]:
    server = f"postgresql-{place.version}"
    yield ctx.file(CREATECLUSTER, ctx.template("createcluster.conf"))
    yield Package(package=server, after=(f"files:{CREATECLUSTER}",), component=ctx.component)
    for package in settings.packages:
        yield Package(package=package, after=(f"files:{CREATECLUSTER}",), component=ctx.component)
    yield ctx.file(NEEDRESTART, ctx.template("needrestart.conf"))
    yield ctx.file(UNATTENDED, ctx.template("apt.conf", version=place.version))


def _folders(ctx: HostContext, place: Place) -> Iterator[Resource]:
    for path in (LIBRARY, LASTING, TOOLS):
        yield Directory(path=path, component=ctx.component)
    yield Directory(path=place.state, owner=USER, group=USER, mode=0o750, component=ctx.component)
    yield ctx.file(TMPFILES, ctx.template("tmpfiles.conf", running=RUNNING, user=USER))
    yield Directory(path=RUNNING, owner=USER, group=USER, component=ctx.component)
    for path in (f"/etc/postgresql/{place.version}", place.config, f"{place.config}/conf.d"):
        yield Directory(path=path, component=ctx.component)


def _configuration(ctx: HostContext, settings: PostgresqlSettings, place: Place) -> Iterator[Resource]:
    yield _server_files(ctx, settings, place)
    for name in ("start.conf", "environment", "pg_ctl.conf"):
        yield ctx.file(f"{place.config}/{name}", ctx.template(name))
    yield ctx.file(place.file, ctx.templates.literal(json.dumps(wire(place), indent=2) + "\n"))
    passwords = ctx.template(
        "pgpass",
        members=place.members,
        port=place.port,
        user=settings.replication.user,
        password=settings.replication.password.written(passfile_word),
        address=lambda text: text.replace(":", "\\:"),
    )
    yield ctx.file(place.passfile, passwords, owner=USER, group=USER, mode=0o600)
    yield ctx.file(RELOAD, ctx.template("postgresql-reload", user=USER, sockets=SOCKETS, **_own(place)), mode=0o755)


def _own(place: Place) -> dict[str, object]:
    return {"unit": place.unit, "version": place.version, "cluster": place.cluster, "port": place.port}


def restart_file(place: Place) -> str:
    """The file with what the server reads at its start alone."""
    return f"{place.config}/conf.d/10-restart.conf"


def _server_files(ctx: HostContext, settings: PostgresqlSettings, place: Place) -> Files:
    """The server's own files, judged together by the server itself."""
    main, late = f"{place.config}/postgresql.conf", restart_file(place)
    lines = tuning.lines(ctx.site, ctx.host, place, ctx.facts.memory)
    now, then = tuning.split(place.version, lines)
    now_extra, then_extra = tuning.split_extra(place.version, settings)
    content = ctx.template("postgresql.conf", lines=now, extra=now_extra, restart_file=late, upstream=place.upstream)
    rows = (*hba.derived(ctx.site, ctx.host), *hba.declared(ctx.site, settings))
    doors = ctx.template("pg_hba.conf", rows=rows, extra=settings.hba_extra, names=",".join)
    return Files(
        label=place.config,
        files=(
            File(path=main, content=content),
            File(path=late, content=ctx.template("restart.conf", lines=then, extra=then_extra)),
            File(path=f"{place.config}/pg_hba.conf", content=doors, group=USER, mode=0o640),
            File(path=f"{place.config}/pg_ident.conf", content=ctx.template("pg_ident.conf"), group=USER, mode=0o640),
        ),
        validate=(
            # The one thing that the server does as root, and without a data directory.
            Validator(
                argv=(f"{place.programs}/postgres", "-C", "max_connections", f"--config-file={{{main}}}"),
                path=main,
                place=REFUSED,
            ),
        ),
        component=ctx.component,
    )


def _endpoint(ctx: HostContext, place: Place) -> Iterator[Resource]:
    socket, service = endpoint_unit(place.label, "socket"), endpoint_unit(place.label, "service")
    sources = {f"{LIBRARY}/{path}": text for path, text in library.sources().items()}
    yield Files(
        label=LIBRARY,
        files=tuple(File(path=path, content=ctx.templates.literal(text)) for path, text in sources.items()),
        component=ctx.component,
    )
    address = f"[{ctx.host.address}]" if ":" in ctx.host.address else ctx.host.address
    listen = tuple(f"{one}:{place.endpoint}" for one in (address, "127.0.0.1"))
    yield ctx.file(f"{SYSTEMD}/{socket}", ctx.template("endpoint.socket", label=place.label, listen=listen))
    values = {"label": place.label, "socket": socket, "user": USER, "program": PROGRAM, "file": place.file}
    yield ctx.file(f"{SYSTEMD}/{service}", ctx.template("endpoint.service", **values))
    yield Unit(unit=socket, component=ctx.component)
    restart_on = (*sources, place.file)
    yield Unit(unit=service, restart_on=restart_on, after=(f"unit:{socket}",), component=ctx.component)


def _server(ctx: HostContext, settings: PostgresqlSettings, place: Place, part: Part) -> Iterator[Resource]:
    data = settings.data
    drop_in = f"{SYSTEMD}/{place.unit}.d/50-hakit.conf"
    values = {
        "socket": endpoint_unit(place.label, "socket"),
        "data": place.data,
        "mount": str(data.mount or ""),
        "program": PROGRAM,
        "file": place.file,
        "reload": RELOAD,
    }
    yield ctx.file(drop_in, ctx.template("drop-in", **values))
    cluster = Cluster(
        place=place,
        origin=part.origin,
        upstream=part.upstream,
        system=part.system,
        options=initdb(settings),
        user=str(settings.replication.user),
        rate=kibibytes(settings.replication.rate) if settings.replication.rate else 0,
        mount=str(data.mount or ""),
        parted=part.parted,
        after=(
            f"package:postgresql-{place.version}",
            f"files:{place.config}",
            f"files:{place.passfile}",
            f"files:{place.file}",
            f"directory:{place.state}",
            f"directory:{RUNNING}",
        ),
        component=ctx.component,
    )
    yield cluster
    config = place.config
    yield Unit(
        unit=place.unit,
        running=None if part.parted else True,
        reload_on=(f"{config}/postgresql.conf", f"{config}/pg_hba.conf", f"{config}/pg_ident.conf", drop_in),
        restart_on=(restart_file(place), f"package:postgresql-{place.version}"),
        after=(cluster.key, f"unit:{endpoint_unit(place.label, 'service')}", f"files:{RELOAD}"),
        component=ctx.component,
    )


def initdb(settings: PostgresqlSettings) -> tuple[str, ...]:
    """The options of initdb beside those that never change."""
    data = settings.data
    options = ["--data-checksums"] if data.checksums else []
    options += [f"--encoding={data.encoding}", f"--locale={data.locale}"]
    if data.wal_segment:
        options.append(f"--wal-segsize={kibibytes(data.wal_segment) // 1024}")
    return tuple(options)
