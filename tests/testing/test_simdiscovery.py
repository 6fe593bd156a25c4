"""Discovery in virtual time: what nodes can be asked and told to. Whole lives are simulated."""

from __future__ import annotations

from ipaddress import IPv4Address

from kubespan.discovery.client.effects import Call
from tests.simulated.discovery import DiscoveryNet


def test_a_node_hears_of_others_and_of_itself() -> None:
    net = DiscoveryNet()
    net.add_service()
    one = net.add_node("one")
    news = []
    one.on_news = lambda: news.append(net.now)
    one.seen_at = lambda: IPv4Address("192.0.2.1").packed
    net.add_node("two")
    net.run(1.0)
    assert one.view == {"two": "two"}
    assert one.membership.addresses == {4: IPv4Address("192.0.2.1")}
    assert len(news) >= 2


def test_a_node_that_vanishes_hears_no_more_and_is_remembered() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    one, _ = net.add_node("one"), net.add_node("two")
    net.run(1.0)
    one.vanish()
    net.add_node("three")
    net.run(60.0)
    assert one.view == {"two": "two"}
    assert len(service.streams) == 2
    assert set(service.registered) == {"one", "two", "three"}


def test_a_node_that_cannot_reach_the_service_tries_again() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    one = net.add_node("one")
    one.can_reach = lambda _: False
    net.run(10.0)
    assert service.calls[Call.HELLO] == 0
    one.can_reach = lambda _: True
    net.run(60.0)
    assert set(service.registered) == {"one"}
