"""testinfra tests of what `system` declares, run by `hakit verify`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hakit.components.system.resources import content, file_mode
from hakit.components.templates import Templates

if TYPE_CHECKING:
    from testinfra.host import Host as Remote

    from hakit.components.system.settings import SystemSettings
    from hakit.inventory.model import Host, Site

RUNNING = ("active", "reloading")
STARTS_AT_BOOT = ("enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "transient")
"""What `systemctl is-enabled` says of units that are enabled, or have nothing that could be (systemctl(1))."""


def test_packages_are_installed(host: Remote, settings: SystemSettings) -> None:
    """Every package is installed."""
    missing = [name for name in settings.packages if not host.package(name).is_installed]
    assert not missing, f"not installed: {', '.join(missing)}"


def test_kernel_parameters_hold(host: Remote, settings: SystemSettings) -> None:
    """Every kernel parameter has its value now."""
    wrong = []
    for name, value in settings.sysctl.items():
        actual = host.check_output("sysctl -n -- %s", name).split()
        if actual != str(value).split():
            wrong.append(f"{name} is {' '.join(actual)}, not {value}")
    assert not wrong, "; ".join(wrong)


def test_accounts_exist(host: Remote, settings: SystemSettings) -> None:
    """Users and groups exist and are what is declared."""
    wrong = [f"no group {name}" for name in settings.groups if not host.group(name).exists]
    for name, user in settings.users.items():
        actual = host.user(name)
        if not actual.exists:
            wrong.append(f"no user {name}")
            continue
        wrong += [f"{name} is not in {group}" for group in user.groups if group not in actual.groups]
        wrong += [
            f"{name}: {what} is {got}, not {wanted}"
            for what, got, wanted in (
                ("uid", actual.uid, user.uid),
                ("home", actual.home, user.home),
                ("shell", actual.shell, user.shell),
            )
            if wanted is not None and got != wanted
        ]
    assert not wrong, "; ".join(wrong)


def test_files_are_as_declared(host: Remote, hakit_site: Site, hakit_host: Host, settings: SystemSettings) -> None:
    """Every file has its content, owner and mode."""
    templates = Templates(hakit_site)
    wrong = []
    for path, file in settings.files.items():
        text = content(templates, hakit_host, file)
        actual = host.file(path)
        if not actual.is_file:
            wrong.append(f"no file {path}")
        elif actual.sha256sum != hashlib.sha256(text.reveal().encode()).hexdigest():
            wrong.append(f"{path} has another content")
        elif (actual.user, actual.group, actual.mode) != (file.owner, file.group, file_mode(file, text)):
            wrong.append(f"{path} is {actual.user}:{actual.group} {actual.mode:04o}")
    assert not wrong, "; ".join(wrong)


def test_folders_and_links_are_as_declared(host: Remote, settings: SystemSettings) -> None:
    """Every directory and symbolic link is there."""
    wrong = [f"no directory {path}" for path in settings.directories if not host.file(path).is_directory]
    for path, target in settings.symlinks.items():
        link = host.file(path)
        if not link.is_symlink or link.linked_to != target:
            wrong.append(f"{path} is no link to {target}")
    assert not wrong, "; ".join(wrong)


def test_units_are_as_declared(host: Remote, settings: SystemSettings) -> None:
    """Every unit runs, and starts with the host, or does not, as declared."""
    wrong = []
    for name, unit in settings.units.items():
        running = host.run("systemctl is-active -- %s", name).stdout.strip() in RUNNING
        enabled = host.run("systemctl is-enabled -- %s", name).stdout.strip()
        if unit.running is not None and running != unit.running:
            wrong.append(f"{name} {'does not run' if unit.running else 'runs'}")
        if unit.enabled is True and enabled not in STARTS_AT_BOOT:
            wrong.append(f"{name} does not start with the host: it is {enabled or 'not there'}")
        if unit.enabled is False and enabled in ("enabled", "enabled-runtime"):
            wrong.append(f"{name} starts with the host")
    assert not wrong, "; ".join(wrong)
