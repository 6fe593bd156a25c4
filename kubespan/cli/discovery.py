"""kubespan discovery: the service by which members of a cluster find each other."""

from __future__ import annotations

import click

from kubespan.cli.main import Lazy, LazyGroup

COMMANDS = {
    "ping": Lazy("kubespan.cli.discovery_ping:ping", "Say Hello to a discovery service."),
    "serve": Lazy("kubespan.cli.discovery_serve:serve", "Run a discovery service."),
    "watch": Lazy(
        "kubespan.cli.discovery_watch:watch", "Show the members of a cluster as they come and go."
    ),
}
"""Command by name."""


@click.group(cls=LazyGroup, lazy=COMMANDS)
def discovery() -> None:
    """Serve discovery, and look into it."""
