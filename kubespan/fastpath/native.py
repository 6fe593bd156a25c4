"""The native data path in the core's terms: slots, keypairs, routes, and the lanes on top.

Translates between our values and the native module's plain numbers and bytes, never per packet. It
is imported only where the native module is in use; `door` decides that.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, TypeAlias, cast

from nacl._sodium import ffi, lib

from kubespan import _fastpath
from kubespan.fastpath.lanes import LaneOptions, Upcall, UpcallKind
from kubespan.model.address import Arrival, Endpoint, Prefix, Source
from kubespan.model.constants import DEFAULT_MTU, RECEIVE_QUEUES
from kubespan.model.drop import DropReason
from kubespan.model.errors import ConfigError, SystemFault
from kubespan.noise.cookie import Gate
from kubespan.wireguard.datapath import PeerSlot

RawEndpoint: TypeAlias = tuple[bytes, int, int, bytes | None, int]
"""Packed address, port, scope id, packed source or None, number of the source's interface."""


PROVIDERS: Final = ("avx512", "avx2", "libcrypto", "portable", "libsodium")
"""What can serve AEAD, the fastest first: `python -m bench.aead` compares them."""


def choose_provider(wanted: str) -> str:
    """Name the AEAD provider, chosen at the first call: the first of `PROVIDERS` to be had.

    `wanted` insists on one, empty on none. Raises ConfigError when it cannot be had.
    """
    if wanted not in ("", *PROVIDERS):
        names = ", ".join(PROVIDERS[:-1])
        raise ConfigError(
            f"KUBESPAN_AEAD={wanted!r}: write {names} or {PROVIDERS[-1]}, or unset it"
        )
    if not _fastpath.provider() and not any(map(use_provider, [wanted] if wanted else PROVIDERS)):
        raise ConfigError(f"KUBESPAN_AEAD={wanted}: this machine cannot run it; unset it")
    return _fastpath.provider()


def use_provider(name: str) -> bool:
    """Serve AEAD by one of `PROVIDERS` from now on; tell whether this machine can."""
    if name == "libsodium":
        _fastpath.use_libsodium(_libsodium("encrypt"), _libsodium("decrypt"))
        return True
    return _fastpath.use(name)


def _libsodium(verb: str, cipher: str = "chacha20poly1305_ietf") -> int:
    """Return the address of the function in the library that PyNaCl brings."""
    name = f"crypto_aead_{cipher}_{verb}"
    return int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))


_fastpath.use_xaead(_libsodium("encrypt", "xchacha20poly1305_ietf"))


class NativeSlot(_fastpath.Slot):
    """A PeerSlot whose memory the lanes read and write."""

    __slots__ = ()

    @property
    def queue(self) -> int:
        """Which of RECEIVE_QUEUES its messages wait in: as few peers in each as can be."""
        return 1 + self.number % (RECEIVE_QUEUES - 1)

    @property
    def endpoint(self) -> Endpoint | None:
        """Where the peer is; assigning also forgets the source."""
        raw = self.raw_endpoint
        return None if raw is None else _arrival(raw).endpoint

    @endpoint.setter
    def endpoint(self, endpoint: Endpoint | None) -> None:
        self.raw_endpoint = None if endpoint is None else _raw(Arrival(endpoint, None))

    @property
    def source(self) -> Source | None:
        """The local address that we answer from; None lets the system choose."""
        raw = self.raw_endpoint
        return None if raw is None else _arrival(raw).source

    @source.setter
    def source(self, source: Source | None) -> None:
        endpoint = self.endpoint
        if source is None:
            # In one step: a lane may be roaming.
            self.forget_source()
        elif endpoint is not None:
            self.raw_endpoint = _raw(Arrival(endpoint, source))

    def roam(self, arrival: Arrival) -> None:
        """Make the endpoint and source those of an authenticated arrival."""
        self.raw_endpoint = _raw(arrival)


class NativePath:
    """A DataPath: see there for what each member promises."""

    def __init__(self) -> None:
        self.table = _fastpath.Table()
        self.table.mtu = DEFAULT_MTU

    @property
    def mtu(self) -> int:
        """The MTU of the TUN device, 0 when it is not known."""
        return self.table.mtu

    @mtu.setter
    def mtu(self, mtu: int) -> None:
        self.table.mtu = mtu

    def create_slot(self) -> PeerSlot:
        """Return a slot without endpoint, sessions or times."""
        return cast("PeerSlot", NativeSlot(self.table))

    def create_keypair(
        self,
        *,
        send_key: bytes,
        receive_key: bytes,
        local_index: int,
        remote_index: int,
        is_initiator: bool,
        created_at: float,
    ) -> _fastpath.Keypair:
        """Return a keypair of two 32-byte keys, which no lane can see until it is installed."""
        return _fastpath.Keypair(
            self.table,
            send_key,
            receive_key,
            local_index,
            remote_index,
            is_initiator,
            created_at,
        )

    def is_index_free(self, local_index: int) -> bool:
        """Tell whether no keypair answers to this local index and the index has room for it."""
        return self.table.is_index_free(local_index)

    def publish_routes(self, routes: Iterable[tuple[Prefix, PeerSlot]]) -> None:
        """Replace all allowed IPs at once."""
        self.table.publish_routes(
            [
                (prefix.packed(), prefix.length, cast("NativeSlot", slot).number)
                for prefix, slot in routes
            ]
        )

    def publish_gate(self, gate: Gate | None) -> None:
        """Let lanes judge handshake messages by this, or hand up all of them."""
        self.table.publish_gate(
            None
            if gate is None
            else _fastpath.Gate(gate.mac1_key, gate.cookie_key, gate.secret, gate.secret_until)
        )


class NativeLanes:
    """The Lanes of one interface: made, started and stopped together, never started again."""

    def __init__(self, path: NativePath, options: LaneOptions) -> None:
        self.upcall_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stop_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._threads: list[threading.Thread] = []
        self._lanes: list[_fastpath.Lane] = []
        shares = _shares(options)
        self._names = [share.name for share in shares]
        try:
            for share in shares:
                self._lanes.append(self._lane(path, options, share))
        except (OSError, MemoryError) as error:
            self.stop()
            self.close()
            number = error.errno if isinstance(error, OSError) else errno.ENOMEM
            raise SystemFault("wait for all descriptors", number or 0) from error

    def _lane(self, path: NativePath, options: LaneOptions, share: _Share) -> _fastpath.Lane:
        return _fastpath.Lane(
            path.table,
            number=share.number,
            tun_fd=options.tun_fd,
            tun_queues=share.tun_queues,
            ipv4_fd=options.ipv4_fds[0] if options.ipv4_fds else -1,
            ipv6_fd=options.ipv6_fds[0] if options.ipv6_fds else -1,
            sockets=share.sockets,
            stop_fd=self._stop_fd,
            upcall_fd=self.upcall_fd,
            vnet_header=options.vnet_header,
            tcp_offload=options.tcp_offload,
            udp_offload=options.udp_offload,
            segment=options.segment,
        )

    def start(self) -> None:
        """Packets move from here on. Raises SystemFault, and then none does."""
        for lane in self._lanes:
            thread = threading.Thread(target=lane.run, name="lane", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                self.stop()
                raise SystemFault("start a thread", errno.EAGAIN) from error
            self._threads.append(thread)

    def stop(self) -> None:
        """No packet moves any more, no thread is left; what was handed up can still be drained."""
        os.eventfd_write(self._stop_fd, 1)
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        for lane in self._lanes:
            lane.leave()

    def close(self) -> None:
        """Give the lanes' own descriptors back; call it after `stop`."""
        os.close(self._stop_fd)
        os.close(self.upcall_fd)

    def drain(self, limit: int) -> list[Upcall]:
        """Return at most `limit` upcalls of each lane, and forget that the event was signalled.

        As many as `limit` from any lane means that there may be more: call again.
        """
        with suppress(BlockingIOError):
            os.eventfd_read(self.upcall_fd)
        return [_upcall(raw) for lane in self._lanes for raw in lane.drain(limit)]

    def drops(self) -> Counter[DropReason]:
        """Return how much the lanes refused, by reason."""
        total: Counter[DropReason] = Counter()
        for lane in self._lanes:
            for reason, count in zip(DropReason, lane.counters()[0], strict=False):
                total[reason] += count
        return total

    def counters(self) -> Counter[str]:
        """Return what the lanes did: calls, messages and packets, by name."""
        total: Counter[str] = Counter()
        for name, lane in zip(self._names, self._lanes, strict=True):
            counts = lane.counters()[1]
            total.update(
                {
                    f"lane_{name}_busy_ns": counts.pop("busy_ns"),
                    f"lane_{name}_alive_ns": counts.pop("alive_ns"),
                }
            )
            total.update(counts)
        return total


@dataclass(frozen=True, slots=True)
class _Share:
    """What one lane reads and receives from.

    A queue is one lane's, so that flows keep their order; a peer's queues of both families are the
    same one's.
    """

    way: str
    number: int
    tun_queues: tuple[int, ...] = ()
    sockets: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What the thread is called in counters."""
        return self.way if self.number == 0 else f"{self.way}{self.number + 1}"


def _shares(options: LaneOptions) -> list[_Share]:
    """Divide queues among lanes. Nothing comes in where there is no socket."""
    queues = options.tun_queues or (options.tun_fd,)
    ipv4, ipv6 = options.ipv4_fds, options.ipv6_fds
    if options.threads == 1 and ipv4 + ipv6:
        return [_Share("both", 0, queues, ipv4 + ipv6)]
    outbound = min(max(options.threads // 2, 1), len(queues))
    inbound = min(max(options.threads - options.threads // 2, 1), max(len(ipv4), len(ipv6)))
    return [
        *(_Share("outbound", n, queues[n::outbound]) for n in range(outbound)),
        *(_Share("inbound", n, (), ipv4[n::inbound] + ipv6[n::inbound]) for n in range(inbound)),
    ]


def _upcall(raw: tuple[int, int, bytes, RawEndpoint | None, int]) -> Upcall:
    kind, value, payload, origin, queued = raw
    arrival = None if origin is None else _arrival(origin)
    return Upcall(UpcallKind(kind), value, payload, arrival, queued)


def _arrival(raw: RawEndpoint) -> Arrival:
    address, port, scope_id, source, ifindex = raw
    endpoint = Endpoint(ip_address(address), port, scope_id)
    return Arrival(endpoint, None if source is None else Source(ip_address(source), ifindex))


def _raw(arrival: Arrival) -> RawEndpoint:
    endpoint, source = arrival.endpoint, arrival.source
    packed = endpoint.address.packed
    if source is None or source.address.version != endpoint.address.version:
        return packed, endpoint.port, endpoint.scope_id, None, 0
    return packed, endpoint.port, endpoint.scope_id, source.address.packed, source.ifindex
