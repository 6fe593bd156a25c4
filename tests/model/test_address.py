"""Endpoints and prefixes: text and value, exactly; what cannot be used says what to write."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kubespan.model.address import Arrival, Endpoint, Prefix, Source
from kubespan.model.errors import ConfigError

IPV4 = IPv4Address("192.0.2.1")
IPV6 = IPv6Address("2001:db8::1")
LINK_LOCAL = IPv6Address("fe80::1")

ports = st.integers(0, 65535)
ipv4_endpoints = st.builds(Endpoint, st.ip_addresses(v=4), ports)
ipv6_endpoints = st.builds(Endpoint, st.ip_addresses(v=6), ports, st.integers(0, 2**32 - 1))


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("192.0.2.1:51820", Endpoint(IPV4, 51820)),
        ("0.0.0.0:0", Endpoint(IPv4Address(0), 0)),
        ("[2001:db8::1]:65535", Endpoint(IPV6, 65535)),
        ("[fe80::1%3]:51820", Endpoint(LINK_LOCAL, 51820, 3)),
        ("[fe80::1%4294967295]:1", Endpoint(LINK_LOCAL, 1, 2**32 - 1)),
    ],
)
def test_an_endpoint_reads_and_writes_as_wg_does(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(text) == endpoint
    assert str(endpoint) == text


@given(endpoint=ipv4_endpoints | ipv6_endpoints)
def test_reading_an_endpoint_is_the_inverse_of_writing(endpoint: Endpoint) -> None:
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:-1",
        "192.0.2.1:+1",
        "192.0.2.1: 1",
        "192.0.2.1:1_0",
        "192.0.2.1:\N{ARABIC-INDIC DIGIT ONE}",
        "192.0.2.1:" + "9" * 5000,
        "192.0.2.256:1",
        "192.0.2.1%3:1",
        "[192.0.2.1]:1",
        "[]:1",
        "[2001:db8::1]",
        "[2001:db8::1]:",
        "[2001:db8::1:1",
        "2001:db8::1:1",
        "[fe80::1%]:1",
        "[fe80::1%eth0]:1",
        "[fe80::1%-3]:1",
        "[fe80::1%3%4]:1",
        "[fe80::1%4294967296]:1",
        "host.example:51820",
    ],
)
def test_a_bad_endpoint_says_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not an endpoint; write 192\.0\.2\.1:51820"):
        Endpoint.parse(text)


@given(text=st.text(st.sampled_from("0123456789abf:.[]%+-_ x\u0661"), max_size=40))
def test_any_text_is_an_endpoint_or_a_config_error(text: str) -> None:
    try:
        endpoint = Endpoint.parse(text)
    except ConfigError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint


@given(endpoint=ipv4_endpoints, scope_id=st.integers(0, 9))
def test_a_mapped_address_is_the_address_it_stands_for(endpoint: Endpoint, scope_id: int) -> None:
    mapped = IPv6Address(f"::ffff:{endpoint.address}")
    assert Endpoint(mapped, endpoint.port, scope_id) == endpoint
    assert Endpoint.parse(f"[{mapped}]:{endpoint.port}") == endpoint


@pytest.mark.parametrize(
    ("text", "is_another_host"),
    [
        *((f"192.0.2.1:{port}", True) for port in (0, 1)),
        *((text, True) for text in ("169.254.0.1:1", "[2001:db8::1]:1", "[fe80::1%3]:1")),
        *((text, False) for text in ("0.0.0.0:1", "127.0.0.1:1", "224.0.0.1:1", "[fe80::1]:1")),
        *((text, False) for text in ("[::]:1", "[::1]:1", "[ff02::1%3]:1", "255.255.255.255:1")),
        *((f"[::ffff:{text}]:1", False) for text in ("0.0.0.0", "127.0.0.1", "224.0.0.1")),
    ],
)
def test_where_another_host_may_be(text: str, is_another_host: bool) -> None:
    assert Endpoint.parse(text).is_another_host is is_another_host


@pytest.mark.parametrize("text", ["::192.0.2.1", "::fffe:c000:201", "64:ff9b::192.0.2.1"])
def test_other_addresses_with_an_ipv4_part_stay_ipv6(text: str) -> None:
    assert Endpoint(IPv6Address(text), 1).address == IPv6Address(text)


def test_a_cookie_is_bound_to_every_byte_of_address_and_port() -> None:
    assert Endpoint(IPV4, 0x1234).cookie_source() == b"\xc0\x00\x02\x01\x12\x34"
    assert Endpoint(LINK_LOCAL, 1, 3).cookie_source() == LINK_LOCAL.packed + b"\x00\x01"


def test_an_arrival_may_not_know_its_source() -> None:
    endpoint = Endpoint(IPV4, 1)
    known = Arrival(endpoint, Source(IPV4, 2))
    assert known != Arrival(endpoint, None)
    assert known == Arrival(endpoint, Source(IPV4, 2))


@pytest.mark.parametrize(
    ("text", "prefix", "written"),
    [
        ("10.1.2.3/8", Prefix(4, 10 << 24, 8), "10.0.0.0/8"),
        ("255.255.255.255/32", Prefix(4, 2**32 - 1, 32), "255.255.255.255/32"),
        ("255.255.255.255/0", Prefix(4, 0, 0), "0.0.0.0/0"),
        ("fd00:1::1/16", Prefix(6, 0xFD00 << 112, 16), "fd00::/16"),
        ("::/0", Prefix(6, 0, 0), "::/0"),
        ("::1/128", Prefix(6, 1, 128), "::1/128"),
        ("1::/128", Prefix(6, 1 << 112, 128), "1::/128"),
        ("1:2:3:4:5:6:7:8/128", Prefix(6, 0x00010002000300040005000600070008, 128), None),
        ("1:2:3:4:5:6:7::/128", Prefix(6, 0x00010002000300040005000600070000, 128), None),
        ("::FFFF:192.0.2.1/128", Prefix(6, 0xFFFF_C000_0201, 128), None),
    ],
)
def test_a_prefix_reads_and_writes_as_wg_does(
    text: str, prefix: Prefix, written: str | None
) -> None:
    assert Prefix.parse(text) == prefix
    if written is not None:
        assert str(prefix) == written


@given(address=st.ip_addresses(), data=st.data())
def test_a_prefix_is_what_the_standard_library_reads(
    address: IPv4Address | IPv6Address, data: st.DataObject
) -> None:
    length = data.draw(st.integers(0, address.max_prefixlen))
    network = ip_network((address, length), strict=False)
    prefix = Prefix.parse(f"{address}/{length}")
    assert prefix == (address.version, int(network.network_address), length)
    assert prefix == Prefix.parse(f"{address.exploded}/{length}")
    assert prefix.packed() == network.network_address.packed
    assert str(prefix) == str(network)
    assert Prefix.parse(str(prefix)) == prefix


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/08",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0/8",
        "10.0.0.0.0/8",
        "10.0.0.256/8",
        "10.0.0.01/8",
        "10.0.0. 1/8",
        "10.0.0.+1/8",
        "10.0.0.\N{ARABIC-INDIC DIGIT ONE}/8",
        "10.0.0.0/8\n",
        "::/129",
        "::/064",
        ":/64",
        ":::/64",
        "::1::/64",
        ":1::/64",
        "1:/64",
        "1:2:3:4:5:6:7/64",
        "1:2:3:4:5:6:7:8:9/64",
        "1:2:3:4::5:6:7:8/64",
        "::12345/64",
        "12345:12345:3:4:5:6:7:8/128",
        "::g/64",
        "::+1/64",
        "::0x1/64",
        "::1_0/64",
        "::\N{ARABIC-INDIC DIGIT ONE}/64",
        "fe80::1%3/64",
        "::ffff:192.0.2.256/128",
        "::ffff:192.0.2.1%3/128",
    ],
)
def test_a_bad_prefix_says_what_to_write(text: str) -> None:
    with pytest.raises(ConfigError, match=r"; write "):
        Prefix.parse(text)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("10.0.0.1", "write 10.0.0.1/32 for that one address"),
        ("fd00::1", "write fd00::1/128 for that one address"),
        ("10.0.0.0/33", "a length from 0 to 32, such as 10.0.0.0/8"),
        ("fd00::/129", "a length from 0 to 128, such as fd00::/8"),
    ],
)
def test_the_advice_fits_the_family(text: str, advice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Prefix.parse(text)
    assert text in str(caught.value)
    assert advice in str(caught.value)


@given(text=st.text(st.sampled_from("0123456789abcdefABCDEF:.:.:./%+-_ x\u0661"), max_size=44))
@example("1::2/128")
@example("1.2.3.4/32")
def test_no_text_is_read_that_the_standard_library_refuses(text: str) -> None:
    try:
        prefix = Prefix.parse(text)
    except ConfigError:
        return
    assert str(prefix) == str(ip_network(text, strict=False))


@given(
    groups=st.lists(st.sampled_from(["", "0", "1", "fff", "00ff", "g", "12345"]), max_size=10),
    length=st.integers(0, 130),
)
def test_ipv6_text_is_read_exactly_when_the_standard_library_reads_it(
    groups: list[str], length: int
) -> None:
    text = f"{':'.join(groups)}/{length}"
    assume(":" in text)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        with pytest.raises(ConfigError):
            Prefix.parse(text)
    else:
        assert str(Prefix.parse(text)) == str(network)


@pytest.mark.parametrize(
    ("prefix", "address", "contained"),
    [
        ("10.0.0.0/8", "10.255.255.255", True),
        ("10.0.0.0/8", "11.0.0.0", False),
        ("0.0.0.0/0", "203.0.113.7", True),
        ("192.0.2.1/32", "192.0.2.1", True),
        ("192.0.2.1/32", "192.0.2.0", False),
        ("2001:db8::/33", "2001:db8:7fff::1", True),
        ("2001:db8::/33", "2001:db8:8000::1", False),
        ("::/0", "::", True),
        ("::/0", "10.0.0.1", False),
        ("0.0.0.0/0", "::ffff:10.0.0.1", False),
    ],
)
def test_a_prefix_contains_what_shares_its_bits(prefix: str, address: str, contained: bool) -> None:
    assert Prefix.parse(prefix).contains(ip_address(address)) is contained


@pytest.mark.parametrize("text", ["\x1e", "a\nb", "\u2028"])
def test_what_is_wrong_with_a_prefix_is_said_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Prefix.parse(text)
    assert len(str(raised.value).splitlines()) == 1
