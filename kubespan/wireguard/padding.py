"""How long a packet becomes before it is sealed, so that its exact length stays private.

Only lengths, no packets. Paper §5.4.6; the behaviour near the MTU follows the kernel's send.c.
"""

from __future__ import annotations

from kubespan.model.constants import PADDING_MULTIPLE


def padded_length(length: int, mtu: int) -> int:
    """Return `length` rounded up to 16 within the MTU, or `length` if that would pass the MTU.

    A packet longer than the MTU counts as full packets and a rest, and the rest is what is rounded.
    An MTU of 0 is one that is not known. A packet that has no room is not padded halfway: the route
    it takes may have a smaller MTU than the device, and then half a pad already is too much.
    """
    rest = length % mtu if 0 < mtu < length else length
    padding = -rest % PADDING_MULTIPLE
    if mtu and rest + padding > mtu:
        return length
    return length + padding
