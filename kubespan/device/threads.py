"""Lanes as native threads: they move packets by themselves, and what they hand up is heard here.

Stops and makes the threads anew whenever the sockets change, which takes well under a millisecond
and touches no session. Handshake messages are drained a few at a time, so that a flood of them
holds up nothing else on the event loop.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping

from kubespan import fastpath
from kubespan.device.bind import Sockets
from kubespan.device.lanes import Hearer
from kubespan.fastpath import LaneOptions, Upcall, UpcallKind
from kubespan.linux.tun import Offload, Tun
from kubespan.model.errors import SystemFault
from kubespan.wireguard.datapath import DataPath

MAY_OFFLOAD = os.environ.get("KUBESPAN_OFFLOAD", "") != "0"
"""Whether packets may be segmented and merged, at either end. Some kernels have it wrong."""

EVERYTHING = 1 << 16

UPCALLS_A_TURN = 16
"""Upcalls heard from each lane before others have their turn: a few milliseconds of handshakes."""


class Threads:
    """Lanes of the native build."""

    implementation = "native"
    merges = MAY_OFFLOAD
    sorts = True

    def __init__(self, tun: Tun, path: DataPath, hearer: Hearer) -> None:
        self.aead = fastpath.provider()
        self._tun = tun
        self._path = path
        self._hearer = hearer
        self._offload = tun.set_offloads() if MAY_OFFLOAD else Offload(0)
        self._lanes: fastpath.Lanes | None = None
        self._is_gone = False
        self._again: asyncio.Handle | None = None
        self._counted: Counter[str] = Counter()

    def attend(self, sockets: Sockets | None) -> None:
        """Serve these sockets and no others; with None, move nothing."""
        self._stop()
        if self._is_gone or sockets is None:
            return
        self._lanes = fastpath.create_lanes(self._path, self._options(sockets))
        asyncio.get_running_loop().add_reader(self._lanes.upcall_fd, self._drain)
        try:
            self._lanes.start()
        except SystemFault:
            self._stop()
            raise

    def close(self) -> None:
        """Stop all threads."""
        self._stop()

    def counters(self) -> Mapping[str, int]:
        """Return what all lanes so far did and dropped."""
        return self._counted if self._lanes is None else self._counted + _counts(self._lanes)

    def _options(self, sockets: Sockets) -> LaneOptions:
        return LaneOptions(
            tun_fd=self._tun.descriptor,
            ipv4_fds=tuple(one.fileno() for one in sockets.ipv4),
            ipv6_fds=tuple(one.fileno() for one in sockets.ipv6),
            vnet_header=self._tun.has_vnet_header,
            tcp_offload=Offload.TSO6 in self._offload,
            udp_offload=Offload.USO6 in self._offload,
            segment=MAY_OFFLOAD,
            threads=fastpath.thread_count(),
            tun_queues=self._tun.readable,
        )

    def _stop(self) -> None:
        lanes, self._lanes = self._lanes, None
        if lanes is None:
            return
        asyncio.get_running_loop().remove_reader(lanes.upcall_fd)
        if self._again is not None:
            self._again.cancel()
            self._again = None
        lanes.stop()
        self._counted += _counts(lanes)
        left = lanes.drain(EVERYTHING)
        lanes.close()
        for upcall in left:
            self._hear(upcall)

    def _drain(self) -> None:
        """Hear what waits, once a turn of the loop however often lanes signal."""
        if self._again is None:
            self._drain_once()

    def _drain_again(self) -> None:
        self._again = None
        self._drain_once()

    def _drain_once(self) -> None:
        lanes = self._lanes
        if lanes is None:
            return
        upcalls = lanes.drain(UPCALLS_A_TURN)
        if len(upcalls) >= UPCALLS_A_TURN:
            self._again = asyncio.get_running_loop().call_soon(self._drain_again)
        for upcall in upcalls:
            self._hear(upcall)

    def _hear(self, upcall: Upcall) -> None:
        match upcall.kind:
            case UpcallKind.OUTBOUND:
                self._hearer.hear_packet(upcall.payload)
            case UpcallKind.NO_PEER:
                self._hearer.hear_unroutable(upcall.payload)
            case UpcallKind.HANDSHAKE if upcall.arrival is not None:
                self._hearer.hear_datagram(
                    upcall.payload, upcall.arrival, queued=upcall.queued, congestion=False
                )
            case UpcallKind.CONFIRMED:
                self._hearer.hear_confirmed(upcall.value)
            case UpcallKind.REKEY_DUE:
                self._hearer.hear_rekey_due(upcall.value)
            case UpcallKind.DEVICE_GONE:
                self._is_gone = True
                self._hearer.hear_gone()


def _counts(lanes: fastpath.Lanes) -> Counter[str]:
    drops = {f"drop_{reason.name.lower()}": n for reason, n in lanes.drops().items() if n}
    return lanes.counters() + Counter(drops)
