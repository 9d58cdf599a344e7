"""What HAProxy needs on a host: its configuration, a reload that tells the truth, foreign binds, its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.agent.resources.files import Validator
from hakit.agent.resources.package import Package
from hakit.agent.resources.paths import Directory
from hakit.agent.resources.sysctl import Sysctl
from hakit.agent.resources.unit import Unit
from hakit.components.haproxy import redundancy, view
from hakit.components.haproxy.databases import is_database
from hakit.components.haproxy.paths import (
    ADMIN_SOCKET,
    CONFIG,
    DRAIN_SCRIPT,
    DRAINED,
    DROP_IN,
    HEALTH_PATH,
    LASTING,
    LIBRARY,
    MASTER_SOCKET,
    RELOAD_SCRIPT,
    SEED,
    STATE_FILE,
    STATE_FOLDER,
    UNIT,
)
from hakit.components.haproxy.settings import HaproxySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hakit.agent.resources.base import Resource
    from hakit.components.base import HostContext

VALIDATOR = Validator(
    argv=("/usr/sbin/haproxy", "-c", "-f", f"{{{CONFIG}}}"),
    path=CONFIG,
    place=r"^\[ALERT\] +\(\d+\) : (?:config : )?"
    r"(?:(?:parsing )?\[(?P<path>/[^\]]*):(?P<line>\d+)\] ?: ?)?(?P<message>.*)$",
)


def resources(ctx: HostContext) -> Iterator[Resource]:
    """Everything HAProxy needs on a host."""
    settings = ctx.settings(HaproxySettings)
    paths = {
        "admin_socket": ADMIN_SOCKET,
        "master_socket": MASTER_SOCKET,
        "state_file": STATE_FILE,
        "state_folder": STATE_FOLDER,
        "seed": SEED,
        "drained": DRAINED,
        "drain_script": DRAIN_SCRIPT,
    }
    yield Package(package="haproxy", component=ctx.component)
    for folder in (LIBRARY, LASTING):
        yield Directory(path=folder, component=ctx.component)
    yield Directory(path=DRAINED, after=(f"directory:{LASTING}",), component=ctx.component)
    databases = [pool for _, pool in view.host_pools(ctx.site, ctx.host) if is_database(pool)]
    checked = [pool for pool in databases if pool.check.enabled]
    yield ctx.file(SEED, ctx.template("haproxy-seed", databases=checked))
    yield ctx.file(RELOAD_SCRIPT, ctx.template("haproxy-reload", config=CONFIG, **paths), mode=0o755)
    yield ctx.file(DRAIN_SCRIPT, ctx.template("haproxy-drained", **paths), mode=0o755)
    yield ctx.file(DROP_IN, ctx.template("drop-in", script=RELOAD_SCRIPT, **paths))
    nonlocal_binds = tuple((view.NONLOCAL[version], "1") for version in sorted(view.foreign_binds(ctx.host, settings)))
    if nonlocal_binds:
        yield Sysctl(label=ctx.component, values=nonlocal_binds, component=ctx.component)
    content = ctx.template("haproxy.cfg", **_values(ctx, settings), **paths)
    yield ctx.file(
        CONFIG,
        content,
        mode=0o600 if content.secret else 0o644,
        validate=(VALIDATOR,),
        after=("package:haproxy",),
    )
    yield Unit(
        unit=UNIT,
        reload_on=(CONFIG, DROP_IN),
        after=(
            "package:haproxy",
            *(f"files:{path}" for path in (RELOAD_SCRIPT, DRAIN_SCRIPT, SEED)),
            f"sysctl:{ctx.component}",
        ),
        component=ctx.component,
    )


def _values(ctx: HostContext, settings: HaproxySettings) -> dict[str, object]:
    """What the template prints."""
    sticky = any(pool.sticky == "source" for _, _, pool in view.pools(settings))
    partners = view.peers(ctx.site, ctx.host, ctx.registry) if sticky else ()
    peers = bool(partners)
    fronts = [view.frontend_view(settings, name, front) for name, front in settings.frontends.items()]
    pools = [view.pool_view(ctx.site, settings, name, pool, peers=peers) for name, pool in settings.backends.items()]
    listens = [
        view.ListenView(
            view.frontend_view(settings, name, listen),
            view.pool_view(ctx.site, settings, name, listen, peers=peers),
        )
        for name, listen in settings.listens.items()
    ]
    stop = view.stop_after(settings)
    return {
        "settings": settings,
        "frontends": fronts,
        "backends": pools,
        "listens": listens,
        "contestable": [pool for pool in (*pools, *(listen.pool for listen in listens)) if pool.claims],
        "partners": partners,
        "maxconn": view.total_maxconn(settings),
        "hard_stop_after": None if stop is None else view.clock(stop),
        "health_path": HEALTH_PATH,
        "health": redundancy.health(ctx.site, ctx.host),
        "clock": view.clock,
        "quoted": view.quoted,
    }
