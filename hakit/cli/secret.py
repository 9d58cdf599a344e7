"""`hakit secret`: make, fill and read the encrypted store beside an inventory."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from hakit.cli import options
from hakit.cli.rotate import rotate
from hakit.cli.stores import asked_value, checked_name, generated, opened, root_of

if TYPE_CHECKING:
    from pathlib import Path

EPILOG = """
\b
Examples:
  hakit secret init -i inventories/lab
  hakit secret set pg_replication
  pass show db/replication | hakit secret set pg_replication
  hakit secret set stats_password --generate 24

In the inventory a secret is written {secret: NAME}. The variable HAKIT_SECRET_NAME in the environment comes first.
"""


@click.group(epilog=EPILOG)
def secret() -> None:
    """Keep secrets in an encrypted store beside the inventory.

    The store secrets.age is encrypted by age for everybody in secrets.recipients.txt; both can be committed.
    """


@secret.command(
    "init",
    epilog="""
    \b
    Examples:
      hakit secret init -i inventories/site
    """,
)
@options.inventory
def init_store(inventory: Path) -> None:
    """Make an identity, if you have none, and an empty store that you can read."""
    from hakit.inventory.store import Store, make_identity, public_key, used_identity

    store = Store(root_of(inventory))
    identity = used_identity()
    with store.locked():
        if identity.exists():
            key = public_key(identity)
            click.echo(f"Your identity is {identity}.")
        else:
            key = make_identity(identity)
            click.echo(f"Made your identity {identity}. Keep a copy in a safe place: without it the secrets are lost.")
        click.echo(f"Your public key is {key}")
        if store.exists():
            click.echo(f"{store.path} is there already; nothing changed.")
            return
        if key not in store.recipients():
            store.add_recipient(key, _whoami())
        store.save({})
    click.echo(f"Made {store.path} and {store.recipients_path}; commit both.")
    click.echo(f"Fill it with  hakit secret set NAME -i {inventory}")


def _whoami() -> str:
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "somebody"
    return "".join(char for char in f"{user}@{socket.gethostname()}" if char.isprintable())


@secret.command(
    "set",
    epilog="""
    \b
    Examples:
      hakit secret set -i inventories/site pg_replication
      pass show db/replication | hakit secret set -i inventories/site pg_replication
      hakit secret set -i inventories/site stats_password --generate 24
    """,
)
@click.argument("name")
@options.inventory
@click.option(
    "--generate", metavar="LENGTH", type=click.IntRange(8, 512), help="Make up a value of letters and digits."
)
def set_secret(name: str, inventory: Path, generate: int | None) -> None:
    """Set a secret: asked for without echo, or read from standard input, never from the command line."""
    store = opened(inventory)
    checked_name(name)
    value = generated(generate) if generate else asked_value(name)
    with store.locked():
        secrets = store.load()
        known = name in secrets
        store.save(secrets | {name: value})
    click.echo(f"{'Replaced' if known else 'Set'} {name} in {store.path}; in the inventory write  {{secret: {name}}}")


@secret.command(
    "remove",
    epilog="""
    \b
    Examples:
      hakit secret remove -i inventories/site pg_replication
    """,
)
@click.argument("name")
@options.inventory
def remove_secret(name: str, inventory: Path) -> None:
    """Take a secret out of the store."""
    from hakit.errors import UsageError

    store = opened(inventory)
    with store.locked():
        secrets = store.load()
        if name not in secrets:
            raise UsageError(f"{store.path} holds no {name}", hint="hakit secret list  shows the names")
        del secrets[name]
        store.save(secrets)
    click.echo(f"Removed {name} from {store.path}.")


@secret.command(
    "edit",
    epilog="""
    \b
    Examples:
      hakit secret edit -i inventories/site
      EDITOR=nano hakit secret edit -i inventories/site
    """,
)
@options.inventory
def edit_secrets(inventory: Path) -> None:
    """Edit all secrets as YAML in $VISUAL or $EDITOR; the plain text stays in memory and is removed."""
    from hakit.cli.edit import edited
    from hakit.errors import SecretError
    from hakit.inventory.store import format_secrets, parse_secrets

    store = opened(inventory)
    with store.locked():
        before = store.load()
        with edited(format_secrets(before)) as session:
            while True:
                text = session.run()
                try:
                    after = parse_secrets(text, "secrets.yml")
                except SecretError as error:
                    click.echo(f"error: {error.text()}", err=True)
                    if sys.stdin.isatty() and click.confirm("Edit again?", default=True):
                        continue
                    raise SecretError("the edited secrets can't be used; nothing changed") from None
                break
        if after == before:
            click.echo("Nothing changed.")
            return
        store.save(after)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            sign = "+" if name not in before else "−" if name not in after else "~"
            click.echo(f"{sign} {name}")
    click.echo(f"Saved {store.path}.")


@secret.command(
    "list",
    epilog="""
    \b
    Examples:
      hakit secret list -i inventories/site
      hakit secret list -i inventories/site --json
    """,
)
@options.inventory
@options.as_json
def list_secrets(inventory: Path, as_json: bool) -> None:
    """List the names of the secrets and where the inventory uses them; values are never shown."""
    from hakit.errors import InventoryError

    store = opened(inventory)
    names = dict.fromkeys(sorted(store.load()))
    uses: dict[str, list[str]] = {name: [] for name in names}
    try:
        site, _ = options.load(inventory, need_secrets=False, whole=False)
    except InventoryError as error:
        click.echo(f"warning: the inventory has errors, so uses are not known: {error.problems[0].text()}", err=True)
    else:
        for use in site.uses:
            uses.setdefault(use.name, []).append(str(use.mark))
    if as_json:
        click.echo(
            json.dumps({name: {"set": name in names, "uses": places} for name, places in uses.items()}, indent=2)
        )
        return
    width = max(map(len, uses), default=0)
    for name, places in uses.items():
        state = ", ".join(places) or "not used"
        click.echo(f"{name.ljust(width)}  {state}" + ("" if name in names else "  (not in the store)"))
    if not uses:
        click.echo(f"{store.path} is empty; fill it with  hakit secret set NAME -i {inventory}")


@secret.group(
    "recipient",
    epilog="""
    \b
    Examples:
      hakit secret recipient list -i inventories/site
      hakit secret recipient add -i inventories/site age1…
    """,
)
def recipient() -> None:
    """Say who can read the store."""


@recipient.command(
    "list",
    epilog="""
    \b
    Examples:
      hakit secret recipient list -i inventories/site
    """,
)
@options.inventory
def list_recipients(inventory: Path) -> None:
    """List the public keys that can read the store."""
    for key in opened(inventory).recipients():
        click.echo(key)


@recipient.command(
    "add",
    epilog="""
    \b
    Examples:
      hakit secret recipient add -i inventories/site age1…
      hakit secret recipient add -i inventories/site "$(cat ~/.ssh/id_ed25519.pub)"
    """,
)
@click.argument("key")
@options.inventory
def add_recipient(key: str, inventory: Path) -> None:
    """Let the owner of a public key (age1… or ssh-ed25519 …) read the store."""
    store = opened(inventory)
    key = " ".join(key.split()[:2])
    with store.locked():
        secrets = store.load()
        if key in store.recipients():
            click.echo(f"{key} is a recipient already.")
            return
        store.add_recipient(key, f"added by {_whoami()}")
        store.save(secrets)
    click.echo(f"Encrypted {store.path} for {len(store.recipients())} recipients.")


@recipient.command(
    "remove",
    epilog="""
    \b
    Examples:
      hakit secret recipient remove -i inventories/site age1…
    """,
)
@click.argument("key")
@options.inventory
def remove_recipient(key: str, inventory: Path) -> None:
    """Encrypt the store without a public key."""
    from hakit.errors import UsageError

    store = opened(inventory)
    key = " ".join(key.split()[:2])
    with store.locked():
        secrets = store.load()
        if store.recipients() == [key]:
            raise UsageError("this is the last recipient; nobody could read the store")
        store.remove_recipient(key)
        store.save(secrets)
    click.echo(f"Encrypted {store.path} for {len(store.recipients())} recipients.")
    click.echo("Its owner has seen the secrets, and can read older versions: set new values where that matters.")


secret.add_command(rotate)
