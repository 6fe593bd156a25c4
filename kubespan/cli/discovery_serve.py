"""kubespan discovery serve: a discovery service for any number of clusters, until it is stopped.

Reads the options, says in one line what is wrong with them, and runs the service.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from pathlib import Path
from typing import Final

import click
import uvloop
from structlog.typing import FilteringBoundLogger

from kubespan.cli.duration import parse_duration
from kubespan.cli.log import create_log, log_level
from kubespan.discovery.server.caller import Trust
from kubespan.discovery.server.listening import Listening
from kubespan.discovery.server.service import Service, Settings
from kubespan.linux.systemd import notify
from kubespan.model.errors import ConfigError

LEAVE_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
SHORTEST_INTERVAL: Final = 1.0

ADDRESS: Final = "ADDR:PORT"
FILE: Final = click.Path(path_type=Path)


@click.command()
@click.option("--listen", default=":3000", show_default=True, metavar=ADDRESS, help="Serve here.")
@click.option("--insecure", is_flag=True, help="Serve plaintext; a proxy may do TLS.")
@click.option("--tls-cert", type=FILE, metavar="FILE", help="Certificate chain, PEM; reread live.")
@click.option("--tls-key", type=FILE, metavar="FILE", help="Its private key, PEM; reread live.")
@click.option("--state", type=FILE, metavar="DIR", help="Keep the state here; default: nowhere.")
@click.option("--metrics", metavar=ADDRESS, help="Serve /metrics, /healthz and /readyz here.")
@click.option("--gc-interval", default="60s", show_default=True, help="How often to collect.")
@click.option("--redirect", default="", metavar="HOST:PORT", help="Send every client there.")
@click.option("--trust-x-real-ip", is_flag=True, help="Believe this header of a proxy.")
@click.option("--trust-x-forwarded-for", is_flag=True, help="Believe this header of a proxy.")
@click.option("--inspect", is_flag=True, help="Serve /inspect beside /metrics.")
def serve(  # noqa: PLR0913, PLR0917  an argument for each option
    listen: str,
    insecure: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    state: Path | None,
    metrics: str | None,
    gc_interval: str,
    redirect: str,
    trust_x_real_ip: bool,
    trust_x_forwarded_for: bool,
    inspect: bool,
) -> None:
    """Run a discovery service that Talos nodes can use, until SIGTERM or SIGINT.

    KUBESPAN_LOG says how much is logged: debug (each call), info, warning or error.
    """
    if inspect and metrics is None:
        raise ConfigError("--inspect has no address to be on; write --metrics 127.0.0.1:2122 too")
    settings = Settings(
        listening=Listening.parse(listen, "--listen"),
        certificate=certificate(insecure, tls_cert, tls_key),
        state=state,
        metrics=None if metrics is None else Listening.parse(metrics, "--metrics"),
        gc_interval=interval(gc_interval),
        redirect=target(redirect),
        trust=Trust(trust_x_real_ip, trust_x_forwarded_for),
        is_inspectable=inspect,
    )
    log = create_log(log_level(os.environ))
    raise_descriptor_limit()
    uvloop.run(_serve(settings, log))


def certificate(insecure: bool, cert: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Return the files of the certificate and its key, None for plaintext. Raises ConfigError."""
    match insecure, cert, key:
        case True, None, None:
            return None
        case False, Path(), Path():
            return cert, key
        case True, _, _:
            raise ConfigError("--insecure is plaintext; leave it out, or --tls-cert and --tls-key")
        case False, Path(), None:
            raise ConfigError("--tls-cert needs its key; write --tls-key FILE too")
        case False, None, Path():
            raise ConfigError("--tls-key needs its certificate; write --tls-cert FILE too")
    raise ConfigError("write --tls-cert FILE and --tls-key FILE, or --insecure for plaintext")


def interval(text: str) -> float:
    """Return the seconds between two collections. Raises ConfigError."""
    seconds = parse_duration(text, "--gc-interval")
    if seconds < SHORTEST_INTERVAL:
        raise ConfigError(f"--gc-interval {text!r} is too short; write 1s or more")
    return seconds


def target(text: str) -> str:
    """Return where to send clients, nothing for nowhere. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    is_port = port.isascii() and port.isdecimal() and 0 < int(port) < 65536
    if text and (not is_port or not host or "/" in host):
        raise ConfigError(
            f"--redirect {text!r} is not a server; write discovery.example:443, without a scheme"
        )
    return text


def raise_descriptor_limit() -> None:
    """Let this process have as many connections as the system allows it, beyond the usual 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(settings: Settings, log: FilteringBoundLogger) -> None:
    asked_to_leave = _leave_when_asked()
    service = Service(settings, log)
    await service.start()
    try:
        notify("READY=1")
        await asked_to_leave.wait()
        notify("STOPPING=1")
        log.info("stopping")
    finally:
        await service.stop()
    log.info("stopped")


def _leave_when_asked() -> asyncio.Event:
    """Return what is set by a signal to leave. A second one changes nothing: some send two."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in LEAVE_SIGNALS:
        loop.add_signal_handler(number, asked.set)
    return asked
