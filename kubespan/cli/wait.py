"""`kubespan wait`: come back when enough peers are up; what scripts put before they go on."""

from __future__ import annotations

import click

from kubespan.api.client import Client
from kubespan.cli.failure import asking


@click.command()
@click.option("--peers", type=click.IntRange(0), default=1, show_default=True, metavar="N")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS")
def wait(*, peers: int, timeout: float | None) -> None:
    """Wait until N peers are up; exit 5 if they are not in time."""
    with asking():
        up = Client().wait(peers, timeout)
    click.echo(f"{up} {'peer is' if up == 1 else 'peers are'} up")
