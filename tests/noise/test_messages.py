"""Messages: each field at its place, each datagram exactly of its type and size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.drop import DropReason
from kubespan.model.errors import ProtocolError
from kubespan.model.keys import PublicKey
from kubespan.noise.messages import (
    CookieReply,
    Initiation,
    MessageType,
    Response,
    Transport,
    message_type,
)
from tests.vectors.reader import read

known = read("handshake")
DATAGRAMS = {
    MessageType.INITIATION: bytes.fromhex(known["initiation"]),
    MessageType.RESPONSE: bytes.fromhex(known["response"]),
    MessageType.COOKIE_REPLY: bytes.fromhex(known["cookie_reply"]["datagram"]),
    MessageType.TRANSPORT: bytes.fromhex(known["data"]["datagram"]),
}
PARSERS: dict[MessageType, Callable[[bytes], Any]] = {
    MessageType.INITIATION: Initiation.parse,
    MessageType.RESPONSE: Response.parse,
    MessageType.COOKIE_REPLY: CookieReply.parse,
    MessageType.TRANSPORT: Transport.parse,
}
every_type = pytest.mark.parametrize("kind", MessageType)


def octets(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


indices = st.integers(0, 2**32 - 1)
public_keys = st.builds(PublicKey, octets(32))
messages: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        Initiation, indices, public_keys, octets(48), octets(28), mac1=octets(16), mac2=octets(16)
    ),
    st.builds(
        Response, indices, indices, public_keys, octets(16), mac1=octets(16), mac2=octets(16)
    ),
    st.builds(CookieReply, indices, octets(24), octets(32)),
    st.builds(Transport, indices, st.integers(0, 2**64 - 1), st.binary(min_size=16)),
)
near_messages = st.builds(
    lambda word, rest: word.to_bytes(4, "little") + rest,
    st.integers(0, 5) | indices,
    st.sampled_from([28, 60, 88, 144]).flatmap(octets) | st.binary(max_size=200),
)


@given(message=messages)
def test_parsing_is_the_inverse_of_building(message: Any) -> None:
    assert type(message).parse(message.build()) == message


@given(datagram=st.binary(max_size=200) | near_messages)
def test_any_bytes_are_a_message_or_a_protocol_error(datagram: bytes) -> None:
    try:
        kind = message_type(datagram)
    except ProtocolError:
        for parse in PARSERS.values():
            with pytest.raises(ProtocolError):
                parse(datagram)
    else:
        assert PARSERS[kind](datagram).build() == datagram


@every_type
def test_the_first_word_tells_the_type(kind: MessageType) -> None:
    assert message_type(DATAGRAMS[kind]) is kind


@every_type
@pytest.mark.parametrize("position", [1, 2, 3])
def test_reserved_bytes_are_zero(kind: MessageType, position: int) -> None:
    datagram = bytearray(DATAGRAMS[kind])
    datagram[position] = 1
    with pytest.raises(ProtocolError) as caught:
        message_type(bytes(datagram))
    assert caught.value.reason is DropReason.UNKNOWN_TYPE


@pytest.mark.parametrize("word", [0, 5, 255, 0x01000000])
def test_other_words_are_unknown(word: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        message_type(word.to_bytes(4, "little") + bytes(144))
    assert caught.value.reason is DropReason.UNKNOWN_TYPE


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (MessageType.INITIATION, {148}),
        (MessageType.RESPONSE, {92}),
        (MessageType.COOKIE_REPLY, {64}),
        (MessageType.TRANSPORT, set(range(32, 200))),
    ],
)
def test_a_type_has_its_sizes(kind: MessageType, sizes: set[int]) -> None:
    for size in range(4, 200):
        datagram = kind.to_bytes(4, "little").ljust(size, b"\0")
        if size in sizes:
            assert message_type(datagram) is kind
        else:
            with pytest.raises(ProtocolError) as caught:
                message_type(datagram)
            assert caught.value.reason is DropReason.MALFORMED


@pytest.mark.parametrize("size", range(4))
def test_less_than_a_word_is_malformed(size: int) -> None:
    with pytest.raises(ProtocolError) as caught:
        message_type(b"\x04\0\0\0"[:size])
    assert caught.value.reason is DropReason.MALFORMED


@every_type
def test_a_parser_takes_only_its_own_message(kind: MessageType) -> None:
    for other, parse in PARSERS.items():
        if other is not kind:
            with pytest.raises(ProtocolError) as caught:
                parse(DATAGRAMS[kind])
            assert caught.value.reason is DropReason.MALFORMED


def test_the_fields_of_the_known_initiation() -> None:
    datagram = DATAGRAMS[MessageType.INITIATION]
    assert Initiation.parse(datagram) == Initiation(
        sender_index=known["initiator_index"],
        ephemeral=PublicKey.from_hex(known["keys"]["initiator_ephemeral"]["public"]),
        encrypted_static=datagram[40:88],
        encrypted_timestamp=datagram[88:116],
        mac1=datagram[116:132],
        mac2=bytes(16),
    )


def test_the_fields_of_the_known_response() -> None:
    datagram = DATAGRAMS[MessageType.RESPONSE]
    assert Response.parse(datagram) == Response(
        sender_index=known["responder_index"],
        receiver_index=known["initiator_index"],
        ephemeral=PublicKey.from_hex(known["keys"]["responder_ephemeral"]["public"]),
        encrypted_empty=datagram[44:60],
        mac1=datagram[60:76],
        mac2=bytes(16),
    )


def test_the_fields_of_the_known_cookie_reply() -> None:
    datagram = DATAGRAMS[MessageType.COOKIE_REPLY]
    assert CookieReply.parse(datagram) == CookieReply(
        receiver_index=known["initiator_index"],
        nonce=bytes.fromhex(known["cookie_reply"]["nonce"]),
        encrypted_cookie=datagram[32:],
    )


def test_the_fields_of_the_known_transport() -> None:
    datagram = DATAGRAMS[MessageType.TRANSPORT]
    assert Transport.parse(datagram) == Transport(known["initiator_index"], 1, datagram[16:])
