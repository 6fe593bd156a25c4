"""kubespan discovery watch: the members of a cluster as they appear, change and leave.

Reads the options and the configuration, says in one line what is wrong with them, and watches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
import uvloop

from kubespan.cli.affiliate_format import FORMATS, Told, create_format
from kubespan.cli.duration import parse_duration
from kubespan.cli.watching import Watching
from kubespan.config.read import read_config
from kubespan.daemon.announcing import Announcing
from kubespan.discovery.client.authorities import Authorities
from kubespan.linux.syscall import forbid_core_dumps
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import NodeConfig
from kubespan.model.errors import ConfigError

FILE: Final = click.Path(path_type=Path)


@click.command()
@click.option(
    "-c",
    "--config",
    "file",
    envvar="KUBESPAN_CONFIG",
    required=True,
    metavar="FILE",
    help="Machine configuration; default: KUBESPAN_CONFIG.",
)
@click.option("-o", "--output", type=click.Choice(FORMATS), default="table", show_default=True)
@click.option("--once", is_flag=True, help="Print who is there, and end.")
@click.option("--timeout", default="10s", show_default=True, help="How long --once may take.")
@click.option("--ca", type=FILE, metavar="FILE", help="Trust the authorities in this file, PEM.")
@click.option("--announce", is_flag=True, help="Make this host a member while this runs.")
@click.option(
    "--state",
    envvar="KUBESPAN_STATE_DIR",
    metavar="DIR",
    help="Of --announce; default: KUBESPAN_STATE_DIR, or what the configuration says.",
)
def watch(  # noqa: PLR0917  an argument for each option
    file: str,
    output: str,
    once: bool,
    timeout: str,
    ca: Path | None,
    announce: bool,
    state: str | None,
) -> int:
    """Show the members of a cluster as they come and go.

    They are shown as they appear, change and leave, opened with the cluster's secret. This only
    looks on: nothing is registered. A line begins with + for who has come and - for who has gone.
    JSON is one line for each event.

    With --announce this host registers itself, with the identity in its state directory, and
    withdraws when this ends. All members then send what is for this host's addresses through the
    mesh: without a data plane here, they cannot reach it any more.
    """
    config = read_config(file).config
    if state is not None:
        config = replace(config, state_directory=state)
    secret = checked_secret(config, file)
    forbid_core_dumps()
    authorities = Authorities(ca)
    patience = parse_duration(timeout, "--timeout") if once else None
    watching = Watching(
        config,
        secret,
        authorities,
        Announcing(config, secret) if announce else None,
        writer(create_format(output, marks=not once)),
        lambda text: click.echo(f"kubespan: {text}", err=True),
    )
    try:
        return uvloop.run(watching.run(patience))
    except BrokenPipeError:
        # Whoever read this has seen enough. Nothing more goes there, not even at the very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def checked_secret(config: NodeConfig, file: str) -> ClusterSecret:
    """Return the cluster's secret, if there is all that a member needs. Raises ConfigError."""
    if not config.services:
        raise ConfigError(
            f"{file} has no discovery service; add a DiscoveryServiceConfig with an endpoint"
        )
    if not config.cluster_id or config.cluster_secret is None:
        raise ConfigError(
            f"{file} has no cluster id and secret; add a DiscoveryIdentityConfig with those of the"
            " cluster"
        )
    return config.cluster_secret


def writer(form: Callable[[Sequence[Told]], str]) -> Callable[[Sequence[Told]], None]:
    """Return what writes to standard output, at once."""

    def write(told: Sequence[Told]) -> None:
        sys.stdout.write(form(told))
        sys.stdout.flush()

    return write
