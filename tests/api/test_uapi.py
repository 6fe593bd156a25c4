"""The configuration protocol as a client meets it: cutting, answering, dumping, and any rubbish."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.api import uapi
from kubespan.api.uapi import NotARequest, RequestReader, answer
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.errors import InternalError
from kubespan.model.keys import PresharedKey
from tests.api.desk import ONE, OTHER, OUR_KEY, Desk, section

ERRNOS = {0, -5, -22, -71, -98, -55}


# Cutting.


@given(st.lists(st.integers(0, 60)))
def test_it_does_not_matter_how_requests_are_split(cuts: list[int]) -> None:
    stream = b"set=1\nlisten_port=1\n\nget=1\n\nset=1\n\nget=1\n\n"
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    reader = RequestReader()
    found = [r for a, b in pairwise(places) for r in reader.requests(stream[a:b])]
    assert found == ["set=1\nlisten_port=1\n", "get=1\n", "set=1\n", "get=1\n"]
    assert reader.rest() == ""


@pytest.mark.parametrize("rubbish", [b"\n", b"get=2\n", b"foo", b"get=1 \n", b" get=1\n", b"\xff"])
def test_the_first_line_is_an_operation(rubbish: bytes) -> None:
    with pytest.raises(NotARequest):
        list(RequestReader().requests(rubbish))


def test_requests_before_rubbish_are_found() -> None:
    reader = RequestReader().requests(b"get=1\n\nhello")
    assert next(reader) == "get=1\n"
    with pytest.raises(NotARequest):
        next(reader)


def test_an_operation_may_come_in_single_bytes() -> None:
    reader = RequestReader()
    assert [r for byte in b"get=1\n\n" for r in reader.requests(bytes((byte,)))] == ["get=1\n"]


def test_a_request_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uapi, "LONGEST_REQUEST", 100)
    reader = RequestReader()
    assert list(reader.requests(b"set=1\n" + b"a" * 94)) == []
    with pytest.raises(NotARequest):
        list(reader.requests(b"a"))


def test_the_rest_is_what_has_no_blank_line() -> None:
    reader = RequestReader()
    assert list(reader.requests(b"get=1\n\nset=1\nfwmark=1\n")) == ["get=1\n"]
    assert reader.rest() == "set=1\nfwmark=1\n"


# Answering.


def test_an_empty_set_changes_nothing() -> None:
    assert Desk().set() == 0


def test_the_end_of_the_connection_ends_a_request() -> None:
    desk = Desk()
    assert answer("set=1\nfwmark=5\n", desk).text == "errno=0\n\n"
    assert desk.fwmark == 5


def test_a_line_that_the_end_cut_short_is_refused() -> None:
    desk = Desk()
    reply = answer("set=1\nfwmark=5\nlisten_port=51", desk)
    assert reply.text == "errno=-71\n\n"
    assert "line 3" in reply.refusal
    assert (desk.fwmark, desk.listen_port) == (5, 0)


def test_a_get_has_no_other_lines() -> None:
    assert Desk().request("get=1", "fwmark=1").text == "errno=-22\n\n"


def test_what_is_wrong_is_told_with_its_line() -> None:
    reply = Desk().request("set=1", "fwmark=1", section(), "allowed_ip=10.0.0.0/33")
    assert reply.text == "errno=-22\n\n"
    assert reply.refusal.startswith("line 4: allowed_ip: '10.0.0.0/33'")


@pytest.mark.parametrize("line", ["private_key:aabbcc=1", "ab cd=1", f"{'a' * 40}=1"])
def test_what_might_be_a_secret_is_not_repeated(line: str) -> None:
    refusal = Desk().request("set=1", line).refusal
    assert line.partition("=")[0] not in refusal


def test_a_key_that_is_malformed_is_not_repeated() -> None:
    secret = OUR_KEY.hex()[:-1]
    reply = Desk().request("set=1", f"private_key={secret}")
    assert reply.text == "errno=-22\n\n"
    assert secret not in reply.refusal


def test_what_is_nobodys_fault_has_an_errno_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()

    def fail(_mark: int) -> None:
        raise InternalError("broken")

    monkeypatch.setattr(desk, "set_fwmark", fail)
    assert desk.set("fwmark=1") == -55


# Dumping.


def test_an_unconfigured_device_shows_only_counters() -> None:
    assert Desk().get() == [("kubespan_drop_bad_tag", "7")]


def test_a_dump_has_all_keys_in_order() -> None:
    desk = Desk()
    key = PresharedKey(bytes([9]) * 32)
    assert desk.set(f"private_key={OUR_KEY.hex()}", "listen_port=51820", "fwmark=5") == 0
    lines = (f"preshared_key={key.hex()}", "endpoint=192.0.2.1:7", "allowed_ip=10.1.0.0/16")
    assert desk.set(section(), *lines, "allowed_ip=fd00::/8", section(OTHER)) == 0
    desk.peer().last_handshake_wall_ns = 5_000_000_007
    assert desk.get() == [
        ("private_key", OUR_KEY.hex()),
        ("listen_port", "51820"),
        ("fwmark", "5"),
        ("kubespan_drop_bad_tag", "7"),
        ("public_key", ONE.hex()),
        ("preshared_key", key.hex()),
        ("protocol_version", "1"),
        ("endpoint", "192.0.2.1:7"),
        ("last_handshake_time_sec", "5"),
        ("last_handshake_time_nsec", "7"),
        ("tx_bytes", "0"),
        ("rx_bytes", "0"),
        ("persistent_keepalive_interval", "0"),
        ("allowed_ip", "10.1.0.0/16"),
        ("allowed_ip", "fd00::/8"),
        ("public_key", OTHER.hex()),
        ("preshared_key", "0" * 64),
        ("protocol_version", "1"),
        ("last_handshake_time_sec", "0"),
        ("last_handshake_time_nsec", "0"),
        ("tx_bytes", "0"),
        ("rx_bytes", "0"),
        ("persistent_keepalive_interval", "0"),
    ]


def test_keys_are_clamped_and_lower_case() -> None:
    desk = Desk()
    assert desk.set(f"private_key={'FF' * 32}") == 0
    assert desk.shown("private_key") == [f"f8{'ff' * 30}7f"]


def test_a_mapped_endpoint_is_shown_as_what_it_is() -> None:
    desk = Desk()
    assert desk.set(section(), "endpoint=[::ffff:192.0.2.1]:9") == 0
    assert desk.shown("endpoint") == ["192.0.2.1:9"]


# Any rubbish.

WORDS = st.sampled_from(
    [
        "private_key", "listen_port", "fwmark", "replace_peers", "public_key", "update_only",
        "remove", "preshared_key", "endpoint", "persistent_keepalive_interval",
        "replace_allowed_ips", "allowed_ip", "protocol_version", "errno", "",
    ]
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=70),
    st.sampled_from(["true", "1", "0", "10.0.0.0/8", "-10.0.0.0/8", "fd00::/8", "[::1%2]:1"]),
    st.sampled_from([ONE.hex(), OTHER.hex(), OUR_KEY.hex(), "0" * 64, "[fe80::1%eth0]:1"]),
    st.integers().map(str),
    st.ip_addresses().map(lambda address: str(Endpoint(address, 1))),
    st.builds(Prefix, st.just(4), st.integers(0, 2**32 - 1), st.integers(0, 40)).map(str),
)
LINES = st.lists(st.one_of(st.text(max_size=40), st.builds("{}={}".format, WORDS, VALUES)))


@given(LINES)
def test_rubbish_is_answered_with_an_errno_that_tools_know(lines: list[str]) -> None:
    desk = Desk()
    text = answer("\n".join(("set=1", *lines, "")), desk).text
    assert text.startswith("errno=")
    assert int(text[6:-2]) in ERRNOS
    # Whatever came of it, it can be read back and set again.
    assert Desk().set(*[f"{k}={v}" for k, v in desk.get() if _can_be_set(k)]) == 0


def _can_be_set(key: str) -> bool:
    return not key.startswith(("kubespan_", "last_handshake", "tx_", "rx_"))


@given(st.binary())
def test_no_bytes_make_it_fail(data: bytes) -> None:
    desk = Desk()
    try:
        for request in RequestReader().requests(b"set=1\n" + data + b"\n\n"):
            answer(request, desk)
    except NotARequest:
        return
