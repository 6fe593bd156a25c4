"""kubespan discovery ping: whether a discovery service answers, how fast, and where it sees us.

Says Hello for a cluster that does not exist, which leaves nothing at the service.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import uvloop

from kubespan.config.target import Target, parse_target
from kubespan.discovery.client.authorities import Authorities
from kubespan.discovery.client.channel import open_channel
from kubespan.discovery.client.clientaddress import client_address
from kubespan.discovery.client.conversation import CallFailed, Conversation, Greeting
from kubespan.discovery.client.effects import Failure, FailureReason
from kubespan.discovery.client.redirect import redirect_target
from kubespan.model.errors import ConfigError

INTERVAL: Final = 1.0
ANSWERED, NOT_ANSWERED, TIMED_OUT = 0, 1, 5
"""Exit codes."""


@dataclass(slots=True)
class Results:
    """What has come of it so far."""

    times: list[float] = field(default_factory=list)
    """Seconds of each round trip."""

    failures: list[Failure] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """What it means to a script."""
        if self.times:
            return ANSWERED
        is_late = all(failure.reason is FailureReason.TIMED_OUT for failure in self.failures)
        return TIMED_OUT if is_late else NOT_ANSWERED

    def summary(self) -> str:
        """One line about all of it."""
        counts = f"{len(self.times) + len(self.failures)} sent, {len(self.times)} answered"
        if not self.times:
            return counts
        least, most = min(self.times), max(self.times)
        average = sum(self.times) / len(self.times)
        return f"{counts}, min/avg/max {least * 1e3:.1f}/{average * 1e3:.1f}/{most * 1e3:.1f} ms"


@click.command()
@click.argument("address", metavar="ADDR")
@click.option("--insecure", is_flag=True, help="Speak plaintext, as to http://.")
@click.option("-n", "--count", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--ca",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Trust the authorities in this file, PEM.",
)
def ping(address: str, insecure: bool, count: int, ca: Path | None) -> int:
    """Say Hello to a discovery service.

    Shows how long each answer takes, where the service sees us and where it sends us. ADDR is
    https://HOST:PORT, http://HOST:PORT or HOST:PORT. The first round trip includes the connection.
    Nothing is registered. Exits with 1 if there is no answer, 5 if none came in time.
    """
    target = ping_target(address, insecure=insecure)
    authorities = None if target.insecure else Authorities(ca)
    return uvloop.run(run(target, authorities, count, click.echo))


def ping_target(text: str, *, insecure: bool) -> Target:
    """Return what to dial. Raises ConfigError."""
    has_scheme = "://" in text
    target = parse_target(text if has_scheme else f"{'http' if insecure else 'https'}://{text}")
    if insecure and not target.insecure:
        raise ConfigError(f"{text} is TLS, and --insecure is not; leave one of them out")
    return target


async def run(
    target: Target, authorities: Authorities | None, count: int, say: Callable[[str], None]
) -> int:
    """Say Hello so often and tell about each; return the exit code."""
    pem = None if authorities is None else authorities.read()
    channel = open_channel(target.address, insecure=target.insecure, authorities=pem)
    # Like a cluster's, and nobody's.
    cluster_id = base64.b64encode(secrets.token_bytes(32)).decode()
    talk = Conversation(channel, cluster_id, "")
    results = Results()
    try:
        for number in range(count):
            if number:
                await asyncio.sleep(INTERVAL)
            say(f"{target.address}: {await _one(talk, results)}")
    finally:
        await channel.close()
        say(results.summary())
    return results.exit_code


async def _one(talk: Conversation, results: Results) -> str:
    began = time.perf_counter()
    try:
        greeting = await talk.hello()
    except CallFailed as failed:
        results.failures.append(failed.failure)
        return str(failed.failure)
    results.times.append(time.perf_counter() - began)
    return f"answered in {results.times[-1] * 1e3:.1f} ms, {describe(greeting)}"


def describe(greeting: Greeting) -> str:
    """Return what a service said, in words."""
    address = client_address(greeting.client_ip)
    seen = "does not say where it sees us" if address is None else f"sees us at {address}"
    if not greeting.redirect:
        return seen
    target = redirect_target(greeting.redirect)
    return f"{seen}, sends us to {target or 'something that is not host:port'}"
