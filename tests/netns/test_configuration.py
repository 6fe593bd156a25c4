"""What `wg` and the control protocol say and do, on interfaces that are alive."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.netns.lab import NO_KEY, KeyPair, Laboratory, Tunnel, receive_answers
from tests.netns.namespace import CommandFailedError, run
from tests.netns.topology import LEFT_PORT, RIGHT_PORT, Pair
from tests.netns.traffic import burst_udp
from tests.peers import Program

pytestmark = pytest.mark.netns

Note = Callable[[str, str], None]
EPROTO, EINVAL, EADDRINUSE = -71, -22, -98
MANY_PREFIXES = 130_560


@pytest.fixture
def alone(lab: Laboratory, program: Program) -> Tunnel:
    """One interface by itself, started and without a key."""
    return lab.tunnel(program, lab.namespace("alone")).start()


@pytest.fixture
def established(hosts: Pair) -> Pair:
    """Two hosts that have a session; `unbroken` says whether they still have the same one."""
    hosts.up()
    hosts.left.namespace.ping(hosts.right.inner4)
    return hosts


def write(lab: Laboratory, *lines: str) -> str:
    """Write a configuration file and return its path."""
    path = lab.folder / f"{time.monotonic_ns()}.conf"
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def hexadecimal(key: str) -> str:
    """Turn a key of `wg` into one of the control protocol."""
    return base64.b64decode(key).hex()


def result(answer: str) -> int:
    """Return the number that an answer ends with."""
    assert answer.endswith("\n\n")
    name, _, number = answer.rstrip("\n").rpartition("\n")[2].partition("=")
    assert name == "errno"
    return int(number)


# ---------------------------------------------------------------- much at once


def many_prefixes() -> Iterator[str]:
    """Yield 65,280 prefixes of each family."""
    for high in range(255):
        for low in range(256):
            yield f"{high}.{low}.0.0/16"
            yield f"fd00:{high + 1:x}:{low + 1:x}::/48"


def test_a_peer_with_130560_prefixes(lab: Laboratory, alone: Tunnel, measured: Note) -> None:
    """They load, and come back to the last one."""
    public = KeyPair.generate().public
    wanted = list(many_prefixes())
    assert len(wanted) == MANY_PREFIXES
    allowed = (f"AllowedIPs={','.join(wanted[i : i + 20])}" for i in range(0, len(wanted), 20))
    path = write(lab, "[Peer]", f"PublicKey={public}", *allowed)
    load, dump = timed(lambda: run("wg", "setconf", alone.name, path)), time.monotonic()
    (row,) = alone.show("allowed-ips")
    measured("130,560 prefixes", f"load {load:.2f} s, dump {time.monotonic() - dump:.2f} s")
    assert len(row) == MANY_PREFIXES + 1
    assert row[0] == public
    assert set(row[1:]) == set(wanted)


def timed(action: Callable[[], object]) -> float:
    """Return how many seconds something takes."""
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def test_a_peer_with_forty_times_fifty_two_prefixes(lab: Laboratory, alone: Tunnel) -> None:
    """One line for each of them, of one peer."""
    public = KeyPair.generate().public
    prefixes = [f"{a}.{b}.0.0/16" for a in range(1, 41) for b in range(1, 53)]
    allowed = (f"AllowedIPs={prefix}" for prefix in prefixes)
    run("wg", "setconf", alone.name, write(lab, "[Peer]", f"PublicKey={public}", *allowed))
    (row,) = alone.show("allowed-ips")
    assert set(row[1:]) == set(prefixes)
    assert len(row) == 40 * 52 + 1


def test_thirty_peers_in_the_order_of_their_creation(lab: Laboratory, alone: Tunnel) -> None:
    """Peers without prefixes, the last with one; they are listed as they were made."""
    keys = [KeyPair.generate().public for _ in range(30)]
    lines = [line for key in keys for line in ("[Peer]", f"PublicKey={key}")]
    run("wg", "setconf", alone.name, write(lab, *lines, "AllowedIPs=::/0"))
    assert alone.show("peers") == [[key] for key in keys]
    assert alone.show("allowed-ips") == [
        *([key, "(none)"] for key in keys[:-1]),
        [keys[-1], "::/0"],
    ]


def test_many_prefixes_on_the_second_of_two_peers(lab: Laboratory, alone: Tunnel) -> None:
    """197 prefixes of the one do not disturb the other, which has none."""
    first, second = KeyPair.generate().public, KeyPair.generate().public
    prefixes = [f"fd00:{number:x}::/32" for number in range(1, 198)]
    allowed = (f"AllowedIPs={prefix}" for prefix in prefixes)
    lines = ("[Peer]", f"PublicKey={first}", "[Peer]", f"PublicKey={second}", *allowed)
    run("wg", "setconf", alone.name, write(lab, *lines))
    shown = {row[0]: set(row[1:]) for row in alone.show("allowed-ips")}
    assert shown == {first: {"(none)"}, second: set(prefixes)}


# ---------------------------------------------------------------- wg


@pytest.mark.parametrize("words", [("show",), ("showconf",), ("set",)])
def test_an_unknown_interface_is_an_error(words: tuple[str, ...]) -> None:
    """`wg` says so and fails."""
    with pytest.raises(CommandFailedError, match=r"[Uu]nable to (access|modify) interface"):
        run("wg", *words, "does-not-exist", *(("listen-port", "1") if words == ("set",) else ()))


def test_showconf_and_setconf_are_inverse(lab: Laboratory, established: Pair) -> None:
    """What one tunnel shows, another one takes, and then shows the same."""
    left, right = established.left, established.right
    left.set("fwmark", "0x51820")
    left.peer(right.keys.public, "persistent-keepalive", "25", preshared=KeyPair.generate().private)
    left.peer(KeyPair.generate().public, "allowed-ips", "10.1.0.0/16,fd01::/64,0.0.0.0/0")
    shown = run("wg", "showconf", left.name)
    other = lab.tunnel(left.program, lab.namespace("other")).start()
    run("wg", "setconf", other.name, write(lab, shown))
    assert sections(run("wg", "showconf", other.name)) == sections(shown)


def sections(configuration: str) -> list[set[str]]:
    """Return the sections of a configuration, prefixes apart, because their order is free."""
    found: list[set[str]] = []
    for line in configuration.replace(", ", "\n").splitlines():
        if line.startswith("["):
            found.append(set())
        elif line:
            found[-1].add(line.removeprefix("AllowedIPs = "))
    return found


def test_setconf_replaces_everything(lab: Laboratory, established: Pair) -> None:
    """A file without an interface section takes key, port and peers away."""
    left, public = established.left, KeyPair.generate().public
    run("wg", "setconf", left.name, write(lab, "[Peer]", f"PublicKey={public}"))
    assert left.show("peers") == [[public]]
    assert left.shown("private-key") == "(none)"
    assert left.shown("fwmark") == "off"


def test_addconf_adds(lab: Laboratory, established: Pair) -> None:
    """Another peer comes; the first one's session goes on."""
    left, right = established.left, established.right
    public = KeyPair.generate().public
    with unbroken(established):
        added = write(lab, "[Peer]", f"PublicKey={public}", "AllowedIPs=10.1.0.0/16")
        run("wg", "addconf", left.name, added)
    assert left.show("peers") == [[right.keys.public], [public]]


def test_syncconf_spares_sessions(lab: Laboratory, established: Pair) -> None:
    """Peers come, go and change by a file; the one that stays keeps its session."""
    left, right = established.left, established.right
    leaving, coming = KeyPair.generate().public, KeyPair.generate().public
    left.peer(leaving, "allowed-ips", "10.1.0.0/16")
    configuration = run("wg", "showconf", left.name).replace(leaving, coming)
    with unbroken(established):
        run("wg", "syncconf", left.name, write(lab, configuration))
    assert {row[0] for row in left.show("peers")} == {right.keys.public, coming}


@contextmanager
def unbroken(pair: Pair) -> Iterator[None]:
    """Within the context the pair keeps its session, and afterwards loses not one datagram."""
    left, right = pair.left, pair.right
    handshake = last_handshake(left)
    received, sent = left.transfer(right.keys.public)
    yield
    burst_udp(left.namespace, right.namespace, right.inner4)
    burst_udp(right.namespace, left.namespace, left.inner4)
    assert last_handshake(left) == handshake
    now_received, now_sent = left.transfer(right.keys.public)
    assert now_received > received
    assert now_sent > sent


def last_handshake(tunnel: Tunnel) -> list[str]:
    """Return when the handshakes were that have been, to the nanosecond."""
    lines = tunnel.ask("get=1\n\n").splitlines()
    return [line for line in lines if line.startswith("last_handshake") and line[-2:] != "=0"]


# ---------------------------------------------------------------- changes while in use


def test_changes_spare_the_session(established: Pair) -> None:
    """Allowed addresses, keepalive, mark, port and other peers change; nothing is lost."""
    left, right = established.left, established.right
    both = f"{right.inner4}/32,{right.inner6}/128"
    with unbroken(established):
        left.peer(right.keys.public, "allowed-ips", both)
        left.peer(right.keys.public, "allowed-ips", f"{both},10.1.0.0/16")
        left.peer(right.keys.public, "persistent-keepalive", "20")
        left.peer(right.keys.public, "endpoint", f"192.0.2.2:{RIGHT_PORT}")
        left.set("fwmark", "7")
        left.set("listen-port", "4321")
    assert right.shown("endpoints", left.keys.public) == "192.0.2.1:4321"


def test_overlapping_prefixes_go_to_whom_they_were_given_last(alone: Tunnel) -> None:
    """A prefix has one owner; replacing one peer's prefixes over and over takes no other's."""
    first, second = KeyPair.generate().public, KeyPair.generate().public
    alone.peer(first, "allowed-ips", "10.0.0.0/8,10.1.0.0/16,fd00::/8")
    for _ in range(20):
        alone.peer(second, "allowed-ips", "10.1.0.0/16,10.1.2.3/24")
    shown = {row[0]: set(row[1:]) for row in alone.show("allowed-ips")}
    assert shown == {first: {"10.0.0.0/8", "fd00::/8"}, second: {"10.1.0.0/16", "10.1.2.0/24"}}


def test_a_preshared_key_comes_and_goes(lab: Laboratory, alone: Tunnel) -> None:
    """Empty files take the secrets away, and that is how it is shown."""
    public, empty = KeyPair.generate().public, write(lab)
    alone.set_key()
    alone.peer(public, preshared=KeyPair.generate().private)
    assert alone.shown("preshared-keys", public) != "(none)"
    alone.set("private-key", empty, "peer", public, "preshared-key", empty)
    assert alone.shown("preshared-keys", public) == "(none)"
    assert alone.shown("private-key") == "(none)"
    assert alone.shown("public-key") == "(none)"


def test_a_peer_may_not_be_oneself(alone: Tunnel) -> None:
    """It is not taken in, it goes when the key comes, and is welcome after another key."""
    own, other = KeyPair.generate(), KeyPair.generate()
    alone.peer(own.public, "allowed-ips", "10.1.0.0/16")
    alone.set_key(own)
    assert alone.show("peers") == []
    alone.peer(own.public, "allowed-ips", "10.1.0.0/16")
    assert alone.show("peers") == []
    alone.set_key(other)
    alone.peer(own.public, "allowed-ips", "10.1.0.0/16")
    assert alone.show("peers") == [[own.public]]


def test_a_private_key_is_clamped(alone: Tunnel) -> None:
    """All bits set read back as the key that is really used."""
    alone.set_key(KeyPair("/" * 42 + "8=", ""))
    assert alone.shown("private-key") == "+P" + "/" * 39 + "38="


def test_a_change_of_keys_is_followed_at_once(established: Pair) -> None:
    """Left gets a new key, and right a new peer for it; the next ping passes."""
    left, right = established.left, established.right
    old = left.keys.public
    left.set_key(KeyPair.generate())
    right.peer(old, "remove")
    allowed = ("allowed-ips", f"{left.inner4}/32,{left.inner6}/128")
    right.peer(left.keys.public, *allowed)
    left.namespace.ping(right.inner4)
    right.namespace.ping(left.inner6)
    assert right.show("peers") == [[left.keys.public]]


def test_a_removed_peer_is_not_heard(established: Pair) -> None:
    """Nothing passes either way, and the peer may come back."""
    left, right = established.left, established.right
    right.peer(left.keys.public, "remove")
    assert left.namespace.answers(right.inner4) == 0
    assert right.show("peers") == []
    there = ("endpoint", f"192.0.2.1:{LEFT_PORT}", "allowed-ips", f"{left.inner4}/32")
    right.peer(left.keys.public, *there)
    right.namespace.ping(left.inner4)


def test_a_taken_port_is_refused_and_the_old_one_kept(established: Pair) -> None:
    """The error names the reason, and the tunnel goes on where it was."""
    left, right = established.left, established.right
    with left.born.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 5555))
        assert result(left.ask("set=1\nlisten_port=5555\n\n")) == EADDRINUSE
    assert left.shown("listen-port") == str(LEFT_PORT)
    right.namespace.ping(left.inner4)


def test_a_port_is_chosen_when_none_is_given(hosts: Pair) -> None:
    """After up the interface tells which."""
    hosts.left.set("listen-port", "0")
    hosts.up()
    port = hosts.left.shown("listen-port")
    assert int(port) > 0
    heard = hosts.left.born.udp_ports()
    assert int(port) in heard
    hosts.left.namespace.ping(hosts.right.inner4)


# ---------------------------------------------------------------- the protocol itself


def test_a_minus_takes_a_prefix_away(alone: Tunnel) -> None:
    """Only from its owner; a foreign or unknown one is left alone."""
    first, second = KeyPair.generate().public, KeyPair.generate().public
    alone.peer(first, "allowed-ips", "10.1.0.0/16,10.2.0.0/16")
    alone.peer(second, "allowed-ips", "10.3.0.0/16")
    take = "allowed_ip=-10.1.0.0/16\nallowed_ip=-10.3.0.0/16\nallowed_ip=-10.9.0.0/16\n"
    assert result(alone.ask(f"set=1\npublic_key={hexadecimal(first)}\n{take}\n")) == 0
    assert alone.shown("allowed-ips", first) == "10.2.0.0/16"
    assert alone.shown("allowed-ips", second) == "10.3.0.0/16"


def test_update_only_makes_no_peer(alone: Tunnel) -> None:
    """An unknown peer's section is left out, a known one's counts."""
    known, unknown = KeyPair.generate().public, KeyPair.generate().public
    alone.peer(known, "allowed-ips", "10.1.0.0/16")
    section = "public_key={}\nupdate_only=true\npersistent_keepalive_interval=5\n"
    request = "".join(section.format(hexadecimal(key)) for key in (unknown, known))
    assert result(alone.ask(f"set=1\n{request}\n")) == 0
    assert alone.show("persistent-keepalive") == [[known, "5"]]


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("no_such_key=1", EINVAL),
        ("listen_port=65536", EINVAL),
        ("fwmark=lots", EINVAL),
        ("private_key=00", EINVAL),
        ("endpoint=192.0.2.1:1", EINVAL),
        ("replace_peers=yes", EINVAL),
        ("public_key=" + "1" * 64 + "\nendpoint=example.org:1", EINVAL),
        ("public_key=" + "1" * 64 + "\nallowed_ip=10.0.0.0/33", EINVAL),
        ("public_key=" + "1" * 64 + "\nprotocol_version=2", EINVAL),
        ("nothing", EPROTO),
    ],
)
def test_a_bad_request_has_its_number(alone: Tunnel, line: str, number: int) -> None:
    """A negative one, as `wg` expects; the daemon answers the next connection as before."""
    assert result(alone.ask(f"set=1\n{line}\n\n")) == number
    assert result(alone.ask("get=1\n\n")) == 0


def test_what_came_before_a_bad_line_counts(alone: Tunnel) -> None:
    """A request is no transaction: lines apply in their order."""
    assert result(alone.ask("set=1\nlisten_port=4444\nno_such_key=1\nfwmark=9\n\n")) == EINVAL
    assert alone.shown("listen-port") == "4444"
    assert alone.shown("fwmark") == "off"


def test_requests_in_one_write_are_answered_in_turn(alone: Tunnel) -> None:
    """Several operations on one connection, sent before the first is answered."""
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(5)
        control.connect(str(alone.socket_path))
        control.sendall(b"set=1\nlisten_port=4441\n\nset=1\nfwmark=3\n\nget=1\n\n")
        answers = receive_answers(control, 3).split("\n\n")
    assert answers[:2] == ["errno=0", "errno=0"]
    assert {"listen_port=4441", "fwmark=3", "errno=0"} <= set(answers[2].splitlines())


def test_an_answer_has_every_field_of_the_protocol(established: Pair) -> None:
    """A get of a live peer: lower-case hexadecimal keys, absolute times, the number last."""
    left, right = established.left, established.right
    lines = left.ask("get=1\n\n").splitlines()
    assert f"private_key={hexadecimal(left.keys.private)}" in lines
    assert f"listen_port={LEFT_PORT}" in lines
    peer = lines[lines.index(f"public_key={hexadecimal(right.keys.public)}") :]
    values = dict(line.split("=", 1) for line in peer if line)
    assert values["preshared_key"] == NO_KEY
    assert values["protocol_version"] == "1"
    assert values["endpoint"] == f"192.0.2.2:{RIGHT_PORT}"
    assert abs(int(values["last_handshake_time_sec"]) - time.time()) < 60
    assert int(values["tx_bytes"]) > 0 < int(values["rx_bytes"])
    assert values["persistent_keepalive_interval"] == "0"
    assert values["errno"] == "0"


def test_half_a_request_does_not_keep_others_waiting(alone: Tunnel) -> None:
    """A connection that says nothing more, and one that goes away, disturb nobody."""
    with socket.socket(socket.AF_UNIX) as slow, socket.socket(socket.AF_UNIX) as leaving:
        for control in (slow, leaving):
            control.connect(str(alone.socket_path))
            control.sendall(b"set=1\nlisten_port=4440\n")
        leaving.close()
        assert result(alone.ask("get=1\n\n")) == 0
        slow.settimeout(5)
        slow.sendall(b"\n")
        assert result(receive_answers(slow, 1)) == 0
