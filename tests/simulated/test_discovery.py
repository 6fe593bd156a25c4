"""A whole cluster and its discovery service, in good times and bad, by virtual time."""

from __future__ import annotations

import pytest

from kubespan.discovery.client.effects import Call, Failure, FailureReason
from kubespan.discovery.record import AffiliateRecord, Notification
from kubespan.model.constants import AFFILIATE_REFRESH_INTERVAL, AFFILIATE_TTL
from tests.discovery.records import record
from tests.simulated.discovery import CLUSTER, DiscoveryNet, Node

HOUR = 3_600.0


def cluster(net: DiscoveryNet, count: int = 10) -> list[Node]:
    """Return that many nodes, who know each other."""
    nodes = [net.add_node(f"n{number:03}") for number in range(count)]
    net.run(5.0)
    assert_agreed(net, count)
    return nodes


def assert_agreed(net: DiscoveryNet, count: int) -> None:
    (view,) = net.views()
    assert len(view) == count


def assert_nobody_was_dropped(net: DiscoveryNet) -> None:
    assert {id_: node.losses() for id_, node in net.nodes.items() if node.losses()} == {}


# ------------------------------------------------------------------------------------ good times


def test_every_change_is_seen_by_everybody_at_once() -> None:
    net = DiscoveryNet(jitter=0.02)
    net.add_service()
    nodes = cluster(net, 100)
    for round_ in range(20):
        author = net.random.choice(nodes)
        said_at = net.now
        author.announce(f"{author.id} in round {round_}")
        net.run(1.0)
        for node in nodes:
            if node is not author:
                at, change = node.history[-1]
                assert change.affiliate is not None
                assert change.affiliate.hostname == f"{author.id} in round {round_}"
                assert at - said_at < 0.1
    assert_agreed(net, 100)


def test_quiet_days_cost_one_refresh_in_a_quarter_of_an_hour() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    cluster(net)
    before = service.calls[Call.UPDATE]
    net.run(24 * HOUR)
    assert 960 <= service.calls[Call.UPDATE] - before <= 1_070
    assert service.calls[Call.HELLO] == 10
    assert service.calls[Call.LIST] == 0
    assert_nobody_was_dropped(net)


def test_who_leaves_is_gone_within_a_second() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    nodes = cluster(net)
    for node in nodes[:4]:
        node.leave()
    net.run(1.0)
    assert [node.has_left for node in nodes[:4]] == [True] * 4
    assert len(service.registered) == 6
    assert_agreed(net, 6)


def test_who_dies_is_gone_when_its_record_expires() -> None:
    net = DiscoveryNet()
    net.add_service()
    nodes = cluster(net)
    nodes[0].perform(nodes[0].membership._end())
    net.run(AFFILIATE_TTL - 60)
    assert "n000" in nodes[1].view
    net.run(180)
    assert_agreed(net, 9)


def test_update_on_its_way_does_not_bring_a_leaver_back() -> None:
    net = DiscoveryNet(latency=0.05, jitter=0.5)
    service = net.add_service()
    nodes = cluster(net)
    for node in nodes[:5]:
        node.announce("something else")
        node.leave()
    net.run(10.0)
    assert sorted(service.registered) == [node.id for node in nodes[5:]]
    assert_agreed(net, 5)


# -------------------------------------------------------------------------------- outages


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize("outage", [1.0, 30.0, 2 * HOUR])
def test_nobody_is_dropped_over_an_outage(remembers: bool, outage: float) -> None:
    net = DiscoveryNet(seed=7)
    service = net.add_service()
    nodes = cluster(net)
    net.run(HOUR)
    service.crash(remembers=remembers)
    net.run(outage)
    nodes[0].announce("news")
    service.restart()
    net.run(100.0)
    assert len(service.registered) == 10
    assert_agreed(net, 10)
    assert_nobody_was_dropped(net)
    net.run(HOUR)
    assert_nobody_was_dropped(net)


@pytest.mark.parametrize("outage", [2.0, 15.0, 50.0])
@pytest.mark.parametrize("seed", range(10))
def test_restart_is_over_within_five_seconds(seed: int, outage: float) -> None:
    net = DiscoveryNet(seed)
    service = net.add_service()
    cluster(net)
    net.run(HOUR)
    service.crash(remembers=False)
    net.run(outage)
    service.restart()
    net.run(5.0)
    assert len(service.registered) == 10
    assert_agreed(net, 10)
    assert_nobody_was_dropped(net)


def test_fifty_crashes_in_a_row() -> None:
    net = DiscoveryNet(seed=3)
    service = net.add_service()
    nodes = cluster(net)
    for number in range(50):
        net.run(5.0)
        service.crash(remembers=number % 2 == 0)
        nodes[number % 10].announce(f"news {number}")
        net.run(1.0)
        service.restart()
        net.run(5.0)
        assert len(service.registered) == 10
        assert_agreed(net, 10)
    assert_nobody_was_dropped(net)


def test_who_went_during_an_outage_is_gone_soon_after() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    nodes = cluster(net)
    service.crash(remembers=False)
    nodes[0].leave()
    net.run(30.0)
    service.restart()
    net.run(400.0)
    assert nodes[0].has_left
    assert_agreed(net, 9)


def test_lost_calls_are_made_again() -> None:
    net = DiscoveryNet(seed=5, jitter=0.1)
    service = net.add_service()
    cluster(net)
    net.loss = 0.3
    for _ in range(24):
        net.run(HOUR)
        assert len(service.registered) == 10
    assert_nobody_was_dropped(net)
    assert_agreed(net, 10)


def test_polite_end_of_the_service_is_no_loss() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    cluster(net)
    service.registry.close_subscriptions()
    service.restart()
    net.run(5.0)
    assert service.calls[Call.HELLO] == 20
    assert_agreed(net, 10)
    assert_nobody_was_dropped(net)


# ------------------------------------------------------------------------ services that misbehave


@pytest.mark.parametrize("has_stock_defect", [True, False])
def test_expired_endpoint_drops_nobody(has_stock_defect: bool) -> None:
    net = DiscoveryNet()
    service = net.add_service()
    service.has_stock_defect = has_stock_defect
    nodes = cluster(net)
    nodes[0].announce("n000", b"old")
    net.run(60.0)
    nodes[0].announce("n000", b"new")
    nodes[1].harvest({"n002": (b"seen",)})
    net.run(60.0)
    nodes[1].harvest({})
    net.run(2 * AFFILIATE_TTL)
    assert service.registry.counts.endpoints == 1
    assert (service.calls[Call.LIST] > 0) == has_stock_defect
    assert_nobody_was_dropped(net)


def test_record_that_a_stranger_deletes_is_back_at_once() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    nodes = cluster(net)
    service.registry.delete(CLUSTER, "n000", net.now)
    net.run(1.0)
    assert len(service.registered) == 10
    assert "n000" in nodes[1].view
    before = service.calls[Call.UPDATE]
    for _ in range(600):
        service.registry.delete(CLUSTER, "n000", net.now)
        net.run(0.1)
    net.run(5.0)
    assert len(service.registered) == 10
    assert service.calls[Call.UPDATE] - before <= 14
    assert_agreed(net, 10)


def test_observed_endpoints_are_kept_alive_and_told_one_by_one() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    nodes = cluster(net, 50)
    before = service.calls[Call.UPDATE]
    nodes[0].harvest({node.id: (node.id.encode(),) for node in nodes})
    net.run(1.0)
    assert service.calls[Call.UPDATE] - before <= 2
    net.run(4 * AFFILIATE_TTL)
    assert service.registry.counts.endpoints == 49


def test_everybody_follows_a_redirect() -> None:
    net = DiscoveryNet()
    first, second = net.add_service(), net.add_service("other:2")
    first.redirect = "other:2"
    cluster(net)
    assert first.calls == {Call.HELLO: 10}
    assert len(second.registered) == 10
    second.crash(remembers=False)
    first.redirect = ""
    net.run(300.0)
    assert len(first.registered) == 10
    assert_nobody_was_dropped(net)


def test_services_that_redirect_to_each_other_are_asked_ever_less() -> None:
    net = DiscoveryNet()
    first, second = net.add_service(), net.add_service("other:2")
    first.redirect, second.redirect = "other:2", "host:1"
    node = net.add_node("a")
    net.run(10 * 60.0)
    assert first.calls[Call.HELLO] + second.calls[Call.HELLO] < 6 * 30
    assert len(node.told) <= 11


def test_service_at_its_limit_is_not_bothered() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    service.refusal = Failure(FailureReason.EXHAUSTED, "full")
    node = net.add_node("a")
    net.run(6 * HOUR)
    assert service.calls[Call.UPDATE] < 45
    assert service.calls[Call.HELLO] == 1
    assert len([line for line in node.told if "could not be registered" in line]) < 45
    service.refusal = None
    net.run(HOUR)
    assert set(service.registered) == {"a"}


def test_live_members_outlast_a_service_that_denies_them() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    nodes = cluster(net)
    watcher = nodes[0]
    watcher.perform(watcher.membership.set_live({"n001", "n002"}, net.now))
    service.lie = lambda told: (Notification.removal(told.affiliates[0].id),)
    service.lists = lambda _: ()
    for node in nodes:
        node.announce("news")
    net.run(60.0)
    assert set(watcher.view) == {"n001", "n002"}
    watcher.perform(watcher.membership.set_live({"n001"}, net.now))
    assert set(watcher.view) == {"n001"}
    net.run(AFFILIATE_REFRESH_INTERVAL)
    assert watcher.view == {}


def test_flood_of_records_is_bounded_and_counted() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    flood = tuple(record(f"x{number:05}", "!bad_tag") for number in range(5_000))
    real = tuple(record(f"r{number:05}") for number in range(1_000))
    more = tuple(record(f"s{number:05}") for number in range(1_000))
    service.lie = lambda _: tuple(Notification(part) for part in (real, flood, more, flood))
    node = net.add_node("a")
    net.run(5.0)
    assert len(node.view) == 1_024
    assert node.membership.refusals["bad_tag"] == 4 * 1_024
    assert node.membership.refusals["too_many_records"] == 4 * (5_000 - 1_024)
    assert len(node.told) < 5


def test_repeated_messages_change_nothing() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    service.lie = lambda told: (told, told)
    nodes = cluster(net)
    assert [len(node.history) for node in nodes] == [9] * 10


def test_records_under_a_false_name_are_nobody() -> None:
    net = DiscoveryNet()
    service = net.add_service()
    node = net.add_node("a")
    net.run(1.0)
    empty = AffiliateRecord("b", b"", (b"e",))
    service.lie = lambda _: (Notification((empty,)), Notification((record("a", "not me"),)))
    net.add_node("c")
    net.run(1.0)
    assert node.view == {}


# ------------------------------------------------------------------------------------- any times


@pytest.mark.parametrize("seed", range(12))
def test_all_agree_when_the_storm_is_over(seed: int) -> None:
    net = DiscoveryNet(seed, jitter=0.3)
    service = net.add_service()
    service.has_stock_defect = seed % 2 == 0
    nodes = cluster(net, 12)
    net.loss = 0.2
    left = 0
    for step in range(60):
        net.run(net.random.random() * 60)
        match net.random.randrange(6):
            case 0:
                service.crash(remembers=net.random.random() < 0.5)
                net.run(net.random.random() * 60)
                service.restart()
            case 1 if left < 4:
                nodes.pop().leave()
                left += 1
            case 2:
                other = net.random.choice(nodes)
                net.random.choice(nodes).harvest({other.id: (f"e{step}".encode(),)})
            case _:
                net.random.choice(nodes).announce(f"news {step}")
    net.loss = 0.0
    for node in nodes:
        # Or they would keep the record of somebody alive whose farewell was lost.
        node.harvest({})
    net.run(AFFILIATE_TTL + 300)
    assert_agreed(net, 12 - left)
    gone = {id_ for id_, node in net.nodes.items() if node.has_left}
    assert {id_ for node in nodes for id_ in node.losses()} <= gone
