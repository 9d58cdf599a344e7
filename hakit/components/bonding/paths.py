"""Where things are on a host."""

from __future__ import annotations

NETWORKD_FOLDER = "/etc/systemd/network"
INTERFACES = "/etc/network/interfaces"
NETPLAN_FILE = "/etc/netplan/50-hakit.yaml"
RESOLV_CONF = "/etc/resolv.conf"
