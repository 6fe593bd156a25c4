"""`kubespan down`: the node of this host leaves the mesh."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

import click

from kubespan.api.client import Client, default_socket
from kubespan.api.refusal import Reason, Refused
from kubespan.cli.failure import Failure, asking
from kubespan.cli.log import create_log, log_level
from kubespan.linux.apply import remove_leftovers

PATIENCE: Final = 15.0
"""Seconds that a node has to take everything back."""

LOOK_AGAIN_AFTER: Final = 0.05
LEAVE_FAILED: Final = 1


@click.command()
def down() -> int:
    """Leave the mesh.

    The node withdraws its affiliate, so that others know at once, and takes back its link, routes,
    rules and tables. Where no node runs, what one left behind that was killed is taken back, and
    the exit code is 3.
    """
    try:
        Client().stop()
    except Refused as error:
        if error.reason is Reason.NOT_RUNNING:
            _clear_away()
        raise Failure(error) from error
    with asking():
        return _wait_for_end()


def _wait_for_end() -> int:
    path = Path(default_socket())
    give_up_at = time.monotonic() + PATIENCE
    while path.exists():
        if time.monotonic() > give_up_at:
            click.echo(f"kubespan: the node has not ended after {PATIENCE:g} s", err=True)
            return LEAVE_FAILED
        time.sleep(LOOK_AGAIN_AFTER)
    return 0


def _clear_away() -> None:
    """Take back what a killed node could not."""
    report = asyncio.run(remove_leftovers(create_log(log_level(os.environ))))
    for done in report.done:
        click.echo(f"kubespan: {done}", err=True)
    for failure in report.failures:
        click.echo(f"kubespan: {failure}", err=True)
