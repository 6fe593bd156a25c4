"""The ground floor: values and what they mean. Nothing here acts, waits, or talks to anyone.

Every other floor may import this one; it imports none of them.
"""

from kubespan.model.address import Arrival, Endpoint, IPAddress, Prefix, Source
from kubespan.model.drop import DropReason
from kubespan.model.errors import (
    ConfigError,
    InternalError,
    KubespanError,
    ProtocolError,
    SystemFault,
)
from kubespan.model.instant import Instant
from kubespan.model.keys import PresharedKey, PrivateKey, PublicKey

__all__ = [
    "Arrival",
    "ConfigError",
    "DropReason",
    "Endpoint",
    "IPAddress",
    "Instant",
    "InternalError",
    "KubespanError",
    "Prefix",
    "PresharedKey",
    "PrivateKey",
    "ProtocolError",
    "PublicKey",
    "Source",
    "SystemFault",
]
