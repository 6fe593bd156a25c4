"""The report, field by field: its fields are promises."""

from __future__ import annotations

import dataclasses
from typing import Any

import kubespan
from kubespan.api.node import NodeFacts
from kubespan.api.rendering import Manner
from kubespan.api.report import node_name, status_report
from kubespan.mesh.evidence import ServiceFacts
from kubespan.store.store import Store
from tests.api.nodes import BOOTED_NS, IDENTITY, NODE_ID, FakeNode, key

MANNER = Manner(BOOTED_NS)


def report(node: FakeNode, facts: NodeFacts | None = None) -> dict[str, Any]:
    return status_report(node.store, facts or node.facts(), node.now(), MANNER)


def test_a_whole_report() -> None:
    node = FakeNode(peers=3)
    found = report(node)
    silent = found["problems"]
    assert found == {
        "schema": 1,
        "version": kubespan.__version__,
        "time": "2026-01-01T10:03:20Z",
        "mesh": {
            "name": "prod-eu",
            "subnet": "fd50:8d60:4238:6302::/64",
            "started": "2026-01-01T10:00:00.25Z",
            "uptime": 199.75,
            "is_started": True,
            "is_ready": True,
            "data_plane": {
                "implementation": "native",
                "aead": "avx512",
                "lanes": 2,
                "offloads": True,
                "counters": {
                    "drop_bad_tag": 3,
                    "handshakes_initiator_gave_up": 2,
                    "implementation": "native",
                    "lane_outbound_busy_ns": 2_500_000_000,
                    "udp_sends": 9,
                },
                "quotients": {},
                "lane_loads": {},
            },
        },
        "self": {
            "name": "laptop-ana",
            "id": NODE_ID,
            "address": "fd50:8d60:4238:6302:f857:23ff:fe21:d1e0",
            "public_key": IDENTITY.public_key.base64(),
            "listen_port": 51820,
            "public_addresses": ["198.51.100.9"],
            "mtu": 1420,
            "mtu_reason": "underlying 1500 on eth0",
        },
        "discovery": [
            {
                "name": "default",
                "endpoint": "discovery.example:443",
                "connected": True,
                "affiliates": 3,
                "updated": "2026-01-01T10:03:16Z",
                "update_age": 4.0,
                "down_for": None,
                "failure": "",
            }
        ],
        "peers": [
            up(1, 0.018),
            up(2, None),
            {
                **up(3, None),
                "state": "down",
                "handshake": None,
                "handshake_age": None,
                "receive_bytes": 0,
                "transmit_bytes": 148,
            },
        ],
        "problems": silent,
    }
    assert silent == [
        {
            "code": "KS-NOREPLY",
            "severity": "error",
            "peer": "worker-3",
            "text": "no answer from its only endpoint, 172.20.0.5:51820; it is a private address",
            "next": "unless both are in one network, let it announce an address that is seen from"
            " outside (extraAnnouncedEndpoints there)",
        }
    ]


def test_counters_are_also_divided() -> None:
    node = FakeNode()
    node.counters = {
        "udp_messages": 2,
        "udp_sent": 80,
        "lane_both_busy_ns": 1,
        "lane_both_alive_ns": 4,
    }
    plane = report(node)["mesh"]["data_plane"]
    assert plane["quotients"] == {"segments_per_send": 40.0}
    assert plane["lane_loads"] == {"both": 0.25}


def test_a_peer_that_answers_and_waits_to_be_steered() -> None:
    node = FakeNode(peers=1)
    (peer,) = report(node, dataclasses.replace(node.facts(), held_back=frozenset({key(1)})))[
        "peers"
    ]
    assert peer["is_held_back"]


def up(number: int, rtt: float | None) -> dict[str, object]:
    return {
        "label": f"worker-{number}",
        "public_key": key(number).base64(),
        "address": f"fd50:8d60:4238:6302:a00::{number}",
        "state": "up",
        "is_held_back": False,
        "endpoint": f"172.20.0.{2 + number}:51820",
        "endpoints": 1,
        "handshake": "2026-01-01T10:02:41.123456789Z",
        "handshake_age": 38.877,
        "rtt": rtt,
        "receive_bytes": 15_043_220,
        "transmit_bytes": 17_869_488,
    }


def test_a_node_that_knows_nothing_yet() -> None:
    node = FakeNode(peers=0)
    node.store = Store()
    away = ServiceFacts("default", "a:443", down_since=190.0, failure="refused")
    found = report(node, dataclasses.replace(node.facts(), services=(away,)))
    assert found["peers"] == []
    assert found["self"] == {
        "name": "laptop-ana",
        "id": None,
        "address": None,
        "public_key": None,
        "listen_port": 51820,
        "public_addresses": ["198.51.100.9"],
        "mtu": 1420,
        "mtu_reason": "underlying 1500 on eth0",
    }
    assert (found["mesh"]["name"], found["mesh"]["subnet"]) == ("", None)
    (service,) = found["discovery"]
    assert (service["connected"], service["down_for"], service["updated"]) == (False, 10.0, None)
    assert node_name(node.store, lambda: "laptop-ana") == "laptop-ana"


def test_a_peer_that_has_no_address_no_endpoint_and_no_status() -> None:
    node = FakeNode(peers=1)
    bare = dataclasses.replace(node.outcome.specs[0], address=None, endpoints=())
    outcome = dataclasses.replace(node.outcome, specs=(bare,), statuses={})
    node.publication.publish_outcome(outcome, 0)
    (peer,) = report(node)["peers"]
    assert (peer["address"], peer["endpoint"], peer["endpoints"]) == (None, None, 0)
    assert peer["state"] == "unknown"


def test_a_node_is_called_by_its_address() -> None:
    node = FakeNode()
    assert node_name(node.store, lambda: "x") == "fd50:8d60:4238:6302:f857:23ff:fe21:d1e0"
