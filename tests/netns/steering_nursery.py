"""A process whose child applies plans to the namespace it is in, and dies when it is told to.

Reads the name of a plan, or `kill`, from its input, line by line. The child is forked, because
starting Python takes longer than all that there is to be seen.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from importlib import import_module
from ipaddress import IPv6Address
from typing import NoReturn

from kubespan.linux.apply import Applier
from kubespan.linux.tun import create_tun
from kubespan.model.address import Prefix
from kubespan.model.plan import NetworkPlan
from tests.linux.steered import by_name, quiet_log

MEMBERS = ("10.0.2.0/24", "2001:db8:77::/64")


def _plan(subnet: str, mtu: int, *steered: str) -> NetworkPlan:
    address = IPv6Address(Prefix.parse(subnet).value | 1)
    prefixes = tuple(map(Prefix.parse, steered))
    return NetworkPlan(address, Prefix.parse(subnet), mtu, prefixes)


PLANS = {
    "a": _plan("fd00:0:0:2::/64", 1420, *MEMBERS),
    "b": _plan("fd00:0:0:2::/64", 1300, *MEMBERS, "10.9.0.0/16"),
    "c": _plan("fd11:0:0:2::/64", 1380, *MEMBERS),
}


def say(word: str) -> None:
    """Say it whole, whoever else is saying something."""
    os.write(sys.stdout.fileno(), f"{word}\n".encode())


async def apply(plan: NetworkPlan) -> None:
    """Apply a plan with an interface of our own, and stay."""
    create_tun("kubespan")
    applier = Applier(quiet_log()[0], by_name)
    applier.start()
    report = await applier.apply(plan)
    assert report.failures == (), report.failures
    say("applied")
    await asyncio.Event().wait()


def live(plan: NetworkPlan) -> NoReturn:
    """Be the child, and never come back from that."""
    say("begun")
    try:
        asyncio.run(apply(plan))
    except BaseException as error:  # noqa: BLE001  whatever it is has to be told
        say(f"failed: {error!r}")
    os._exit(1)


def main() -> None:
    """Have a child for each plan, one at a time."""
    import_module("pyroute2")
    child = 0
    for line in sys.stdin:
        if line.strip() == "kill":
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            say("killed")
        else:
            child = os.fork()
            if not child:
                live(PLANS[line.strip()])


if __name__ == "__main__":
    main()
