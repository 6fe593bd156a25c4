"""Messages: known answers, what others may write in other ways, what is refused, any rubbish."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.discovery.hostile import BlobReason, BlobRefused
from kubespan.discovery.message import (
    build_affiliate,
    build_endpoint,
    parse_affiliate,
    parse_endpoint,
)
from kubespan.discovery.proto.client_pb2 import Affiliate as Message
from kubespan.discovery.proto.client_pb2 import Endpoint as EndpointMessage
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.keys import PublicKey
from kubespan.model.resources import Affiliate, ControlPlane, KubeSpanAffiliate, MachineType
from tests.discovery import strategies
from tests.discovery.refused import refusal
from tests.vectors.reader import read

known = read("discovery")
MESSAGE = bytes.fromhex(known["affiliate"]["message"])
KEY_TEXT = "PLPNBddmTgHJhtw0vxltq1ZBdPP9RNOEUd5JjJZzBRY="
ADDRESS = IPv6Address("fd50:8d60:4238:6302:f857:23ff:fe21:d1e0")
MAPPED = bytes(10) + b"\xff\xff"
MOST = 2**32 - 1
"""The largest number that a field of a message can hold."""

KUBESPAN = KubeSpanAffiliate(
    public_key=PublicKey.from_base64(KEY_TEXT),
    address=ADDRESS,
    additional_addresses=(Prefix.parse("10.244.3.0/24"),),
    exclude_advertised_networks=(Prefix.parse("192.168.1.0/24"),),
)
KNOWN = Affiliate(
    node_id="29QQTc97U5ZyFTIX33Dp9NqtwxqQI8QI13scCLzffrZ",
    addresses=(IPv4Address("192.168.3.4"), ADDRESS),
    hostname="foo.com",
    nodename="bar",
    operating_system="Talos (v1.14.0)",
    machine_type=MachineType.CONTROL_PLANE,
    kubespan=KUBESPAN,
    control_plane=ControlPlane(6443),
)


def parsed(**fields: Any) -> Affiliate:
    """Parse an affiliate that has these fields, and a name."""
    return parse_affiliate(Message(**{"node_id": "n", **fields}).SerializeToString())


def spanned(**fields: Any) -> KubeSpanAffiliate | None:
    """Parse an affiliate whose KubeSpan block has these fields, and a key."""
    return parsed(kubespan={"public_key": KEY_TEXT, **fields}).kubespan


def endpoint(ip: bytes, port: int = 1) -> Endpoint:
    return parse_endpoint(EndpointMessage(ip=ip, port=port).SerializeToString())


# Known answers, and there and back.


def test_known_affiliate() -> None:
    assert build_affiliate(KNOWN) == MESSAGE
    assert parse_affiliate(MESSAGE) == KNOWN


@pytest.mark.parametrize("vector", known["endpoints"], ids=lambda vector: vector["endpoint"])
def test_known_endpoints(vector: dict[str, str]) -> None:
    message, value = bytes.fromhex(vector["message"]), Endpoint.parse(vector["endpoint"])
    assert build_endpoint(value) == message
    assert parse_endpoint(message) == value


@given(strategies.affiliates)
def test_an_affiliate_is_the_same_there_and_back(affiliate: Affiliate) -> None:
    built = build_affiliate(affiliate)
    assert parse_affiliate(built) == affiliate
    assert build_affiliate(parse_affiliate(built)) == built


@given(strategies.endpoints)
def test_an_endpoint_is_the_same_there_and_back(value: Endpoint) -> None:
    built = build_endpoint(value)
    assert len(built) <= 22
    assert parse_endpoint(built) == value


# What is built.


def test_endpoints_do_not_travel_inside() -> None:
    there = replace(KUBESPAN, endpoints=(Endpoint.parse("192.0.2.1:1"),))
    assert build_affiliate(replace(KNOWN, kubespan=there)) == MESSAGE


def test_defaults_are_left_out() -> None:
    bare = Affiliate("n", kubespan=KubeSpanAffiliate(PublicKey.from_base64(KEY_TEXT), None))
    built = Message.FromString(build_affiliate(bare))
    assert [field.name for field, _ in built.ListFields()] == [
        "node_id",
        "machine_type",
        "kubespan",
    ]
    assert [field.name for field, _ in built.kubespan.ListFields()] == ["public_key"]
    everything = replace(KUBESPAN, additional_addresses=(Prefix.parse("0.0.0.0/0"),))
    built = Message.FromString(build_affiliate(Affiliate("n", kubespan=everything)))
    (network,) = built.kubespan.additional_addresses
    assert [field.name for field, _ in network.ListFields()] == ["ip"]


def test_mapped_addresses_are_never_sent() -> None:
    mapped = IPv6Address("::ffff:192.0.2.1")
    networks = (Prefix(6, int(mapped), 128), Prefix(6, 0xFFFF << 32, 96))
    span = replace(KUBESPAN, address=mapped, additional_addresses=networks)
    built = Message.FromString(build_affiliate(Affiliate("n", (mapped,), kubespan=span)))
    plain = IPv4Address("192.0.2.1").packed
    assert [built.addresses[0], built.kubespan.address] == [plain, plain]
    sent = [(network.ip, network.bits) for network in built.kubespan.additional_addresses]
    assert sent == [(plain, 32), (bytes(4), 0)]
    assert EndpointMessage.FromString(build_endpoint(Endpoint(mapped, 1))).ip == plain


def test_a_zone_stays_at_home() -> None:
    built = Message.FromString(build_affiliate(Affiliate("n", (IPv6Address("fe80::1%eth0"),))))
    assert list(built.addresses) == [IPv6Address("fe80::1").packed]


def test_what_would_be_refused_is_not_sent() -> None:
    def building(**fields: Any) -> BlobReason:
        return refusal(build_affiliate, replace(KNOWN, **fields))

    assert building(node_id="") is BlobReason.WRONG_ID
    assert building(hostname="\x1b[2J") is BlobReason.BAD_TEXT
    assert building(nodename="\ud800") is BlobReason.BAD_TEXT
    assert building(operating_system="x" * 257) is BlobReason.BAD_TEXT
    assert building(addresses=KNOWN.addresses * 129) is BlobReason.TOO_MANY
    assert building(control_plane=ControlPlane(0)) is BlobReason.BAD_PORT
    many = replace(KUBESPAN, exclude_advertised_networks=(Prefix.parse("10.0.0.0/8"),) * 257)
    assert building(kubespan=many) is BlobReason.TOO_MANY


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_an_endpoint_without_a_port_is_not_sent(port: int) -> None:
    nowhere = Endpoint(IPv4Address("192.0.2.1"), port)
    assert refusal(build_endpoint, nowhere) is BlobReason.BAD_PORT


NO_OTHER_HOST = (
    *("0.0.0.0:1", "[::]:1", "224.0.0.1:1", "[ff02::1]:1", "255.255.255.255:1"),
    *("127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "[fe80::1]:1"),
)


@pytest.mark.parametrize("text", [*NO_OTHER_HOST, "[fe80::1%3]:1"])
def test_an_endpoint_that_is_no_other_host_is_not_sent(text: str) -> None:
    assert refusal(build_endpoint, Endpoint.parse(text)) is BlobReason.BAD_ADDRESS


# What is parsed.


def test_fields_may_come_in_any_order_and_with_others() -> None:
    unknown = b"\x7a\x03abc"  # field 15
    kubespan, rest = MESSAGE[-91:-5], MESSAGE[:-91] + MESSAGE[-5:]
    assert kubespan[:2] == b"\x3a\x54"
    assert parse_affiliate(unknown + kubespan + rest + unknown) == KNOWN


def test_numbers_may_be_longer_than_they_need_to_be() -> None:
    long = bytes.fromhex("10 818000 0a 8400 c0000201")
    assert parse_endpoint(long) == Endpoint.parse("192.0.2.1:1")


@pytest.mark.parametrize(
    ("text", "machine_type"),
    [
        ("", MachineType.WORKER),
        ("join", MachineType.WORKER),
        ("worker", MachineType.WORKER),
        ("init", MachineType.INIT),
        ("controlplane", MachineType.CONTROL_PLANE),
        ("unknown", MachineType.UNKNOWN),
        ("Worker", MachineType.UNKNOWN),
        ("\x1b[2J", MachineType.UNKNOWN),
    ],
)
def test_machine_types(text: str, machine_type: MachineType) -> None:
    assert parsed(machine_type=text).machine_type is machine_type


def test_addresses_that_are_none_are_left_out() -> None:
    sizes = parsed(addresses=[bytes(size) for size in range(16)])
    assert sizes.addresses == (IPv4Address("0.0.0.0"),)
    others = [b"\x01" * 16, MAPPED + bytes(4), ADDRESS.packed + b"eth0", MAPPED + b"\x01" * 9]
    assert parsed(addresses=others).addresses == (
        IPv6Address(b"\x01" * 16),
        IPv4Address("0.0.0.0"),
        ADDRESS,
        IPv4Address("1.1.1.1"),
    )


@pytest.mark.parametrize(
    ("packed", "address"),
    [
        (b"", None),
        (b"abc", None),
        (b"\x01" * 4, IPv4Address("1.1.1.1")),
        (MAPPED + b"\x01" * 4, IPv4Address("1.1.1.1")),
        (ADDRESS.packed, ADDRESS),
    ],
)
def test_the_address_inside_the_mesh_may_be_missing(packed: bytes, address: object) -> None:
    kubespan = spanned(address=packed)
    assert kubespan is not None
    assert kubespan.address == address


def test_without_a_key_there_is_no_peer() -> None:
    assert parsed(kubespan={"address": ADDRESS.packed}).kubespan is None
    assert parsed().kubespan is None


@pytest.mark.parametrize("text", ["x", KEY_TEXT[:-1], KEY_TEXT + " ", KEY_TEXT[:-2] + "Z=", "\n"])
def test_a_key_that_is_none_is_refused(text: str) -> None:
    with_key = Message(node_id="n", kubespan={"public_key": text}).SerializeToString()
    assert refusal(parse_affiliate, with_key) is BlobReason.BAD_KEY


@pytest.mark.parametrize(
    ("packed", "bits", "prefix"),
    [
        (bytes([10, 244, 3, 1]), 24, "10.244.3.0/24"),
        (bytes([10, 244, 3, 1]), 32, "10.244.3.1/32"),
        (bytes([10, 244, 3, 1]), 0, "0.0.0.0/0"),
        (b"\xfd" * 16, 8, "fd00::/8"),
        (b"\xfd" * 16 + b"eth0", 0, "::/0"),
        (MAPPED + bytes([10, 244, 3, 1]), 120, "10.244.3.0/24"),
        (MAPPED + bytes([10, 244, 3, 1]), 96, "0.0.0.0/0"),
        (MAPPED + bytes([10, 244, 3, 1]), 95, "::fffe:0:0/95"),
    ],
)
def test_networks(packed: bytes, bits: int, prefix: str) -> None:
    networks = [{"ip": packed, "bits": bits}]
    expected = (Prefix.parse(prefix),)
    kubespan = spanned(additional_addresses=networks, exclude_advertised_addresses=networks)
    assert kubespan is not None
    assert kubespan.additional_addresses == expected
    assert kubespan.exclude_advertised_networks == expected


@pytest.mark.parametrize("field", ["additional_addresses", "exclude_advertised_addresses"])
@pytest.mark.parametrize(
    ("packed", "bits"),
    [(b"", 0), (b"abc", 0), (bytes(15), 1), (bytes(4), 33), (bytes(16), 129), (b"", MOST)],
)
def test_a_network_that_is_none_refuses_its_owner(field: str, packed: bytes, bits: int) -> None:
    network = {"ip": packed, "bits": bits}
    assert refusal(spanned, **{field: [network]}) is BlobReason.BAD_PREFIX


def test_the_port_of_a_control_plane() -> None:
    assert parsed(control_plane={"api_server_port": 65535}).control_plane == ControlPlane(65535)
    assert parsed(control_plane={}).control_plane is None
    for port in (65536, MOST):
        wrong = Message(node_id="n", control_plane={"api_server_port": port}).SerializeToString()
        assert refusal(parse_affiliate, wrong) is BlobReason.BAD_PORT


@pytest.mark.parametrize("field", ["node_id", "hostname", "nodename", "operating_system"])
@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J",
        "a\nb",
        "a\x00",
        "\x7f",
        "\x9b31m",
        "\u202egpj.exe",
        "\u2028",
        "x" * 257,
        "é" * 129,
    ],
)
def test_names_do_no_harm_to_a_terminal(field: str, text: str) -> None:
    assert refusal(parsed, **{field: text}) is BlobReason.BAD_TEXT


def test_names_may_be_of_any_script() -> None:
    named = parsed(node_id="é" * 128, hostname="узел-1", operating_system="Talos (v1.14.0)")
    assert (named.hostname, named.operating_system) == ("узел-1", "Talos (v1.14.0)")


def test_an_affiliate_without_an_id_is_refused() -> None:
    assert refusal(parse_affiliate, b"") is BlobReason.WRONG_ID
    assert refusal(parsed, node_id="") is BlobReason.WRONG_ID


def test_long_lists_are_refused() -> None:
    assert len(parsed(addresses=[bytes(4)] * 256).addresses) == 256
    assert refusal(parsed, addresses=[b""] * 257) is BlobReason.TOO_MANY
    for field in ("additional_addresses", "exclude_advertised_addresses"):
        empty: list[dict[str, object]] = [{}] * 257
        assert refusal(spanned, **{field: empty}) is BlobReason.TOO_MANY


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05n", b"\x0a\x01\xff", b"\x0b" * 500])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    assert refusal(parse_affiliate, data) is BlobReason.NOT_A_MESSAGE


@pytest.mark.parametrize(
    ("ip", "text"),
    [
        (bytes([192, 0, 2, 1]), "192.0.2.1:1"),
        (ADDRESS.packed, f"[{ADDRESS}]:1"),
        (MAPPED + bytes([192, 0, 2, 1]), "192.0.2.1:1"),
        (ADDRESS.packed + b"eth0", f"[{ADDRESS}]:1"),
    ],
)
def test_endpoints(ip: bytes, text: str) -> None:
    assert endpoint(ip) == Endpoint.parse(text)


@pytest.mark.parametrize(
    "ip",
    [
        *(b"", b"abc", bytes(4), bytes(15), bytes(16), b"\xe0\0\0\x01", MAPPED + bytes(4)),
        bytes([169, 254, 169, 254]),
    ],
)
def test_an_endpoint_must_be_a_host(ip: bytes) -> None:
    assert refusal(endpoint, ip) is BlobReason.BAD_ADDRESS


@pytest.mark.parametrize("text", NO_OTHER_HOST)
@pytest.mark.parametrize("zone", [b"", b"eth0"])
def test_an_endpoint_must_be_another_host(text: str, zone: bytes) -> None:
    """Whoever has the secret could else have every member call itself, or a whole link."""
    packed = Endpoint.parse(text).address.packed
    assert refusal(endpoint, packed + zone * (len(packed) == 16)) is BlobReason.BAD_ADDRESS


@pytest.mark.parametrize("port", [0, 65536, MOST])
def test_an_endpoint_must_have_a_port(port: int) -> None:
    assert refusal(endpoint, ADDRESS.packed, port) is BlobReason.BAD_PORT


def test_an_endpoint_must_be_a_message() -> None:
    assert refusal(parse_endpoint, b"\xff") is BlobReason.NOT_A_MESSAGE


# Anything.


@given(st.binary(max_size=200))
def test_rubbish_is_no_affiliate_and_nothing_worse(data: bytes) -> None:
    try:
        value = parse_affiliate(data)
    except BlobRefused:
        return
    assert parse_affiliate(build_affiliate(value)) == value


@given(st.binary(max_size=31))
def test_rubbish_is_no_endpoint_and_nothing_worse(data: bytes) -> None:
    try:
        value = parse_endpoint(data)
    except BlobRefused:
        return
    assert parse_endpoint(build_endpoint(value)) == value


@given(st.data())
def test_a_damaged_affiliate_is_refused_or_another_one(data: st.DataObject) -> None:
    damaged = bytearray(MESSAGE)
    for place in data.draw(st.lists(st.integers(0, len(MESSAGE) - 1), min_size=1, max_size=3)):
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        value = parse_affiliate(bytes(damaged))
    except BlobRefused:
        return
    assert parse_affiliate(build_affiliate(value)) == value
