"""What members tell each other, between bytes and values. Nothing is sealed or opened here.

What is built is canonical: ascending fields, defaults left out, the shortest numbers, so that the
same endpoint is the same bytes at every member. What is parsed need not be: any valid protobuf
encoding will do. The same limits hold in both directions, so whatever is built can be parsed.
Sidero discovery protocol, as observed; the messages are in `proto/client.proto`.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeVar

from google.protobuf.message import DecodeError

from kubespan.discovery.hostile import BlobReason, BlobRefused
from kubespan.discovery.proto import client_pb2
from kubespan.model.address import Endpoint, IPAddress, Prefix
from kubespan.model.constants import MAX_AFFILIATE_ID_SIZE
from kubespan.model.errors import ConfigError
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, ControlPlane, KubeSpanAffiliate, MachineType

MAX_ENTRIES: Final = 256
"""Entries of one list. A sealed affiliate has room for some 300 addresses."""

MAX_TEXT_SIZE: Final = MAX_AFFILIATE_ID_SIZE
"""Bytes of one name in UTF-8. A host's full name has at most 253: RFC 1035 §2.3.4."""

_Message = TypeVar("_Message", client_pb2.Affiliate, client_pb2.Endpoint)
_List = TypeVar("_List", bound=Sized)

_MAPPED_BITS: Final = 96
_MACHINE_TYPES: Final = {
    "": MachineType.WORKER,
    "join": MachineType.WORKER,
    **{machine_type.value: machine_type for machine_type in MachineType},
}


def build_affiliate(affiliate: Affiliate) -> bytes:
    """Build the one encoding of an affiliate; its endpoints travel apart. Raises BlobRefused."""
    message = client_pb2.Affiliate(
        node_id=_node_id(affiliate.node_id),
        addresses=[_packed(address) for address in _bounded(affiliate.addresses)],
        hostname=_text(affiliate.hostname),
        nodename=_text(affiliate.nodename),
        machine_type=affiliate.machine_type.value,
        operating_system=_text(affiliate.operating_system),
    )
    if affiliate.kubespan is not None:
        message.kubespan.CopyFrom(_kubespan_message(affiliate.kubespan))
    if affiliate.control_plane is not None:
        message.control_plane.api_server_port = _port(affiliate.control_plane.port)
    return message.SerializeToString(deterministic=True)


def parse_affiliate(data: bytes) -> Affiliate:
    """Read an affiliate, without endpoints. Raises BlobRefused.

    An IPv4-mapped address is the IPv4 address, a zone is left out (it names an interface of
    another host), and an unset or unreadable address is none. A network that cannot be read
    refuses the whole affiliate: leaving it out could route what its owner wants kept out.
    """
    message = _decode(client_pb2.Affiliate, data)
    return Affiliate(
        node_id=_node_id(message.node_id),
        addresses=_addresses(message.addresses),
        hostname=_text(message.hostname),
        nodename=_text(message.nodename),
        operating_system=_text(message.operating_system),
        machine_type=_MACHINE_TYPES.get(message.machine_type, MachineType.UNKNOWN),
        kubespan=_kubespan(message.kubespan),
        control_plane=_control_plane(message.control_plane),
    )


def build_endpoint(endpoint: Endpoint) -> bytes:
    """Build the one encoding of an endpoint, at most 22 bytes. Raises BlobRefused."""
    plain = _endpoint(endpoint.address, endpoint.port)
    message = client_pb2.Endpoint(ip=_packed(plain.address), port=plain.port)
    return message.SerializeToString(deterministic=True)


def parse_endpoint(data: bytes) -> Endpoint:
    """Read an endpoint, without the zone it may have. Raises BlobRefused."""
    message = _decode(client_pb2.Endpoint, data)
    address = _address(message.ip)
    if address is None:
        raise BlobRefused(BlobReason.BAD_ADDRESS)
    return _endpoint(address, message.port)


# Values to messages.


def _kubespan_message(kubespan: KubeSpanAffiliate) -> client_pb2.KubeSpan:
    return client_pb2.KubeSpan(
        public_key=kubespan.public_key.base64(),
        address=b"" if kubespan.address is None else _packed(kubespan.address),
        additional_addresses=_prefix_messages(kubespan.additional_addresses),
        exclude_advertised_addresses=_prefix_messages(kubespan.exclude_advertised_networks),
    )


def _prefix_messages(prefixes: Sequence[Prefix]) -> list[client_pb2.IPPrefix]:
    plain = (_without_mapping(prefix) for prefix in _bounded(prefixes))
    return [client_pb2.IPPrefix(ip=prefix.packed(), bits=prefix.length) for prefix in plain]


def _packed(address: IPAddress) -> bytes:
    return _unmapped(address).packed


# Messages to values.


def _decode(kind: type[_Message], data: bytes) -> _Message:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise BlobRefused(BlobReason.NOT_A_MESSAGE) from None


def _kubespan(message: client_pb2.KubeSpan) -> KubeSpanAffiliate | None:
    if not message.public_key:
        return None
    return KubeSpanAffiliate(
        public_key=_public_key(message.public_key),
        address=_address(message.address),
        additional_addresses=_prefixes(message.additional_addresses),
        exclude_advertised_networks=_prefixes(message.exclude_advertised_addresses),
    )


def _control_plane(message: client_pb2.ControlPlane) -> ControlPlane | None:
    return ControlPlane(_port(message.api_server_port)) if message.api_server_port else None


def _addresses(packed: Sequence[bytes]) -> tuple[IPAddress, ...]:
    read = (_address(one) for one in _bounded(packed))
    return tuple(address for address in read if address is not None)


def _address(packed: bytes) -> IPAddress | None:
    if len(packed) == 4:
        return IPv4Address(packed)
    return _unmapped(IPv6Address(packed[:16])) if len(packed) >= 16 else None


def _prefixes(messages: Sequence[client_pb2.IPPrefix]) -> tuple[Prefix, ...]:
    return tuple(_prefix(message.ip, message.bits) for message in _bounded(messages))


def _prefix(packed: bytes, length: int) -> Prefix:
    if len(packed) != 4 and len(packed) < 16:
        raise BlobRefused(BlobReason.BAD_PREFIX)
    address = packed[:16]
    host_bits = 8 * len(address) - length
    if host_bits < 0:
        raise BlobRefused(BlobReason.BAD_PREFIX)
    value = int.from_bytes(address, "big") >> host_bits << host_bits
    return _without_mapping(Prefix(4 if len(address) == 4 else 6, value, length))


def _public_key(text: str) -> PublicKey:
    try:
        return PublicKey.from_base64(text)
    except ConfigError:
        raise BlobRefused(BlobReason.BAD_KEY) from None


# In both directions.


def _unmapped(address: IPAddress) -> IPAddress:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _without_mapping(prefix: Prefix) -> Prefix:
    if prefix.version == 6 and prefix.length >= _MAPPED_BITS and prefix.value >> 32 == 0xFFFF:
        return Prefix(4, prefix.value & 0xFFFFFFFF, prefix.length - _MAPPED_BITS)
    return prefix


def _bounded(entries: _List) -> _List:
    if len(entries) > MAX_ENTRIES:
        raise BlobRefused(BlobReason.TOO_MANY)
    return entries


def _node_id(text: str) -> str:
    if not text:
        raise BlobRefused(BlobReason.WRONG_ID)
    return _text(text)


def _text(text: str) -> str:
    # Names end up in tables and logs; an escape sequence or a change of direction ends here.
    if not text.isprintable() or len(text.encode()) > MAX_TEXT_SIZE:
        raise BlobRefused(BlobReason.BAD_TEXT)
    return text


def _port(port: int) -> int:
    if not 0 < port <= 65535:
        raise BlobRefused(BlobReason.BAD_PORT)
    return port


def _endpoint(address: IPAddress, port: int) -> Endpoint:
    endpoint = Endpoint(address, _port(port))
    # One sealed blob must not make a whole cluster send handshakes to a group, to itself, or to
    # what a cloud has at a link-local address.
    if not endpoint.is_another_host or address.is_link_local:
        raise BlobRefused(BlobReason.BAD_ADDRESS)
    return endpoint
