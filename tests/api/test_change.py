"""Set requests line by line: what is taken, what is refused and how, and where sections end."""

from __future__ import annotations

import pytest

from kubespan.model.constants import MAX_PEERS
from kubespan.model.errors import ConfigError
from kubespan.model.keys import PrivateKey
from kubespan.wireguard.effects import Event, PeerEvent, SendDatagram
from tests.api.desk import ONE, OTHER, OUR_KEY, REFUSED_MARK, TAKEN_PORT, Desk, section

EINVAL, EPROTO, EADDRINUSE = -22, -71, -98
KEY = "ab" * 32


def initiations(desk: Desk) -> int:
    return sum(
        isinstance(effect, PeerEvent) and effect.event is Event.HANDSHAKE_INITIATION_SENT
        for effect in desk.performed
    )


def running(desk: Desk) -> Desk:
    """Return a desk whose interface is up and has a key."""
    assert desk.set(f"private_key={OUR_KEY.hex()}") == 0
    desk.interface.set_up(desk.now())
    return desk


@pytest.mark.parametrize(
    ("line", "errno"),
    [
        (f"private_key={KEY}", 0),
        (f"private_key={KEY.upper()}", 0),
        ("private_key=" + "0" * 64, 0),
        (f"private_key={KEY[:-1]}", EINVAL),
        (f"private_key={KEY}00", EINVAL),
        ("private_key=" + "x" * 64, EINVAL),
        ("private_key=", EINVAL),
        ("listen_port=0", 0),
        ("listen_port=65535", 0),
        ("listen_port=65536", EINVAL),
        ("listen_port=-1", EINVAL),
        ("listen_port=+1", EINVAL),
        ("listen_port= 1", EINVAL),
        ("listen_port=1_0", EINVAL),
        ("listen_port=٣", EINVAL),
        ("listen_port=", EINVAL),
        ("listen_port=" + "9" * 5000, EINVAL),
        (f"listen_port={TAKEN_PORT}", EADDRINUSE),
        ("fwmark=0", 0),
        ("fwmark=4294967295", 0),
        ("fwmark=4294967296", EINVAL),
        ("fwmark=0x10", EINVAL),
        (f"fwmark={REFUSED_MARK}", EADDRINUSE),
        ("replace_peers=true", 0),
        ("replace_peers=false", EINVAL),
        ("replace_peers=", EINVAL),
        ("allowed_ip=10.0.0.0/8", EINVAL),
        ("endpoint=192.0.2.1:1", EINVAL),
        ("errno=0", EINVAL),
        ("nonsense=1", EINVAL),
        ("=1", EINVAL),
        ("listen_port", EPROTO),
        ("get", EPROTO),
        (" ", EPROTO),
        (f"public_key={KEY}", 0),
        (f"public_key={KEY[2:]}", EINVAL),
    ],
)
def test_what_may_be_said_about_the_device(line: str, errno: int) -> None:
    assert Desk().set(line) == errno


@pytest.mark.parametrize(
    ("line", "errno"),
    [
        (f"preshared_key={KEY}", 0),
        ("preshared_key=" + "0" * 64, 0),
        ("preshared_key=1", EINVAL),
        ("endpoint=192.0.2.1:51820", 0),
        ("endpoint=[2001:db8::1]:51820", 0),
        ("endpoint=[fe80::1%3]:51820", 0),
        ("endpoint=[fe80::1%eth0]:51820", 0),
        ("endpoint=[fe80::1%nowhere]:51820", EINVAL),
        ("endpoint=[fe80::1%]:51820", EINVAL),
        ("endpoint=example.org:51820", EINVAL),
        ("endpoint=192.0.2.1", EINVAL),
        ("endpoint=192.0.2.1:65536", EINVAL),
        ("endpoint=2001:db8::1:51820", EINVAL),
        ("endpoint=", EINVAL),
        ("persistent_keepalive_interval=0", 0),
        ("persistent_keepalive_interval=65535", 0),
        ("persistent_keepalive_interval=65536", EINVAL),
        ("persistent_keepalive_interval=off", EINVAL),
        ("allowed_ip=10.0.0.0/8", 0),
        ("allowed_ip=-10.0.0.0/8", 0),
        ("allowed_ip=--10.0.0.0/8", EINVAL),
        ("allowed_ip=+10.0.0.0/8", EINVAL),
        ("allowed_ip=fd00::/8", 0),
        ("allowed_ip=10.0.0.0", EINVAL),
        ("allowed_ip=10.0.0.0/33", EINVAL),
        ("allowed_ip=", EINVAL),
        ("replace_allowed_ips=true", 0),
        ("replace_allowed_ips=1", EINVAL),
        ("protocol_version=1", 0),
        ("protocol_version=2", EINVAL),
        ("remove=true", 0),
        ("remove=false", EINVAL),
        ("update_only=true", 0),
        ("update_only=yes", EINVAL),
        ("listen_port=1", EINVAL),
        ("fwmark=1", EINVAL),
        ("replace_peers=true", EINVAL),
        ("tx_bytes=1", EINVAL),
        ("allowed_ip", EPROTO),
    ],
)
def test_what_may_be_said_about_a_peer(line: str, errno: int) -> None:
    assert Desk().set(section(), line) == errno


def test_lines_before_one_that_is_refused_stay() -> None:
    desk = Desk()
    lines = (
        "fwmark=3",
        section(),
        "allowed_ip=10.0.0.0/8",
        "allowed_ip=x",
        "allowed_ip=11.0.0.0/8",
    )
    assert desk.set(*lines) == EINVAL
    assert desk.fwmark == 3
    assert desk.prefixes() == ["10.0.0.0/8"]


def test_a_scope_that_is_named_becomes_its_number() -> None:
    desk = Desk()
    assert desk.set(section(), "endpoint=[fe80::1%eth0]:1") == 0
    assert desk.shown("endpoint") == ["[fe80::1%2]:1"]


# Who there is.


def test_a_peer_is_made_once_and_kept() -> None:
    desk = Desk()
    assert desk.set(section(), section(OTHER), "endpoint=192.0.2.1:1", section()) == 0
    assert list(desk.interface.peers) == [ONE, OTHER]
    peer = desk.peer(OTHER)
    assert desk.set(section(OTHER), "persistent_keepalive_interval=5") == 0
    assert desk.peer(OTHER) is peer


def test_a_peer_is_removed_and_the_rest_of_its_section_is_about_nobody() -> None:
    desk = Desk()
    assert desk.set(section(), "allowed_ip=10.0.0.0/8", section(OTHER)) == 0
    assert desk.set(section(), "remove=true", "allowed_ip=11.0.0.0/8", "remove=true") == 0
    assert list(desk.interface.peers) == [OTHER]
    assert list(desk.interface.allowed_ips.entries()) == []


def test_update_only_makes_no_peer() -> None:
    desk = Desk()
    assert desk.set(section(), "update_only=true", "allowed_ip=10.0.0.0/8") == 0
    assert not desk.interface.peers


def test_update_only_changes_a_peer_that_is_there() -> None:
    desk = Desk()
    assert desk.set(section()) == 0
    assert desk.set(section(), "update_only=true", "allowed_ip=10.0.0.0/8") == 0
    assert desk.prefixes() == ["10.0.0.0/8"]


def test_update_only_is_about_its_own_section() -> None:
    desk = Desk()
    assert desk.set(section(), "update_only=true", section(OTHER), "allowed_ip=10.0.0.0/8") == 0
    assert list(desk.interface.peers) == [OTHER]


def test_all_peers_are_replaced() -> None:
    desk = Desk()
    assert desk.set(section(), "allowed_ip=10.0.0.0/8") == 0
    assert desk.set("replace_peers=true", section(OTHER)) == 0
    assert list(desk.interface.peers) == [OTHER]
    assert desk.prefixes(OTHER) == []


def test_our_own_key_is_a_section_about_nobody() -> None:
    desk = Desk()
    assert desk.set(f"private_key={OUR_KEY.hex()}") == 0
    own = f"public_key={OUR_KEY.public_key.hex()}"
    assert desk.set(own, "update_only=true", "allowed_ip=10.0.0.0/8", "endpoint=192.0.2.1:1") == 0
    assert not desk.interface.peers
    assert desk.set(own, "listen_port=1") == EINVAL


def test_a_peer_that_becomes_ourselves_is_removed() -> None:
    desk = Desk()
    assert desk.set(section(OUR_KEY.public_key), section()) == 0
    assert desk.set(f"private_key={OUR_KEY.hex()}") == 0
    assert list(desk.interface.peers) == [ONE]


def test_a_key_can_be_taken_back() -> None:
    desk = Desk()
    assert desk.set(f"private_key={KEY}") == 0
    assert desk.set("private_key=" + "0" * 64) == 0
    assert desk.interface.private_key is None


def test_too_many_peers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()

    def refuse(*_: object) -> None:
        raise ConfigError(f"no more than {MAX_PEERS}")

    monkeypatch.setattr(desk.interface, "add_peer", refuse)
    assert desk.set(section()) == EINVAL


# What belongs to whom.


def test_a_preshared_key_is_set_and_cleared() -> None:
    desk = Desk()
    assert desk.set(section(), f"preshared_key={KEY}") == 0
    assert desk.peer().preshared_key.hex() == KEY
    assert desk.set(section(), "preshared_key=" + "0" * 64) == 0
    assert desk.peer().preshared_key.is_zero


def test_prefixes_are_masked_moved_removed_and_replaced() -> None:
    desk = Desk()
    assert desk.set(section(), "allowed_ip=10.1.2.3/8", "allowed_ip=fd00::1/64") == 0
    assert desk.prefixes() == ["10.0.0.0/8", "fd00::/64"]
    assert desk.set(section(OTHER), "allowed_ip=10.0.0.0/8") == 0
    assert (desk.prefixes(), desk.prefixes(OTHER)) == (["fd00::/64"], ["10.0.0.0/8"])
    assert desk.set(section(), "allowed_ip=-10.0.0.0/8", "allowed_ip=-fd00::/64") == 0
    assert (desk.prefixes(), desk.prefixes(OTHER)) == ([], ["10.0.0.0/8"])
    assert desk.set(section(OTHER), "replace_allowed_ips=true", "allowed_ip=0.0.0.0/0") == 0
    assert desk.prefixes(OTHER) == ["0.0.0.0/0"]


# When it takes effect.


def test_routes_are_published_once_and_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    published = []
    monkeypatch.setattr(desk.interface, "publish", lambda: published.append(desk.prefixes()))
    desk.set(section(), "allowed_ip=10.0.0.0/8", "allowed_ip=11.0.0.0/8")
    desk.set(section(), "allowed_ip=12.0.0.0/8", "allowed_ip=")
    assert [len(prefixes) for prefixes in published] == [2, 3]


def test_a_keepalive_that_is_turned_on_is_sent_at_the_end_of_its_section() -> None:
    desk = running(Desk())
    lines = ("persistent_keepalive_interval=5", "endpoint=192.0.2.1:1")
    assert desk.set(section(), *lines, section(OTHER), "endpoint=192.0.2.2:1") == 0
    assert initiations(desk) == 1
    (sent,) = (effect for effect in desk.performed if isinstance(effect, SendDatagram))
    assert str(sent.endpoint) == "192.0.2.1:1"


def test_a_keepalive_that_was_on_is_not_sent_again() -> None:
    desk = running(Desk())
    lines = (section(), "persistent_keepalive_interval=5", "endpoint=192.0.2.1:1")
    assert desk.set(*lines) == 0
    desk.performed.clear()
    assert desk.set(*lines) == 0
    assert desk.performed == []


def test_nothing_is_sent_while_the_interface_is_down() -> None:
    desk = Desk()
    assert desk.set(f"private_key={PrivateKey(b'k' * 32).hex()}", section()) == 0
    assert desk.set(section(), "persistent_keepalive_interval=1", "endpoint=192.0.2.1:1") == 0
    assert desk.performed == []


def test_a_section_takes_effect_though_a_later_line_is_refused() -> None:
    desk = running(Desk())
    lines = ("persistent_keepalive_interval=5", "endpoint=192.0.2.1:1", "endpoint=nowhere")
    assert desk.set(section(), *lines) == EINVAL
    assert initiations(desk) == 1
