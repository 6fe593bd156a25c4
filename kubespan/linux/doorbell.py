"""Rings when somebody changes our nftables table, without asking and at no cost while nobody does.

The kernel tells every listener of every change of nftables, by name. Nothing is decoded: a message
in which our table's name stands is a reason to look, and looking is `nft`'s work. man 7 netlink;
Linux include/uapi/linux/netfilter/nfnetlink.h (NFNLGRP_NFTABLES).
"""

from __future__ import annotations

import socket
from errno import ENOBUFS
from typing import Final

from kubespan.linux.nftables import TABLE
from kubespan.model.errors import SystemFault

NETLINK_NETFILTER: Final = 12
SOL_NETLINK: Final = 270
NETLINK_ADD_MEMBERSHIP: Final = 1
NFNLGRP_NFTABLES: Final = 7
LONGEST_BATCH: Final = 1 << 16
ROOM: Final = 1 << 20
"""Bytes that may wait to be read: other programs change thousands of rules at a time."""

NAME: Final = TABLE["name"].encode() + b"\0"


class Doorbell:
    """Listens, from construction until `close`, in the network namespace of the calling thread."""

    def __init__(self) -> None:
        """Begin to listen. Raises SystemFault."""
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
            self._socket.bind((0, 0))
            self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        except OSError as error:
            raise SystemFault("listen to nftables", error.errno or 0) from error

    def fileno(self) -> int:
        """Return the descriptor, which is readable when there is something to hear."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()

    def has_rung(self) -> bool:
        """Take in all there is to hear; whether it may have been about our table."""
        rung = False
        while True:
            try:
                rung |= NAME in self._socket.recv(LONGEST_BATCH)
            except BlockingIOError:
                return rung
            except OSError as error:
                if error.errno != ENOBUFS:
                    return True
                # Messages were lost, and ours may be one of them.
                rung = True
