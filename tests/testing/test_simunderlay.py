"""Datagrams on their way between hosts: through NATs, past firewalls, and into nothing."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address
from random import Random

from kubespan.model.address import Endpoint
from kubespan.testing.simnat import Filtering, Nat, NatKind, Pinholes
from kubespan.testing.simnet import Weather
from kubespan.testing.simtime import Timeline
from kubespan.testing.simunderlay import Network, SimHost, Underlay


class Lab:
    """Two hosts in the internet and two behind a NAT, and what each has heard from where."""

    def __init__(self, weather: Weather | None = None) -> None:
        self.timeline = Timeline()
        self.net = Underlay(self.timeline, Random(0), weather)
        self.inside = self.net.private_network(
            "inside", Nat(ip_address("198.51.100.1"), NatKind.PORT_RESTRICTED)
        )
        self.heard: dict[str, list[str]] = {}
        self.a = self.host("a", self.net.internet, "192.0.2.1")
        self.b = self.host("b", self.net.internet, "192.0.2.2")
        self.c = self.host("c", self.inside, "10.0.0.1")
        self.d = self.host("d", self.inside, "10.0.0.2")

    def host(self, name: str, network: Network, address: str) -> SimHost:
        heard = self.heard[name] = []

        def receive(sender: Endpoint, _receiver: Endpoint, _datagram: bytes) -> None:
            heard.append(str(sender))

        host = SimHost(name, receive)
        host.attach(network, ip_address(address))
        return host

    def send(self, host: SimHost, to: str, source: str | None = None) -> None:
        address = None if source is None else ip_address(source)
        self.net.send(host, 7, Endpoint.parse(to), b"hello", address)
        self.timeline.run(1.0)


def test_hosts_of_one_network_hear_each_other() -> None:
    lab = Lab()
    tap = lab.net.tap()
    lab.send(lab.a, "192.0.2.2:9")
    lab.send(lab.c, "10.0.0.2:9")
    assert (lab.heard["b"], lab.heard["d"]) == (["192.0.2.1:7"], ["10.0.0.1:7"])
    assert [(passage.host, str(passage.receiver)) for passage in tap] == [
        ("a", "192.0.2.2:9"),
        ("c", "10.0.0.2:9"),
    ]


def test_a_nat_shows_its_own_address_and_lets_only_answers_in() -> None:
    lab = Lab()
    lab.send(lab.a, "198.51.100.1:7")
    assert lab.net.lost["nat"] == 1
    lab.send(lab.c, "192.0.2.1:9")
    assert lab.heard["a"] == ["198.51.100.1:7"]
    lab.net.send(lab.a, 9, Endpoint.parse("198.51.100.1:7"), b"answer", None)
    lab.timeline.run(1.0)
    assert lab.heard["c"] == ["192.0.2.1:9"]
    # Nobody is let in from inside through the outside.
    lab.send(lab.d, "198.51.100.1:7")
    assert lab.net.lost["nat"] == 2


def test_a_nat_within_a_nat() -> None:
    lab = Lab()
    deep = lab.net.private_network(
        "deep", Nat(IPv4Address("10.0.0.9"), NatKind.FULL_CONE), lab.inside
    )
    e = lab.host("e", deep, "172.16.0.1")
    lab.send(e, "192.0.2.1:9")
    lab.send(e, "10.0.0.1:9")
    assert (lab.heard["a"], lab.heard["c"]) == (["198.51.100.1:7"], ["10.0.0.9:7"])
    lab.net.send(lab.a, 9, Endpoint.parse("198.51.100.1:7"), b"answer", None)
    lab.timeline.run(1.0)
    assert lab.heard["e"] == ["192.0.2.1:9"]


def test_what_leads_nowhere_is_lost_and_counted() -> None:
    lab = Lab()
    lab.send(lab.a, "192.0.2.77:9")
    lab.send(lab.a, "[2001:db8::1]:9")
    lab.b.receive = None
    lab.send(lab.a, "192.0.2.2:9")
    assert lab.net.lost == {"nobody": 2, "no way": 1}


def test_a_dead_address_neither_sends_nor_receives() -> None:
    lab = Lab()
    lab.net.dead.add(ip_address("192.0.2.2"))
    lab.send(lab.a, "192.0.2.2:9")
    lab.send(lab.b, "192.0.2.1:9")
    assert lab.net.lost == {"nobody": 1, "dead address": 1}


def test_a_firewall_lets_answers_in() -> None:
    lab = Lab()
    lab.a.firewall = Pinholes(Filtering.ADDRESS_AND_PORT)
    lab.send(lab.b, "192.0.2.1:7")
    assert lab.net.lost["firewall"] == 1
    lab.send(lab.a, "192.0.2.2:7")
    lab.send(lab.b, "192.0.2.1:7")
    assert lab.heard["a"] == ["192.0.2.2:7"]


def test_sides_do_not_hear_each_other() -> None:
    lab = Lab()
    lab.net.partition([lab.a], [lab.b])
    lab.send(lab.a, "192.0.2.2:9")
    assert lab.net.lost == {"partition": 1}


def test_a_host_uses_the_address_that_it_is_asked_to_while_it_has_it() -> None:
    lab = Lab()
    lab.a.attach(lab.net.internet, ip_address("203.0.113.1"))
    lab.send(lab.a, "192.0.2.2:9")
    lab.send(lab.a, "192.0.2.2:9", "203.0.113.1")
    lab.a.detach(ip_address("203.0.113.1"))
    lab.send(lab.a, "192.0.2.2:9", "203.0.113.1")
    assert lab.heard["b"] == ["192.0.2.1:7", "203.0.113.1:7", "192.0.2.1:7"]
    assert lab.a.addresses == (ip_address("192.0.2.1"),)


def test_weather() -> None:
    lab = Lab(Weather(loss=1.0))
    lab.send(lab.a, "192.0.2.2:9")
    assert lab.net.lost == {"weather": 1}
    lab.net.weather = Weather(duplication=1.0)
    lab.send(lab.a, "192.0.2.2:9")
    assert len(lab.heard["b"]) == 2
