"""`kubespan wait`: come back when enough peers are up; what scripts put before they go on."""

from __future__ import annotations

import click

from kubespan.api.client import Client
from kubespan.cli.duration import parse_duration
from kubespan.cli.failure import asking


@click.command()
@click.option("--peers", type=click.IntRange(0), default=1, show_default=True, metavar="N")
@click.option("--timeout", metavar="DURATION", help="Such as 30s or 1m; for ever without.")
def wait(*, peers: int, timeout: str | None) -> None:
    """Wait until peers are up.

    Exits with 5 if fewer than N are when the time is over.
    """
    patience = None if timeout is None else parse_duration(timeout, "--timeout")
    with asking():
        up = Client().wait(peers, patience)
    click.echo(f"{up} {'peer is' if up == 1 else 'peers are'} up")
