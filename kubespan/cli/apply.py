"""`kubespan apply`: another configuration for the running node, sessions kept."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kubespan.api.client import Client
from kubespan.cli.failure import asking
from kubespan.model.errors import SystemFault


@click.command()
@click.option("-f", "--file", required=True, metavar="FILE", help="Machine configuration, or -.")
@click.option("--dry-run", is_flag=True, help="Only say what it would change.")
def apply(file: str, dry_run: bool) -> None:
    """Change the running node's configuration at once."""
    text = _read(file)
    with asking():
        outcome = Client().apply(text, dry_run=dry_run)
    changed = ", ".join(name.replace("_", " ") for name in outcome["changed"])
    if not changed:
        click.echo("nothing changes")
    elif dry_run:
        click.echo(f"would change: {changed}")
    else:
        click.echo(f"changed: {changed}")


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise SystemFault(f"read {file}", error.errno or 0) from error
