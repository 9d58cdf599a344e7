"""Where a change of the network keeps its things on a host, and what its units are called."""

from __future__ import annotations

LIBRARY = "/usr/local/lib/hakit-network"
FOLDER = "/var/lib/hakit/network"
"""Root only: `armed.json` while a change is not settled, `old/` and `new/` versions, `outcome.json`, `log`."""
COMMAND = ("/usr/bin/python3", "-I", "-S", "-E", "-B", LIBRARY)
"""How a program of the library is started: `restore`, `boot` or `change`, and the state folder follow."""
UNITS = "/etc/systemd/system"
RETURN = "hakit-network-return"  # .timer and .service
CHANGE = "hakit-network-change.service"
BOOT = "hakit-network-boot.service"
BOOT_LINK = f"{UNITS}/sysinit.target.wants/{BOOT}"
INTERFACES = "/etc/network/interfaces"
IFSTATE = "/run/network/ifstate"
FOLDERS = {
    "systemd-networkd": ("/etc/systemd/network", (".network", ".netdev")),
    "netplan": ("/etc/netplan", (".yaml",)),
}
"""Where a manager's configuration is, by the ends of its files' names; ifupdown has INTERFACES."""
STALE = "10-hakit-"
"""How hakit's own files of systemd-networkd begin: a .link of that name that is not declared goes as well."""
