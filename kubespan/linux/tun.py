"""TUN devices: a descriptor that packets of a network interface are read from and written to.

Makes one, or takes one over from whoever started us; never brings it up, never gives it addresses,
and after making it never again trusts its name: it may be in another namespace by then, and another
interface have the name.
Linux Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import IntFlag

import pytun

from kubespan.model.constants import DEFAULT_MTU
from kubespan.model.errors import ConfigError, SystemFault

TUNSETOFFLOAD = 0x4004_54D0
TUNGETIFF = 0x8004_54D2
TUNGETDEVNETNS = 0x54E3
VNET_HEADER_SIZE = 10
"""Bytes in front of every frame of a device with IFF_VNET_HDR. virtio_net.h."""

LONGEST_PACKET = 65_535
LONGEST_NAME = 15
IFREQ_SIZE = 40
UNKNOWN_REQUEST = (errno.EINVAL, errno.ENOTTY)
OWN_NAMESPACE = "/proc/thread-self/ns/net"


class Offload(IntFlag):
    """What frames read from the device may leave for us to do. if_tun.h, TUN_F_*."""

    CSUM = 0x01
    TSO4 = 0x02
    TSO6 = 0x04
    TSO_ECN = 0x08
    USO4 = 0x20
    USO6 = 0x40


_TSO = Offload.CSUM | Offload.TSO4 | Offload.TSO6
OFFLOAD_LADDER = (
    _TSO | Offload.TSO_ECN | Offload.USO4 | Offload.USO6,
    _TSO | Offload.TSO_ECN,
    _TSO,
    Offload.CSUM,
)
"""What to ask for, most first: kernels before 6.2 know no USO."""

_NOTHING_LEFT_TO_DO = bytes(VNET_HEADER_SIZE)


@dataclass(frozen=True, slots=True)
class Tun:
    """An open TUN device. Closing it deletes an interface that we made."""

    descriptor: int
    """What is written to and asked, and read from where there are no queues."""

    has_vnet_header: bool
    queues: tuple[int, ...] = ()
    """Descriptors to read from. The system puts what is of one flow into the same one, but knows
    fragments by their addresses only."""

    @property
    def readable(self) -> tuple[int, ...]:
        """Where packets come from."""
        return self.queues or (self.descriptor,)

    def close(self) -> None:
        """Let go of all descriptors."""
        for descriptor in (self.descriptor, *self.queues):
            os.close(descriptor)

    @property
    def name(self) -> str:
        """What the interface is called at present, wherever it is. Raises SystemFault."""
        return _interface(self.descriptor)[0]

    def read(self) -> bytes:
        """Return the next packet, without waiting. Raises OSError.

        The header in front of it has nothing to say as long as no offloads are set.
        """
        header = VNET_HEADER_SIZE if self.has_vnet_header else 0
        return os.read(self.descriptor, header + LONGEST_PACKET)[header:]

    def write(self, packet: bytes) -> None:
        """Hand a whole packet, its checksums complete, to the system. Raises OSError."""
        header = _NOTHING_LEFT_TO_DO if self.has_vnet_header else b""
        os.write(self.descriptor, header + packet)

    def set_offloads(self) -> Offload:
        """Let the system hand over, and take, the largest frames it can; return what it agreed to.

        Without a header in front of frames there is nothing to agree on.
        """
        if self.has_vnet_header:
            for offload in OFFLOAD_LADDER:
                if _accepts(self.descriptor, offload):
                    return offload
        return Offload(0)

    def clear_offloads(self) -> None:
        """Let the system do all work on frames itself, as it does for a device that is new."""
        if self.has_vnet_header:
            _accepts(self.descriptor, Offload(0))

    def open_namespace(self) -> int:
        """Return a descriptor of the network namespace that the interface is in at present.

        The caller closes it. Raises SystemFault, with EBADFD when the interface is deleted.
        """
        try:
            return fcntl.ioctl(self.descriptor, TUNGETDEVNETNS)
        except OSError as error:
            raise SystemFault("find a TUN device's namespace", error.errno or 0) from error

    def index_here(self) -> int:
        """Return its index in the calling thread's network namespace; 0 where it is not there."""
        try:
            name = self.name
            index = socket.if_nametoindex(name)
            # Asked after the finding: what was found may be another interface of that name.
            return index if self._is_here() and self.name == name else 0
        except (SystemFault, OSError):
            return 0

    def _is_here(self) -> bool:
        """Whether it is in the calling thread's namespace, or nobody can say where it is."""
        try:
            namespace = self.open_namespace()
        except SystemFault as fault:
            # EPERM is of one that was moved to where we have no say.
            return fault.errno in UNKNOWN_REQUEST
        try:
            return os.path.samestat(os.fstat(namespace), os.stat(OWN_NAMESPACE))  # noqa: PTH116
        finally:
            os.close(namespace)


def create_tun(
    name: str, *, vnet_header: bool = True, mtu: int = DEFAULT_MTU, queues: int = 1
) -> Tun:
    """Make a TUN device that is down; `name` may be a pattern such as wg%d.

    With several queues there are so many to read from, where frames have headers and the system
    has such devices.

    Raises ConfigError for a name that no interface can have, SystemFault for what the system says.
    """
    if not 0 < len(name.encode()) <= LONGEST_NAME or name in (".", "..") or _has_forbidden(name):
        raise ConfigError(
            f"no interface can be called {name!r}; take 1 to {LONGEST_NAME} characters without"
            " '/', ':' or spaces, such as wg0"
        )
    is_taken = False
    if vnet_header and queues > 1:
        try:
            return _create_queues(name, mtu, queues)
        except OSError as error:
            is_taken = error.errno == errno.EBUSY
    try:
        return _create_one(name, vnet_header, mtu)
    except SystemFault as fault:
        if is_taken and fault.errno == errno.EINVAL:
            raise SystemFault(f"create {name}", errno.EBUSY) from fault
        raise


def _create_one(name: str, vnet_header: bool, mtu: int) -> Tun:
    if vnet_header:
        try:
            return _create(name, pytun.IFF_VNET_HDR, mtu)
        except SystemFault as fault:
            if fault.errno != errno.EINVAL:
                raise
    return _create(name, 0, mtu)


def adopt_tun(descriptor: int) -> Tun:
    """Take over a TUN device that somebody else opened. Raises SystemFault."""
    _, flags = _interface(descriptor)
    os.set_blocking(descriptor, False)
    os.set_inheritable(descriptor, False)
    return Tun(descriptor, bool(flags & pytun.IFF_VNET_HDR))


def _has_forbidden(name: str) -> bool:
    return any(letter in "/:" or letter.isspace() or letter == "\0" for letter in name)


def _create(name: str, extra_flags: int, mtu: int) -> Tun:
    try:
        with closing(_open(name, extra_flags)) as device, ExitStack() as undo:
            device.mtu = mtu
            descriptor = _keep(device, undo)
            undo.pop_all()
            return Tun(descriptor, bool(extra_flags & pytun.IFF_VNET_HDR))
    except OSError as error:
        raise SystemFault(f"create {name}", error.errno or 0) from error


def _create_queues(name: str, mtu: int, count: int) -> Tun:
    """Return a device with so many queues. Raises OSError.

    Only a new one: another queue of what is there already would be added to somebody else's.
    """
    flags = pytun.IFF_VNET_HDR | pytun.IFF_MULTI_QUEUE
    with closing(_open(name, flags | pytun.IFF_TUN_EXCL)) as device, ExitStack() as undo:
        device.mtu = mtu
        kept = [_keep(device, undo)]
        for _ in range(count):
            with closing(_open(device.name, flags)) as queue:
                kept.append(_keep(queue, undo))
        if {_interface(descriptor) for descriptor in kept} != {_interface(kept[0])}:
            raise OSError(errno.EAGAIN, "somebody gave it another name meanwhile")
        # What is written to a queue draws the answers there, past those that wait in another. One
        # that is detached can be written to, and draws nothing: flows stay where they are.
        device.mq_attach(False)
        undo.pop_all()
    return Tun(kept[0], True, tuple(kept[1:]))


def _open(name: str, extra_flags: int) -> pytun.TunTapDevice:
    return pytun.TunTapDevice(name, pytun.IFF_TUN | pytun.IFF_NO_PI | extra_flags)


def _keep(device: pytun.TunTapDevice, undo: ExitStack) -> int:
    """Return its descriptor; the library's object closes its own whenever it is collected."""
    descriptor = os.dup(device.fileno())
    undo.callback(os.close, descriptor)
    os.set_blocking(descriptor, False)
    return descriptor


def _interface(descriptor: int) -> tuple[str, int]:
    """Return the name and the flags of the interface behind a descriptor."""
    try:
        request = fcntl.ioctl(descriptor, TUNGETIFF, bytes(IFREQ_SIZE))
    except OSError as error:
        raise SystemFault("recognize a TUN device", error.errno or 0) from error
    name, flags = struct.unpack_from("16sH", request)
    return name.rstrip(b"\0").decode(errors="replace"), flags


def _accepts(descriptor: int, offload: Offload) -> bool:
    try:
        fcntl.ioctl(descriptor, TUNSETOFFLOAD, int(offload))
    except OSError:
        return False
    return True
