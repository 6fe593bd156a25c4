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
from kubespan.daemon.loglimit import LimitedLog
from kubespan.daemon.process import Places, Start, bridge_log, serve
from kubespan.daemon.reconfiguring import checked
from kubespan.model.config import NodeConfig
from kubespan.model.errors import ConfigError, KubespanError, SystemFault

GROUP_VARIABLE: Final = "KUBESPAN_GROUP"
READY: Final = b"."
LOG_MODE: Final = 0o600
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
    them into it. `kubespan down`, SIGTERM or Ctrl-C end it and leave nothing behind.

    KUBESPAN_LOG says how much is logged: debug, info, warning or error; in the background that goes
    into a file beside the socket. KUBESPAN_METRICS_ADDR is
    where metrics are served, in place of what the configuration says.
    """
    loaded = read_config(file)
    for ignored in loaded.ignored:
        click.echo(f"kubespan: ignored: {ignored}", err=True)
    places = Places(Path(default_socket()), group)
    run = partial(_run, loaded.config, _with_environment(loaded.config, state), places)
    if detach:
        _detach(run, places.log)
    else:
        run(lambda: None)


def _with_environment(config: NodeConfig, state: str | None) -> NodeConfig:
    metrics = os.environ.get("KUBESPAN_METRICS_ADDR") or config.metrics_address
    return replace(config, state_directory=state or config.state_directory, metrics_address=metrics)


def _run(
    written: NodeConfig, config: NodeConfig, places: Places, ready: Callable[[], object]
) -> None:
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
        # Before there is an event loop: it asks the kernel, which blocks.
        start = Start(config, written, Announcing(config, checked(config)), places)
        uvloop.run(serve(start, listener, limited, ready))
    finally:
        listener.close()


def _detach(run: Callable[[Callable[[], object]], None], log: Path) -> None:
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
        run(partial(_tell_ready, writing, log))
    except KubespanError as error:
        click.echo(f"kubespan: {error}", err=True)
        code = exit_code(error)
    finally:
        sys.stderr.flush()
    # Whatever click would do at the end is the other process's to do.
    os._exit(code)


def _tell_ready(writing: int, log: Path) -> None:
    """Let the one that was called return; from now on what is said is in the log."""
    said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, LOG_MODE)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for stream, place in ((0, null), (1, said), (2, said)):
        os.dup2(place, stream)
    os.close(null)
    os.close(said)
    os.write(writing, READY)
    os.close(writing)
