"""`hakit init`: a commented starter inventory."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """
\b
Examples:
  hakit init inventories/production
  hakit lint -i inventories/production
"""


@click.command(epilog=EPILOG)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def init(folder: Path) -> None:
    """Write a commented starter inventory that lints clean into DIR.

    DIR is made, or must be empty.
    """
    from hakit.errors import UsageError
    from hakit.inventory.starter import FILES

    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; nothing was written", hint="name a new folder")
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; nothing was written", hint="name a new folder")
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
            click.echo(f"wrote {path}")
    except OSError as error:
        raise UsageError(f"{folder}: can't be written: {error.strerror}") from None
    click.echo(f"Replace the example's names and addresses by yours, then  hakit lint -i {folder}")
