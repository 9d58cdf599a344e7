"""The starter inventory that `hakit init` writes: small, commented, and clean under lint."""

from __future__ import annotations

from typing import Final

HOSTS: Final = """\
# The hosts of this site, their groups, and what the site promises.
#
# This is an Ansible YAML inventory: `ansible-inventory -i . --list` reads it too. Everything that is hakit's stands
# under the one variable `hakit`. There, mappings are merged: `all` first, then groups, the host last.
# Variables of a group can stand here, or in group_vars/<group>.yml, those of a host in host_vars/<host>.yml.
#
# Look at it with  hakit inventory -i .        check it with   hakit lint -i .
# Review files with  hakit render -i . -o OUT  see changes with  hakit plan -i .
all:
  vars:
    # ansible_user: admin                  # who logs in by SSH; by default what your ~/.ssh/config says
    hakit:
      services:                            # promises; lint holds the design to them
        web: {address: 192.0.2.100, survives: any-host, rto: 3s}
      system:
        hosts_file: true                   # /etc/hosts on every host names all hosts
  children:
    balancers:                             # what they do stands in group_vars/balancers.yml
      hosts:
        lb1: {ansible_host: 192.0.2.11, hakit: {zone: a}}   # a zone is what fails as one: a rack, a room, a power feed
        lb2: {ansible_host: 192.0.2.12, hakit: {zone: b}}
    web:                                   # group_vars/web.yml
      hosts:
        web1: {ansible_host: 192.0.2.21, hakit: {zone: a}}
        web2: {ansible_host: 192.0.2.22, hakit: {zone: b}}
        # web[03:20]: {}                   # ranges work; such hosts are reached by their names
"""

BALANCERS: Final = """\
# Two balancers hold one address between them; the one that serves has it.
hakit:
  keepalived:
    instances:
      web:
        interface: eth0                    # the NIC that carries the address
        virtual_router_id: 51              # 1 to 255; its own on each network
        addresses: [192.0.2.100/24]
        prefer: lb1                        # has the address while it is well
        track: [haproxy]                   # gives the address up when HAProxy does not serve
        # auth: {secret: vrrp}             # a secret by its name; set it with  hakit secret set vrrp  (VRRPv2 only)
  haproxy:
    frontends:
      web: {bind: ["192.0.2.100:80"], backend: web}
    backends:
      web:
        group: web                         # a server for each host of the group `web`
        port: 80
        check: {http: /}                   # the path that a server must answer with 200
"""

WEB: Final = """\
# No component knows your application: `system` installs packages, writes files and runs units.
hakit:
  system:
    packages: [nginx]
    units:
      nginx.service: {enabled: true, running: true}
"""

IGNORE: Final = """\
# records of runs, and what was read of the hosts; not the host keys that `hakit trust` pins, which all should share
.hakit/*
!.hakit/known_hosts
# private keys never belong here
*.key
"""

FILES: Final = {
    "hosts.yml": HOSTS,
    "group_vars/balancers.yml": BALANCERS,
    "group_vars/web.yml": WEB,
    ".gitignore": IGNORE,
}
"""Path below the folder → text."""
