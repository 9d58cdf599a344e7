"""A host whose kernel and managers of networks are a few lines of Python, with all that they know in files of its root.

So a process that changes it can be killed, and another goes on with what the first has left.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hakit.agent.network import interfaces
from hakit.agent.network.live import BOND_OPTIONS
from hakit.agent.network.place import FOLDER
from hakit.agent.network.record import BOOT_ID, Record
from hakit.agent.process import Result
from hakit.agent.resources.files import File
from hakit.agent.resources.network import Link, Network, Route
from hakit.agent.wire import Text
from hakit.agent.work import Work
from tests.unit.agent.agent_support import ME, MY_GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    State = dict[str, Any]

OK = Result(0, "", "")
CARDS = ("eth0", "eth1")
NETWORKD_FILE = "/etc/systemd/network/10-hakit.network"
NETPLAN_FILE = "/etc/netplan/50-hakit.yaml"
INTERFACES = "/etc/network/interfaces"
BEGAN = 1_500_000
"""Microseconds of CLOCK_MONOTONIC when systemd began."""
PROGRAMS = ("ip", "ifup", "ifdown", "networkctl", "netplan", "systemctl", "systemd-run")


class Simulated(Work):
    """The host. `failing` are commands that fail, `tick` is called before each command."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root), lambda _: None)
        self.folder = root
        self.asked: list[str] = []
        self.failing: dict[str, str] = {}
        self.tick: Callable[[], None] = lambda: None
        self.record = Record(self.at(FOLDER), self.root)

    def set_up(self) -> None:
        for path in ("fake", "etc", "bin", "run/network", "proc/sys/kernel/random", "sys/class/net"):
            (self.folder / path).mkdir(parents=True, exist_ok=True)
        for name, line in (
            ("passwd", f"{ME}:x:{os.getuid()}:{os.getgid()}::/:/bin/sh"),
            ("group", f"{MY_GROUP}:x:{os.getgid()}:"),
        ):
            (self.folder / "etc" / name).write_text(line + "\n")
        for name in PROGRAMS:
            (self.folder / "bin" / name).write_text("")
            (self.folder / "bin" / name).chmod(0o755)
        for number, name in enumerate(CARDS):
            net = self.folder / "sys/class/net" / name
            (net / "device").mkdir(parents=True)
            for key, text in (("type", "1"), ("ifindex", number), ("iflink", number), ("uevent", "")):
                (net / key).write_text(f"{text}\n")
            (net / "address").write_text(f"52:54:00:00:00:0{number}\n")
            (net / "addr_assign_type").write_text("0\n")
        (self.folder / BOOT_ID[1:]).write_text("boot1\n")
        self.put(active=[], enabled=[], asked=[])
        self.boot()

    def get(self, name: str) -> Any:
        return json.loads((self.folder / f"fake/{name}.json").read_text())

    def put(self, **values: Any) -> None:
        for name, value in values.items():
            new = self.folder / f"fake/{name}.{os.getpid()}"
            new.write_text(json.dumps(value, sort_keys=True))
            new.replace(self.folder / f"fake/{name}.json")

    def write(self, path: str, text: str) -> None:
        target = self.folder / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def boot(self) -> None:
        """Start anew: the cards, then what is enabled."""
        for path in list(Path(self.at("/sys/class/net")).iterdir()):
            if path.name not in CARDS:
                shutil.rmtree(path)
        self.put(kernel={"links": {name: _new("physical") for name in CARDS}, "routes": []})
        self.write("/run/network/ifstate", "lo=lo\n")
        self.put(active=self.get("enabled"))
        if "systemd-networkd.service" in self.get("enabled"):
            self._networkd(None)
        if "networking.service" in self.get("enabled"):
            for name in interfaces.ordered(interfaces.read(self)):
                self._ifup(name)

    def run(self, argv: Iterable[str], timeout: float = 60.0, **options: Any) -> Result:
        assert timeout > 0
        assert options.keys() <= {"env"}
        words = list(argv)
        if words[:2] in (["systemctl", "enable"], ["systemctl", "disable"]):
            assert options["env"] == {"SYSTEMCTL_SKIP_SYSV": "1"}, "old init scripts cost time that the host has not"
        line = " ".join(words)
        self.tick()
        if words[:2] != ["ip", "-json"]:
            self.put(asked=[*self.get("asked"), line])
        for part, said in self.failing.items():
            if part in line:
                return Result(1, "", said)
        return self._answer(words)

    def _answer(self, words: list[str]) -> Result:
        if words[:2] == ["ip", "-json"]:
            return Result(0, json.dumps(self._tell(words)), "")
        if words[0] == "ip":
            return self._ip(words[1:])
        if words[0] == "systemctl":
            return self._systemctl(words[1], [word for word in words[2:] if not word.startswith("--")], words)
        if words[0] == "networkctl":
            self._networkd(words[2] if words[1] == "reconfigure" else "")
        if words[0] == "ifup" and "--no-act" not in words:
            return self._ifup(words[1])
        if words == ["netplan", "generate"]:
            self._plan()
        if words[0] == "ifdown":
            return self._ifdown(words[1])
        return OK

    def _tell(self, words: list[str]) -> list[State]:
        kernel = self.get("kernel")
        if "address" in words:
            return [_shown(name, link) for name, link in kernel["links"].items()]
        six = "-6" in words
        return [
            {"dst": one["to"], "gateway": one["via"], "dev": one["dev"], "protocol": one["proto"]}
            for one in kernel["routes"]
            if (":" in one["via"]) == six
        ]

    def _ip(self, words: list[str]) -> Result:
        kernel = self.get("kernel")
        words = [word for word in words if word not in ("-4", "-6", "broadcast", "+", "nodad")]
        ways = {"link": self._ip_link, "address": self._ip_address, "route": self._ip_route}
        refused = ways[words[0]](kernel, words[1], words[2:])
        if refused:
            return Result(2, "", f"RTNETLINK answers: {refused}")
        self.put(kernel=kernel)
        return OK

    def _ip_link(self, kernel: State, do: str, rest: list[str]) -> str:
        links, named = kernel["links"], dict(zip(rest[::2], rest[1::2], strict=False))
        if do == "delete":
            self._delete(kernel, named["dev"])
        elif do == "add":
            on = named.get("link", "")
            if named["name"] in links or (on and on not in links):
                return "File exists"
            self._create(kernel, named["name"], _new(named["type"], on=on, id=int(named.get("id", "0"))))
            if "mode" in named:
                self._option(named["name"], "mode", named["mode"])
        elif rest[2] in ("up", "down"):
            links[named["dev"]]["up"] = rest[2] == "up"
        else:
            change = {"nomaster": {"master": ""}, "mtu": {"mtu": int(named.get("mtu", "0"))}}
            links[named["dev"]].update(change.get(rest[2], {rest[2]: rest[-1]}))
        return ""

    def _ip_address(self, kernel: State, do: str, rest: list[str]) -> str:
        links = kernel["links"]
        link = links[rest[rest.index("dev") + 1]]
        link["addresses"] = [one for one in link["addresses"] if one != rest[0]]
        if do == "replace":
            link["addresses"].append(rest[0])
        kernel["routes"] = [one for one in kernel["routes"] if links[one["dev"]]["addresses"]]
        return ""

    def _ip_route(self, kernel: State, do: str, rest: list[str]) -> str:
        named = dict(zip(rest[1::2], rest[2::2], strict=False))
        one = {"to": rest[0], "via": named.get("via", ""), "dev": named["dev"], "proto": named.get("protocol", "boot")}
        others = [other for other in kernel["routes"] if any(other[key] != one[key] for key in ("to", "via", "dev"))]
        if do == "delete" and len(others) == len(kernel["routes"]):
            return "No such process"
        kernel["routes"] = [*others, *([one] if do == "replace" else [])]
        return ""

    def _create(self, kernel: State, name: str, link: State) -> None:
        kernel["links"][name] = link
        folder = Path(self.at(f"/sys/class/net/{name}"))
        (folder / "bonding").mkdir(parents=True, exist_ok=True)
        (folder / "uevent").write_text("DEVTYPE=bond\n")
        if link["kind"] == "bond":
            self._option(name, "mode", "balance-rr")
            self._option(name, "miimon", "0")

    def _option(self, name: str, option: str, value: str) -> None:
        assert option in BOND_OPTIONS
        (self.folder / f"sys/class/net/{name}/bonding/{option}").write_text(f"{value} 1\n")

    def _delete(self, kernel: State, name: str) -> None:
        if kernel["links"].pop(name, None) is None:
            return
        shutil.rmtree(self.at(f"/sys/class/net/{name}"), ignore_errors=True)
        for upper in [one for one, link in kernel["links"].items() if link["on"] == name]:
            self._delete(kernel, upper)
        for link in kernel["links"].values():
            link["master"] = "" if link["master"] == name else link["master"]
        kernel["routes"] = [one for one in kernel["routes"] if one["dev"] != name]

    def _systemctl(self, do: str, units: list[str], words: list[str]) -> Result:
        active, enabled = set(self.get("active")), set(self.get("enabled"))
        if do == "show":
            return Result(0, f"{BEGAN}\n", "")
        if do == "is-active":
            return OK if units[0] in active else Result(3, "", "")
        if do == "enable":
            enabled |= set(units)
        if do == "disable":
            enabled -= set(units)
        if do in ("start", "restart"):
            active |= set(units)
        if do == "stop" or "--now" in words:
            active -= set(units)
        self.put(active=sorted(active), enabled=sorted(enabled))
        if do in ("start", "restart") and units == ["systemd-networkd.service"]:
            self._networkd(None)
        return OK

    def _networkd(self, only: str | None) -> None:
        """Make links that are missing; fill in one (`only`), none (empty) or all. It never takes anything away."""
        kernel = self.get("kernel")
        folder = self.folder / "etc/systemd/network"
        planned = self.folder / "run/systemd/network"
        for path in [*sorted(folder.glob("*.network")), *sorted(planned.glob("*.network"))]:
            wanted = json.loads(path.read_text())
            for name, link in wanted["links"].items():
                self._make(kernel, name, link)
                if only in (None, name):
                    self._fill(kernel, name, link)
            kernel["routes"] += [
                one for one in wanted["routes"] if only in (None, one["dev"]) and one not in kernel["routes"]
            ]
        self.put(kernel=kernel)

    def _plan(self) -> None:
        """What is planned is written in our networkd's words already."""
        folder = self.folder / "run/systemd/network"
        shutil.rmtree(folder, ignore_errors=True)
        source = self.folder / NETPLAN_FILE[1:]
        if source.exists():
            folder.mkdir(parents=True)
            (folder / "10-netplan.network").write_text(source.read_text())

    def _make(self, kernel: State, name: str, link: State) -> None:
        if name not in kernel["links"]:
            made = _new(link.get("kind", "bond"), on=link.get("on", ""), id=link.get("id", 0))
            self._create(kernel, name, made)
            for option, value in link.get("options", {}).items():
                self._option(name, option, value)

    def _fill(self, kernel: State, name: str, link: State) -> None:
        here = kernel["links"][name]
        here["addresses"] = list(dict.fromkeys([*here["addresses"], *link.get("addresses", [])]))
        here.update(master=link.get("master", ""), mtu=link.get("mtu", here["mtu"]), up=True)

    def _ifup(self, name: str) -> Result:
        stanzas = interfaces.read(self)
        if name not in stanzas:
            return Result(1, "", f"ifup: unknown interface {name}")
        if name in interfaces.up(self):
            return OK
        kernel = self.get("kernel")
        said = dict(line.split(None, 1) for line in stanzas[name] if not line.startswith("iface"))
        link: State = {"addresses": [said["address"]] if "address" in said else []}
        link["options"] = {key[5:]: said[key] for key in ("bond-mode", "bond-miimon") if key in said}
        if "vlan-raw-device" in said:
            link.update(kind="vlan", on=said["vlan-raw-device"], id=int(name.rpartition(".")[2]))
        here = kernel["links"].get(name, _new("bond"))
        if set(here["addresses"]) & set(link["addresses"]) or any(one["dev"] == name for one in kernel["routes"]):
            return Result(1, "", "RTNETLINK answers: File exists")
        self._make(kernel, name, link)
        for member in said.get("bond-slaves", "").split():
            kernel["links"][member].update(master=name, up=True)
        self._fill(kernel, name, {**link, "master": kernel["links"][name]["master"]})
        if "gateway" in said:
            kernel["routes"].append({"to": "default", "via": said["gateway"], "dev": name, "proto": "boot"})
        self.put(kernel=kernel)
        self.write("/run/network/ifstate", Path(self.at("/run/network/ifstate")).read_text() + f"{name}={name}\n")
        return OK

    def _ifdown(self, name: str) -> Result:
        kernel = self.get("kernel")
        interfaces.forget([name], self)
        if kernel["links"][name]["kind"] == "physical":
            kernel["links"][name].update(addresses=[], up=False)
            kernel["routes"] = [one for one in kernel["routes"] if one["dev"] != name]
        else:
            self._delete(kernel, name)
        self.put(kernel=kernel)
        return OK


def _new(kind: str, on: str = "", id: int = 0) -> State:  # noqa: A002 - the kernel's word
    return {"kind": kind, "master": "", "on": on, "id": id, "addresses": [], "mtu": 1500, "up": kind == "physical"}


def _shown(name: str, link: State) -> State:
    pairs = [one.partition("/") for one in link["addresses"]]
    return {
        "ifname": name,
        "flags": ["UP", "LOWER_UP"] if link["up"] else [],
        "mtu": link["mtu"],
        "master": link["master"],
        "link": link["on"],
        "linkinfo": {} if link["kind"] == "physical" else {"info_kind": link["kind"], "info_data": {"id": link["id"]}},
        "addr_info": [{"local": ip, "prefixlen": int(size), "scope": "global"} for ip, _, size in pairs],
    }


BOND = {"mode": "active-backup", "miimon": "100"}


def plain_network(manager: str) -> Network:
    """One card with an address."""
    text = json.dumps(
        {
            "links": {"eth0": {"addresses": ["10.0.0.5/24"]}, "eth1": {}},
            "routes": [{"to": "default", "via": "10.0.0.1", "dev": "eth0", "proto": "static"}],
        }
    )
    if manager == "ifupdown":
        text = "auto eth0\niface eth0 inet static\n  address 10.0.0.5/24\n  gateway 10.0.0.1\n"
    return Network(
        manager=manager,
        files=(_file(manager, text),),
        links=(Link(name="eth0", addresses=("10.0.0.5/24",)), Link(name="eth1")),
        routes=(Route(to="default", via="10.0.0.1", link="eth0"),),
        component="bonding",
    )


def bonded_network(manager: str, before: str = "", mode: str = "active-backup", vlan: bool = False) -> Network:
    """Both cards in a bond, which has the address; perhaps a VLAN on it."""
    options = {**BOND, "mode": mode}
    links: State = {
        "bond0": {"kind": "bond", "options": options, "addresses": ["10.0.0.5/24"]},
        "eth0": {"master": "bond0"},
        "eth1": {"master": "bond0"},
    }
    lines = [
        "auto bond0", "iface bond0 inet static", "  address 10.0.0.5/24", "  gateway 10.0.0.1",
        f"  bond-mode {mode}", "  bond-miimon 100", "  bond-slaves eth0 eth1",
    ]  # fmt: skip
    declared = [
        Link(name="eth0", master="bond0"),
        Link(name="eth1", master="bond0"),
        Link(name="bond0", kind="bond", options=tuple(options.items()), addresses=("10.0.0.5/24",)),
    ]
    if vlan:
        links["bond0.20"] = {"kind": "vlan", "on": "bond0", "id": 20, "addresses": ["10.20.0.5/24"]}
        lines += ["auto bond0.20", "iface bond0.20 inet static", "  address 10.20.0.5/24", "  vlan-raw-device bond0"]
        declared.append(Link(name="bond0.20", kind="vlan", on="bond0", id=20, addresses=("10.20.0.5/24",)))
    routes = [{"to": "default", "via": "10.0.0.1", "dev": "bond0", "proto": "static"}]
    text = "\n".join(lines) + "\n" if manager == "ifupdown" else json.dumps({"links": links, "routes": routes})
    return Network(
        manager=manager,
        before=before,
        files=(_file(manager, text),),
        links=tuple(declared),
        routes=(Route(to="default", via="10.0.0.1", link="bond0"),),
        component="bonding",
    )


def _file(manager: str, text: str) -> File:
    path = {"ifupdown": INTERFACES, "netplan": NETPLAN_FILE}.get(manager, NETWORKD_FILE)
    return File(path=path, content=Text(text), owner=ME, group=MY_GROUP)


def with_network(host: Simulated, network: Network) -> None:
    """Bring a host up with a network."""
    for file in network.files:
        host.write(file.path, file.content.reveal())
    host.put(enabled=["networking.service" if network.manager == "ifupdown" else "systemd-networkd.service"])
    host.boot()
    host.put(asked=[])
