"""The mesh's own WireGuard interface, for as long as the node runs.

Makes the TUN device and keeps it configured; when somebody deletes it, it is made anew. Beside it
there is WireGuard's configuration socket, so that `wg show kubespan` works where `wg` looks.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from kubespan import fastpath
from kubespan.api.listener import Listener, listen
from kubespan.api.server import Server
from kubespan.device.live import LiveDevice
from kubespan.linux.sysctl import accept_answers
from kubespan.linux.tun import Tun, create_tun
from kubespan.model.constants import KUBESPAN_LINK
from kubespan.model.errors import ConfigError, SystemFault
from kubespan.model.keys import PublicKey
from kubespan.model.plan import InterfaceConfig
from kubespan.model.resources import PeerReading
from kubespan.wireguard.effects import PeerEvent

ADVICE = {
    errno.EPERM: "run it as root, or give it the capability CAP_NET_ADMIN",
    errno.EACCES: "run it as root, or let it open /dev/net/tun",
    errno.EBUSY: "another program has it; `kubespan down` ends a node that runs here",
    errno.EINVAL: "a link of that name that is no TUN device may be there: rename or remove it",
    errno.ENOENT: "there is no /dev/net/tun here; load the module with modprobe tun",
    errno.ENODEV: "the kernel has no TUN devices; load the module with modprobe tun",
}


class DataPlane:
    """One interface at a time, under one name, with one configuration."""

    def __init__(
        self,
        log: logging.Logger,
        hear_event: Callable[[PeerEvent], object],
        hear_gone: Callable[[], object],
        sockets: Path,
    ) -> None:
        self._log = log
        self._hear_event = hear_event
        self._hear_gone = hear_gone
        self._sockets = sockets
        self._tun: Tun | None = None
        self._live: LiveDevice | None = None
        self._window: tuple[Listener, Server] | None = None
        self._end: asyncio.Task[None] | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is an interface."""
        return self._live is not None

    async def open(self) -> None:
        """Make the interface, down and without peers. Raises ConfigError."""
        path = fastpath.create_path()
        try:
            self._tun = create_tun(
                KUBESPAN_LINK,
                vnet_header=os.environ.get("KUBESPAN_OFFLOAD") != "0",
                queues=fastpath.TUN_QUEUES,
            )
        except SystemFault as fault:
            hint = ADVICE.get(fault.errno)
            raise ConfigError(f"{fault}" + (f"; {hint}" if hint else "")) from fault
        if not accept_answers():
            self._log.warning("reverse-path filtering on %s could not be set to 0", KUBESPAN_LINK)
        self._live = LiveDevice(self._tun, path, self._log, self._hear_event)
        self._live.start()
        await self._live.device.has_seen_link.wait()
        await self._open_window()
        self._end = asyncio.create_task(self._wait_for_end(self._live))

    def configure(self, config: InterfaceConfig) -> None:
        """Become what the configuration says. Raises SystemFault, ConfigError."""
        if self._live is not None:
            self._live.device.configure(config)

    def readings(self) -> dict[PublicKey, PeerReading] | None:
        """Return how it stands with every peer; None where there is no interface."""
        return None if self._live is None else self._live.device.readings()

    def link_index(self) -> int:
        """Return the interface's index on this host; 0 while it is not there."""
        return 0 if self._tun is None else self._tun.index_here()

    @property
    def mtu(self) -> int | None:
        """What the interface has now; None where that is not known."""
        return None if self._live is None else self._live.device.mtu or None

    def counters(self) -> dict[str, int | str]:
        """Return what became of packets and handshakes, by name."""
        return {} if self._live is None else dict(self._live.device.counters())

    def hail(self) -> None:
        """Let every peer learn the address that we have now."""
        if self._live is not None:
            self._live.device.hail()

    async def close(self) -> None:
        """Delete the interface, whatever breaks meanwhile, and forget its keys."""
        try:
            if self._end is not None:
                self._end.cancel()
                with suppress(asyncio.CancelledError):
                    await self._end
                self._end = None
            await self._close_window()
        finally:
            self._delete()

    def _delete(self) -> None:
        if self._live is None or self._tun is None:
            return
        try:
            self._live.close()
        finally:
            self._tun.close()
            self._live = self._tun = None

    async def _open_window(self) -> None:
        assert self._live is not None
        try:
            listener = listen(KUBESPAN_LINK, self._sockets)
        except SystemFault as fault:
            self._log.warning("wg(8) will not find the interface: %s", fault)
            return
        server = Server(listener, self._live.device, self._log)
        await server.start()
        self._window = (listener, server)

    async def _close_window(self) -> None:
        if self._window is not None:
            listener, server = self._window
            self._window = None
            listener.close()
            await server.stop()

    async def _wait_for_end(self, live: LiveDevice) -> None:
        await live.device.gone.wait()
        self._log.warning("somebody deleted the interface %s; making it anew", KUBESPAN_LINK)
        self._hear_gone()
