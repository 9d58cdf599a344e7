"""From a path to a `Site`: reads the files, ties hosts and groups, validates, and reports every problem at once."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hakit.errors import InventoryError
from hakit.inventory import checks, logins
from hakit.inventory.core import SITE_KEYS, Core, Lab, SecretSources, Service, Ssh
from hakit.inventory.document import DocumentError, Mapping, Scalar, parse, plain
from hakit.inventory.explain import unknown
from hakit.inventory.files import (
    VAULTED,
    YAML_EXTENSIONS,
    UnreadableError,
    conversion,
    is_ini,
    read,
    sources,
    variable_files,
)
from hakit.inventory.groups import Graph, Layer, root_problem, shape
from hakit.inventory.model import Group, Host, Site
from hakit.inventory.origin import Mark, Problem, dotted
from hakit.inventory.secrets import Secrets
from hakit.inventory.settings import Part, Validated, Validator
from hakit.suggest import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as Dict
    from pathlib import Path

    from pydantic import BaseModel

    from hakit.inventory.groups import HostNode

HAKIT = "hakit"


def load_site(
    path: Path, schemas: Dict[str, type[BaseModel]], *, need_secrets: bool = True, whole: bool = False
) -> Site:
    """The site of an inventory file or folder. Raises InventoryError with every problem found."""
    graph, problems, warnings = read_graph(path)
    if problems:
        raise InventoryError(_sorted(problems))
    loader = _Loader(path, schemas, graph)
    site = loader.site(warnings, whole=whole)
    if need_secrets and not loader.problems:
        loader.problems += _missing_secrets(site)
    if loader.problems:
        raise InventoryError(_sorted(loader.problems))
    return site


def _sorted(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(dict.fromkeys(problems), key=lambda p: (p.mark or Mark("", 0), p.key, p.message))


def read_graph(path: Path) -> tuple[Graph, list[Problem], list[Problem]]:
    """The hosts and groups of all files, the problems that leave them incomplete, and warnings."""
    graph = Graph()
    try:
        files, warnings = sources(path)
    except UnreadableError as error:
        return graph, [error.problem], []
    problems: list[Problem] = []
    strangers: list[Problem] = []
    good = 0
    for file in files:
        try:
            graph.add(_source(file))
            good += 1
        except UnreadableError as error:
            (strangers if _may_be_stranger(file, path) else problems).append(error.problem)
        except _StrangerError as error:
            (problems if file == path else strangers).extend(error.problems)
        except DocumentError as error:
            (strangers if _may_be_stranger(file, path) else problems).extend(error.problems)
    if good:
        warnings += [replace(problem, severity="warning") for problem in strangers]
    else:
        problems += strangers
    graph.finish()
    _read_variables(graph, path if path.is_dir() else path.parent, problems)
    return graph, problems + graph.problems, warnings + graph.warnings


class _StrangerError(DocumentError):
    """The document is empty, a list or the like: in a folder it may be a playbook, say."""


def _source(file: Path) -> Mapping:
    """The document in an inventory file. Raises UnreadableError, DocumentError, _StrangerError."""
    text = read(file)
    if text.startswith(VAULTED):
        raise UnreadableError("is encrypted by Ansible Vault; hakit can't read hosts from it", file)
    if is_ini(text):
        raise UnreadableError(f"is an inventory in INI format; {conversion(file)}", file)
    root = parse(text, str(file))
    wrong = root_problem(root, str(file))
    if isinstance(root, Mapping) and wrong is None:
        return root
    raise (DocumentError if isinstance(root, Mapping) else _StrangerError)(*([wrong] if wrong else []))


def _may_be_stranger(file: Path, path: Path) -> bool:
    """Whether a file that can't be read may be something else: in a folder, without a suffix, and no INI inventory."""
    if file == path or file.suffix:
        return False
    try:
        return not is_ini(read(file))
    except UnreadableError:
        return True


def _read_variables(graph: Graph, root: Path, problems: list[Problem]) -> None:
    """Add group_vars and host_vars, in Ansible's order."""
    for folder, kind, nodes in (("group_vars", "group", graph.groups), ("host_vars", "host", graph.hosts)):
        if not (root / folder).is_dir():
            continue
        for name, node in nodes.items():
            try:
                for file in variable_files(root / folder, name):
                    layer = _variables(file, "group" if kind == "group" else "host", name, graph)
                    node.files += [layer] if layer else []
            except UnreadableError as error:
                problems.append(error.problem)
            except DocumentError as error:
                problems += error.problems
        _unused_variables(root / folder, kind, list(nodes), graph)


def _unused_variables(folder: Path, kind: str, names: list[str], graph: Graph) -> None:
    """Warn of files that belong to no group or host; where hakit's settings are in them, that is an error."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.endswith("~") or path.suffix not in ("", *YAML_EXTENSIONS):
            continue
        if path.name in names or path.name.removesuffix(path.suffix) in names:
            continue
        message = f"there is no {kind} {path.stem}; this is not used{did_you_mean(path.stem, names)}"
        mark = Mark(str(path), 0)
        if _speaks_of_hakit(path):
            graph.problems.append(Problem(message, mark, HAKIT))
        else:
            graph.warnings.append(Problem(message, mark, "", "warning"))


def _speaks_of_hakit(path: Path) -> bool:
    try:
        root = None if path.is_dir() else parse(read(path), str(path))
    except (UnreadableError, DocumentError):
        return False
    return isinstance(root, Mapping) and HAKIT in root.items


def _variables(file: Path, kind: Any, name: str, graph: Graph) -> Layer | None:
    text = read(file)
    if text.startswith(VAULTED):
        message = "is encrypted by Ansible Vault: hakit does not know its variables"
        graph.warnings.append(Problem(message, Mark(str(file), 0), "", "warning"))
        return None
    root = parse(text, str(file))
    if root is None or (isinstance(root, Scalar) and not root.value):
        return None
    if not isinstance(root, Mapping):
        raise DocumentError(Problem(f"expects a mapping of variables, got {shape(root)}", root.mark))
    return Layer(kind, name, root)


@dataclass(slots=True)
class _Parts:
    """What contributes to one host's settings: per key below `hakit` the parts, weakest first."""

    keys: dict[str, list[Part]] = field(default_factory=dict)
    root: Mark | None = None


class _Loader:
    def __init__(self, path: Path, schemas: Dict[str, type[BaseModel]], graph: Graph) -> None:
        self.path = path
        self.root = path if path.is_dir() else path.parent
        self.schemas = schemas
        self.graph = graph
        self.problems: list[Problem] = []
        self.validator = Validator({})
        self.uses: dict[Any, None] = {}
        self.bases: dict[tuple[int, ...], dict[str, Any]] = {}

    def site(self, warnings: list[Problem], *, whole: bool) -> Site:
        layers = {name: self.graph.layers_of(host) for name, host in self.graph.hosts.items()}
        self.check_layers()
        parts = {name: self.parts(found) for name, found in layers.items()}
        everyone = self.parts([*self.graph.groups["all"].layers, *self.graph.groups["all"].files])
        scopes = [*parts.values(), everyone]
        sources = self.site_value("secrets", scopes)
        sources = sources if isinstance(sources, SecretSources) else SecretSources()
        secrets = Secrets(self.root, sources.command, sources.timeout)
        self.validator.context["secrets"] = secrets
        lab = self.site_value("lab", scopes)
        services = self.services(scopes)
        hosts = {name: self.host(self.graph.hosts[name], layers[name], parts[name]) for name in self.graph.hosts}
        hosts, circles = logins.resolve(hosts)
        managed = {name for name, found in parts.items() if found.keys}
        ignored = (problem for name in managed for problem in logins.ignored(hosts[name]))
        site = Site(
            source=self.path,
            root=self.root,
            hosts=hosts,
            groups=self.groups(),
            services=services,
            lab=lab if isinstance(lab, Lab) else None,
            secrets=secrets,
            uses=tuple(self.uses),
            warnings=tuple(_sorted([*warnings, *ignored])),
        )
        self.problems += [*self.validator.problems, *circles]
        self.problems += checks.all_problems(site, self.graph, managed, whole=whole)
        return site

    def check_layers(self) -> None:
        """Every `hakit` is a mapping of components and core settings, also where no host inherits it."""
        known = [*self.schemas, *Core.model_fields]
        for layer in self.every_layer():
            node = layer.vars.get(HAKIT)
            if node is None or (isinstance(node, Scalar) and node.value is None):
                continue
            if not isinstance(node, Mapping):
                message = f"expects a mapping of components and settings, got {shape(node)}"
                self.problems.append(Problem(message, node.mark, HAKIT))
                continue
            for key, entry in node.items.items():
                if key not in known:
                    message = unknown(str(key), known, "component or setting")
                    self.problems.append(Problem(message, entry.key.mark, f"{HAKIT}.{key}"))

    def every_layer(self) -> Iterable[Layer]:
        for group in self.graph.groups.values():
            yield from (*group.layers, *group.files)
        for host in self.graph.hosts.values():
            yield from (*host.layers, *host.files)

    def parts(self, layers: list[Layer]) -> _Parts:
        found = _Parts()
        for layer in layers:
            entry = layer.vars.items.get(HAKIT)
            if entry is None or not isinstance(entry.value, Mapping):
                continue
            found.root = entry.key.mark
            for key, inner in entry.value.items.items():
                if key in self.schemas or key in Core.model_fields:
                    found.keys.setdefault(key, []).append(Part(inner.key, inner.value))
        return found

    def core(self, key: str, parts: _Parts) -> Any:
        """The value of one of hakit's own keys; None where it is absent or wrong."""
        if key not in parts.keys:
            return None
        checked = self.validator.validate(key, Core, tuple(parts.keys[key]), wrap=True)
        return getattr(checked.model, key) if checked.model else None

    def site_value(self, key: str, scopes: list[_Parts]) -> Any:
        """A setting of the whole site: every host must see the same."""
        found: dict[int, tuple[Any, _Parts]] = {}
        for scope in scopes:
            value = self.core(key, scope)
            if value is not None:
                found.setdefault(id(value), (value, scope))
        values = list(found.values())
        for value, scope in values[1:]:
            if value != values[0][0]:
                first = values[0][1].keys[key][-1].key.mark
                message = f"speaks of the whole site, but {first} says otherwise; write it once, in the vars of all"
                self.problems.append(Problem(message, scope.keys[key][-1].key.mark, f"{HAKIT}.{key}"))
        return values[0][0] if values else None

    def services(self, scopes: list[_Parts]) -> dict[str, Service]:
        """The promises of the site: those of all hosts together."""
        found: dict[str, Service] = {}
        seen: set[int] = set()
        for scope in scopes:
            services = self.core("services", scope) or {}
            if id(services) in seen:
                continue
            seen.add(id(services))
            for name, service in services.items():
                if found.setdefault(name, service) != service:
                    message = "is promised differently to different hosts; write it once, in the vars of all"
                    self.problems.append(
                        Problem(message, scope.keys["services"][-1].key.mark, f"{HAKIT}.services.{name}")
                    )
        return found

    def host(self, node: HostNode, layers: list[Layer], parts: _Parts) -> Host:
        values = self.variables(node, layers)
        checked = {name: self.component(name, parts) for name in self.schemas if name in parts.keys}
        settings = {name: found.model for name, found in checked.items() if found.model is not None}
        for found in checked.values():
            self.uses.update(dict.fromkeys(found.uses))
        login = logins.login(node, values, self.ssh(parts), layers)
        lint = self.core("lint", parts)
        marks = [found.marks for found in checked.values()]
        own = [key for key in Core.model_fields if key in parts.keys]
        marks += [self.validator.validate(key, Core, tuple(parts.keys[key]), wrap=True).marks for key in own]
        if parts.root:
            marks.append({(): parts.root})
        return Host(
            name=node.name,
            groups=tuple(group.name for group in self.graph.groups_of(node)),
            login=login,
            address=self.core("address", parts) or login.host,
            zone=self.core("zone", parts),
            release=self.core("release", parts),
            settings=settings,
            vars=values,
            marks=ChainMap(*marks),
            ignore=lint.ignore if lint else {},
            nics=self.core("nics", parts) or {},
            hardware=self.core("hardware", parts),
            layers=tuple(layers),
        )

    def ssh(self, parts: _Parts) -> Ssh | None:
        """The settings of SSH, whose secrets count as used."""
        if "ssh" in parts.keys:
            checked = self.validator.validate("ssh", Core, tuple(parts.keys["ssh"]), wrap=True)
            self.uses.update(dict.fromkeys(checked.uses))
        found = self.core("ssh", parts)
        return found if isinstance(found, Ssh) else None

    def component(self, name: str, parts: _Parts) -> Validated:
        """A component's settings on one host; null takes it away where something is inherited."""
        contributions = parts.keys[name]
        checked = self.validator.validate(name, self.schemas[name], tuple(contributions))
        if checked.null and len(contributions) == 1:
            message = f"is empty; write  {name}: {{}}  to run it with its defaults"
            self.problems.append(Problem(message, contributions[0].key.mark, f"{HAKIT}.{name}"))
        return checked

    def variables(self, node: HostNode, layers: list[Layer]) -> dict[str, Any]:
        """All variables but hakit's, replaced as in Ansible; hosts with the same groups share the work."""
        own = len(node.layers) + len(node.files)
        shared = layers[: len(layers) - own]
        key = tuple(id(layer) for layer in shared)
        if key not in self.bases:
            self.bases[key] = _values(shared)
        values = self.bases[key] | _values(layers[len(layers) - own :]) if own else self.bases[key]
        return values if node.port is None else {"ansible_port": node.port} | values

    def groups(self) -> dict[str, Group]:
        hosts: dict[str, list[str]] = {name: [] for name in self.graph.groups}
        for node in self.graph.hosts.values():
            hosts["all"].append(node.name)
            for group in self.graph.groups_of(node):
                hosts[group.name].append(node.name)
        return {
            name: Group(name, tuple(hosts[name]), tuple(group.children), tuple(group.parents), tuple(group.hosts))
            for name, group in self.graph.groups.items()
        }


def _missing_secrets(site: Site) -> Iterable[Problem]:
    """Secrets that are named and known not to be set; what can't be known without asking anyone is left for later."""
    missing = site.secrets.surely_missing(use.name for use in site.uses)
    for use in site.uses:
        if use.name in missing:
            message = f"the secret {use.name} is not set; set it with  hakit secret set {use.name}"
            yield Problem(message, use.mark, f"{HAKIT}.{dotted(use.path)}")


def _values(layers: list[Layer]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for layer in layers:
        values |= plain(layer.vars)
    values.pop(HAKIT, None)
    return values


__all__ = ["SITE_KEYS", "load_site", "read_graph"]
