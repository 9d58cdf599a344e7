"""Labs for the tests of this folder."""

from __future__ import annotations

from hakit.lab.plan import Disk, HostPlan, LabPlan, Nic

ONE = HostPlan(
    "one",
    "10.79.0.11",
    "root",
    22,
    (Nic("eth0", "10.79.0.11/24"), Nic("eth1", "10.80.0.11/24"), Nic("eth2", None, "52:54:00:00:00:02")),
    12,
    512,
    (Disk("data", 2048, "data"), Disk("spare", 64, "WD-0002")),
)
TWO = HostPlan("two", "10.79.0.12", "admin", 22, (Nic("eth0", "10.79.0.12/24"),), 13)
PLAN = LabPlan("/site/hosts.yml", "10.79.0.0/24", "10.79.0.1/24", "vagrant", (), (ONE, TWO))
INVENTORY = """
all:
  vars:
    hakit:
      lab: {driver: vagrant, network: 10.79.0.0/24}
  hosts:
    one:
      ansible_host: 10.79.0.11
      hakit:
        nics: {eth1: 10.80.0.11/24, eth2: null}
        hardware:
          memory: 512MiB
          disks: {data: {size: 2GiB}, spare: {size: 64MiB, serial: WD-0002}}
          macs: {eth2: "52:54:00:00:00:02"}
    two: {ansible_host: 10.79.0.12, ansible_user: admin, hakit: {release: 13}}
"""
