"""`kubespan ping`: whether a peer answers through the mesh, and which way that went."""

from __future__ import annotations

import time
from typing import Final

import click

from kubespan.api.client import Client
from kubespan.api.refusal import Reason, Refused
from kubespan.cli.failure import Failure

INTERVAL: Final = 1.0
DONE, TIMED_OUT = 0, 5


@click.command()
@click.argument("peer")
@click.option("-n", "count", type=click.IntRange(1), default=3, show_default=True, help="Times.")
@click.option("--timeout", type=click.FloatRange(0, min_open=True), default=5.0, show_default=True)
def ping(peer: str, count: int, timeout: float) -> int:
    """Ask a peer for an echo.

    PEER is its label, key or address in the mesh. The request goes through the mesh, and the answer
    says which way that was.
    """
    client, answered = Client(), 0
    for number in range(count):
        if number:
            time.sleep(INTERVAL)
        try:
            echo = client.ping(peer, timeout)
        except Refused as error:
            if error.reason is not Reason.TIMED_OUT:
                raise Failure(error) from error
            click.echo(str(error))
            continue
        answered += 1
        took, way = echo["rtt"] * 1e3, echo["endpoint"]
        click.echo(f"{peer}: {echo['address']} answered in {took:.1f} ms, by way of {way}")
    return DONE if answered else TIMED_OUT
