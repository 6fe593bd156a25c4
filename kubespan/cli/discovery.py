"""kubespan discovery: the service by which members of a cluster find each other."""

from __future__ import annotations

import click

from kubespan.cli.main import Lazy, LazyGroup

COMMANDS = {
    "serve": Lazy("kubespan.cli.discovery_serve:serve", "Run a discovery service."),
}
"""Command by name."""


@click.group(cls=LazyGroup, lazy=COMMANDS)
def discovery() -> None:
    """Serve discovery, and look into it."""
