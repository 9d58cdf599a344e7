# What to do in a checkout. Nothing here needs more than git, make and Python 3.11; each step says what it installs.
SHELL := /bin/sh
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
BIN := .venv/bin
LAB := inventories/lab
WORKERS := 2
# Tests on the lab's hosts wait most of their time: one takes a third of a processor.
LAB_WORKERS := 3
VMS := tests/lab/qemu tests/lab/raid
# haproxy, keepalived, mdadm, systemd-networkd, ifupdown and netplan judge rendered configurations, PostgreSQL what hakit
# does with a server, sshd is what the SSH tests talk to on loopback; sgdisk, cryptsetup and mkfs make disks that bear
# something.
JUDGES := bridge-utils btrfs-progs cryptsetup-bin e2fsprogs gdisk haproxy ifenslave ifupdown iproute2 keepalived mdadm \
	netplan.io openssh-client openssh-server postgresql systemd xfsprogs
# Vagrant judges the Vagrantfile, for libvirt and, with a stand-in for VirtualBox itself, for that too.
JUDGES += vagrant vagrant-libvirt
# pgbench, which writes while the demo moves a database's primary and pulls its power.
BENCH := postgresql

.DEFAULT_GOAL := help
.PHONY: help venv packages machines judges bench demo lab-up lab-down lint matrix unit lab-tests timed-tests vm-tests test test-long test-vagrant

help: ## Show this
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

venv: .venv/.installed ## Make .venv with hakit and its Python packages

.venv/.installed: pyproject.toml scripts/venv
	@scripts/venv
	@touch $@

packages: .venv/.installed
	@SUDO="$(SUDO)" scripts/debian-packages $$($(BIN)/python -m hakit.lab.requirements nspawn)

machines: packages
	@SUDO="$(SUDO)" scripts/debian-packages $$($(BIN)/python -m hakit.lab.requirements qemu)

demo: packages bench ## Set up the lab, apply, verify, pull the plug, watch it stay up; the lab stays for you
	@$(BIN)/python -m scripts.demo

lab-up: packages ## Make the lab's hosts and power them on
	@$(BIN)/hakit lab up -i $(LAB)

lab-down: .venv/.installed ## Remove the lab
	@$(BIN)/hakit lab down -i $(LAB)

lint: .venv/.installed ## Check style, types, import contracts and the syntax of what runs on hosts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vermin --no-tips --violations -t=3.9- --exclude-regex '(answers|client|starting|bootstrap|sudo)\.py$$' hakit/agent
	for script in .ci/run scripts/venv scripts/debian-packages hakit/lab/nspawn/host.sh hakit/lab/qemu/*.sh hakit/lab/vagrant/*.sh; do sh -n $$script || exit 1; done

judges: .venv/.installed
	@SUDO="$(SUDO)" scripts/debian-packages $(JUDGES)

bench: .venv/.installed
	@SUDO="$(SUDO)" scripts/debian-packages $(BENCH)

matrix: .venv/.installed ## Write the fault matrix into docs/safety.md
	@$(BIN)/python scripts/fault_matrix.py

unit: judges ## Run the tests that need no host
	$(BIN)/pytest tests/unit -m 'not long' -n $(WORKERS) --dist worksteal

lab-tests: machines ## Run the tests on the lab's hosts
	$(BIN)/pytest tests/lab $(addprefix --ignore ,$(VMS)) -m 'not long and not timed and not vagrant' -n $(LAB_WORKERS) --dist loadfile \
		--no-loadscope-reorder --durations=15
	@echo "Now what measures gaps in a service, and beside it what needs virtual machines; each tells when it is done."
	@$(MAKE) --no-print-directory -j2 --output-sync=target timed-tests vm-tests

# What measures gaps in a service leaves the processors idle most of the time, and virtual machines give way to it.
timed-tests: machines
	$(BIN)/pytest tests/lab $(addprefix --ignore ,$(VMS)) -m 'not long and timed' --durations=15

vm-tests: machines
	$(BIN)/pytest $(VMS) -m 'not long' --durations=15

test: ## Run all tests but the long ones
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory lab-tests

test-vagrant: packages ## Have Vagrant make a lab of two virtual machines: apply, verify, pull the plug, remove it
	@SUDO="$(SUDO)" scripts/debian-packages $$($(BIN)/python -m hakit.lab.requirements vagrant)
	$(BIN)/pytest tests/lab/vagrant -m vagrant -rP --durations=0

test-long: machines judges ## Run the exhaustive matrices
	$(BIN)/pytest tests -m long
