"""kubespan discovery: the service by which members of a cluster find each other."""

from __future__ import annotations

import click

from kubespan.cli.main import LazyGroup

COMMANDS = {
    "ping": "kubespan.cli.discovery_ping:ping",
    "serve": "kubespan.cli.discovery_serve:serve",
    "watch": "kubespan.cli.discovery_watch:watch",
}
"""Command by name: `module:attribute`, imported when it is asked for."""


@click.group(cls=LazyGroup, lazy=COMMANDS)
def discovery() -> None:
    """Run a discovery service, or look into one."""
