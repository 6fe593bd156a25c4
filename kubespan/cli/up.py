"""`kubespan up`: this host becomes a node of the mesh.

Reads the configuration, says in one line what is wrong with it, and runs the node: here, or in the
background from the moment on in which the mesh is steered.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import click
import uvloop

from kubespan.api.client import default_socket
from kubespan.api.resource_server import listen_for_clients
from kubespan.cli.log import create_log, log_level
from kubespan.cli.main import exit_code
from kubespan.config.read import read_config
from kubespan.daemon.announcing import Announcing
from kubespan.daemon.logfile import LogFile
from kubespan.daemon.loglimit import LimitedLog
from kubespan.daemon.process import Places, Start, bridge_log, serve
from kubespan.daemon.reconfiguring import checked
from kubespan.model.config import NodeConfig
from kubespan.model.errors import ConfigError, KubespanError, SystemFault

GROUP_VARIABLE: Final = "KUBESPAN_GROUP"
READY: Final = b"."
STEER_PATIENCE: Final = 45.0
"""Seconds after which whoever called is told that the mesh is not steered: what the system refuses
is tried again after half a minute."""

FAILED: Final = 1


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
@click.option("--detach", is_flag=True, help="Go into the background once the mesh is steered.")
@click.option(
    "--state",
    envvar="KUBESPAN_STATE_DIR",
    metavar="DIR",
    help="Default: KUBESPAN_STATE_DIR, or what the configuration says.",
)
@click.option(
    "--group", envvar=GROUP_VARIABLE, default="", help="Whose members may ask the node, too."
)
def up(file: str, detach: bool, state: str | None, group: str) -> None:
    """Become a node of the mesh.

    Finds the members through discovery, keeps a WireGuard tunnel to each, and steers what is for
    them into it. `kubespan down`, SIGTERM or Ctrl-C end it and leave nothing behind. It is ready
    once nothing for members can go out in clear; with --detach it ends if that cannot be had.

    KUBESPAN_LOG says how much is logged: debug, info, warning or error. In the background that goes
    into a file beside the socket, /run/kubespan/kubespan.log, and the older one kubespan.log.1, of
    8 MiB at most each. KUBESPAN_METRICS_ADDR is where metrics are served, in place of what the
    configuration says.
    """
    loaded = read_config(file)
    for ignored in loaded.ignored:
        click.echo(f"kubespan: ignored: line {ignored.place.line}: {ignored.path}", err=True)
    places = Places(Path(default_socket()), group)
    run = partial(_run, loaded.config, _with_environment(loaded.config, state), places)
    if detach:
        _detach(run)
    else:
        run(None)


def _with_environment(config: NodeConfig, state: str | None) -> NodeConfig:
    metrics = os.environ.get("KUBESPAN_METRICS_ADDR") or config.metrics_address
    return replace(config, state_directory=state or config.state_directory, metrics_address=metrics)


def _run(written: NodeConfig, config: NodeConfig, places: Places, waiting: int | None) -> None:
    """Be a node; `waiting` is the pipe of whoever waits until it is one in the background."""
    level = log_level(os.environ)
    limited = LimitedLog(create_log(level), level)
    bridge_log(limited.log, level)
    try:
        listener = listen_for_clients(places.socket, places.group)
    except SystemFault as fault:
        raise ConfigError(
            f"{fault}; `kubespan down` ends a node that runs here, and KUBESPAN_SOCKET names"
            " another place"
        ) from fault
    try:
        # Not before: a node that runs here already is writing it.
        ready = _ready(waiting, places.log)
        # Before there is an event loop: it asks the kernel, which blocks.
        patience = None if waiting is None else STEER_PATIENCE
        start = Start(config, written, Announcing(config, checked(config)), places, patience)
        uvloop.run(serve(start, listener, limited, ready))
    finally:
        listener.close()


def _ready(waiting: int | None, log: Path) -> Callable[[], object]:
    """Return what is to be done once the mesh is steered. Raises KubespanError."""
    return (lambda: None) if waiting is None else partial(_tell_ready, waiting, LogFile(log))


def _detach(run: Callable[[int], None]) -> None:
    """Run in a process of its own; return when that is ready, or exit as it does if it ends first.

    There is no thread yet, so a fork copies everything there is.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with open(reading, "rb", closefd=True) as told:  # noqa: PTH123  a pipe is no path
            if told.read(1) != READY:
                # It has said why, and its exit code is what it would be in front.
                _, status = os.waitpid(child, 0)
                raise click.exceptions.Exit(os.waitstatus_to_exitcode(status) or FAILED)
        return
    os.close(reading)
    os.setsid()
    code = 0
    try:
        run(writing)
    except KubespanError as error:
        click.echo(f"kubespan: {error}", err=True)
        code = exit_code(error)
    finally:
        sys.stderr.flush()
    # Whatever click would do at the end is the other process's to do.
    os._exit(code)


def _tell_ready(waiting: int, log: LogFile) -> None:
    """Let the one that was called return; from now on what is said is in the log."""
    log.take_over()
    log.keep_small()
    os.write(waiting, READY)
    os.close(waiting)
