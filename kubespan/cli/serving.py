"""One interface's process, from the moment there is a TUN device and a socket until its end.

The composition root of `kubespan-wg`: it alone knows the device and the configuration server. It
ends when the interface is deleted, its socket file disappears, or SIGINT
or SIGTERM arrives.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from contextlib import suppress

import uvloop

from kubespan import fastpath
from kubespan.api.listener import Listener
from kubespan.api.server import Server
from kubespan.device.device import Device
from kubespan.device.live import LiveDevice
from kubespan.linux.syscall import forbid_core_dumps, watch_file
from kubespan.linux.tun import Tun
from kubespan.model.errors import SystemFault
from kubespan.wireguard.datapath import DataPath

LEAVE_SIGNALS = (signal.SIGINT, signal.SIGTERM)

LEVELS = {"verbose": logging.DEBUG, "error": logging.ERROR, "silent": logging.CRITICAL + 1}


def serve(tun: Tun, listener: Listener, *, interface: str, level: str) -> None:
    """Serve the interface until its end. Closes both. Raises KubespanError before it begins.

    The signals that ask us to leave may be blocked until then.
    """
    try:
        if os.environ.get("KUBESPAN_CORE_DUMPS") != "1":
            forbid_core_dumps()
        path = fastpath.create_path()
        uvloop.run(_serve(tun, path, listener, create_log(interface, LEVELS[level])))
    finally:
        listener.close()
        tun.close()


def create_log(interface: str, level: int) -> logging.Logger:
    """Return a log on standard error, whose lines look like wireguard-go's."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        logging.Formatter(
            f"%(levelname)s: ({interface}) %(asctime)s %(message)s", datefmt="%Y/%m/%d %H:%M:%S"
        )
    )
    log = logging.getLogger("kubespan")
    log.addHandler(handler)
    log.setLevel(level)
    return log


async def _serve(tun: Tun, path: DataPath, listener: Listener, log: logging.Logger) -> None:
    live = LiveDevice(tun, path, log)
    device = live.device
    _leave_when_asked(device)
    server = Server(listener, device, log)
    live.start()
    end_watch = _leave_with_socket(device, listener)
    # Whoever is answered may bring the interface up and send at once, which must not go unnoticed.
    await device.has_seen_link.wait()
    await server.start()
    try:
        await device.gone.wait()
    finally:
        # First, so that a successor need not wait for the rest.
        end_watch()
        listener.close()
        await server.stop()
        live.close()


def _leave_when_asked(device: Device) -> None:
    loop = asyncio.get_running_loop()
    for number in LEAVE_SIGNALS:
        loop.add_signal_handler(number, device.gone.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEAVE_SIGNALS)


def _leave_with_socket(device: Device, listener: Listener) -> Callable[[], None]:
    """Leave when our socket file is removed or replaced; return what ends the watch."""
    loop = asyncio.get_running_loop()

    def look() -> None:
        with suppress(BlockingIOError):
            os.read(watch, 4096)
        if not listener.is_reachable:
            device.gone.set()

    def end() -> None:
        loop.remove_reader(watch)
        os.close(watch)

    if listener.identity is None:
        return lambda: None
    try:
        watch = watch_file(str(listener.path))
    except SystemFault:
        device.gone.set()
        return lambda: None
    loop.add_reader(watch, look)
    look()
    return end
