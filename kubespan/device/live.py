"""A device put together for real: its lanes, what follows its link and its routes, its key log.

Knows how the parts fit, and nothing of what they do. Runs on one event loop; the monitors have
threads of their own, and what they report is heard on the loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from kubespan import fastpath
from kubespan.device.device import Device
from kubespan.device.keylog import VARIABLE as KEYLOG
from kubespan.device.keylog import KeyLog
from kubespan.device.lanes import Hearer, Lanes
from kubespan.device.reader import Readers
from kubespan.device.threads import Threads
from kubespan.linux.link import LinkMonitor
from kubespan.linux.route import RouteMonitor
from kubespan.linux.tun import Tun
from kubespan.model.address import IPAddress
from kubespan.wireguard.datapath import DataPath
from kubespan.wireguard.effects import PeerEvent

LONGEST_BURST = 44
"""Segments in one frame from the TUN, so that one read fits one UDP segmentation send."""


class LiveDevice:
    """A device and everything it lives on. The TUN device stays the caller's to close."""

    def __init__(
        self,
        tun: Tun,
        path: DataPath,
        log: logging.Logger,
        hear_event: Callable[[PeerEvent], object] | None = None,
    ) -> None:
        self._key_log = _key_log(log)
        self.device = Device(
            tun,
            path,
            lambda hearer: _lanes(tun, path, hearer),
            secrets.token_bytes,
            log,
            key_log=None if self._key_log is None else self._key_log.record,
            hear_event=hear_event,
        )
        self._link, self._routes = _monitors(tun, self.device)

    def start(self) -> None:
        """Begin to live, up or down as the link is."""
        self.device.start()
        self._link.start()
        self._routes.start()

    def close(self) -> None:
        """End, and forget all keys."""
        self.device.close()
        self._link.stop()
        self._routes.stop()
        if self._key_log is not None:
            self._key_log.close()


def _key_log(log: logging.Logger) -> KeyLog | None:
    path = os.environ.get(KEYLOG)
    if not path:
        return None
    key_log = KeyLog(Path(path))
    log.critical(key_log.warning)
    return key_log


def _lanes(tun: Tun, path: DataPath, hearer: Hearer) -> Lanes:
    return Threads(tun, path, hearer) if fastpath.NATIVE else Readers(tun, hearer)


def _monitors(tun: Tun, device: Device) -> tuple[LinkMonitor, RouteMonitor]:
    """Return the monitors; what they report from their threads is heard on the loop."""
    hear = asyncio.get_running_loop().call_soon_threadsafe

    def follow_change(gone: frozenset[IPAddress]) -> None:
        if gone:
            hear(device.sources.forget_addresses, gone)
        # On the monitor's own thread: each hand-over would be time in which we send a stale way.
        routes.check(device.sources.ways, device.fwmark)

    routes = RouteMonitor(follow_change, lambda stale: hear(device.sources.forget_ways, stale))
    link = LinkMonitor(
        tun,
        lambda state: hear(device.follow_link, state),
        longest_burst=LONGEST_BURST if fastpath.NATIVE else 0,
    )
    return link, routes
