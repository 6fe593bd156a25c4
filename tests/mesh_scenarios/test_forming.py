"""Four nodes, two subnets, one of them behind a NAT: a full mesh, and nothing of it in clear."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest

from tests.mesh_scenarios.mesh_lab import PORT, Mesh, Node
from tests.mesh_scenarios.wire import Wire
from tests.netns.traffic import send_tcp

pytestmark = pytest.mark.netns

SIZE = 64 << 10


def four(mesh: Mesh) -> list[Node]:
    return [
        mesh.node("ana"),
        mesh.node("ben"),
        mesh.node("cleo", "south"),
        mesh.home("dora", "south"),
    ]


def moment(node: Node, event: str) -> float:
    """Return when a node first, or for each peer last, wrote a line: seconds since the epoch."""
    times = re.findall(rf"time=(\S+)Z \S+ event={event}", node.said)
    assert times, f"{node.name} said nothing like {event}: {node.said}"
    return datetime.fromisoformat(times[-1]).replace(tzinfo=UTC).timestamp()


def test_all_pairs_come_up_and_talk(mesh: Mesh, measured: Any) -> None:
    nodes = four(mesh)
    with Wire(mesh) as wire:
        mesh.up(*nodes)
        registered = max(moment(node, r'"[^"]*this host is registered"') for node in nodes)
        up = max(moment(node, '"peer up"') for node in nodes)
        measured("last registration to all pairs up", f"{up - registered:.2f} s (goal: 3 s)")
        for near, far in permutations(nodes, 2):
            near.namespace.ping(far.address4)
            near.namespace.ping(far.address6)
            send_tcp(near.namespace, far.namespace, far.address4, SIZE)
            send_tcp(near.namespace, far.namespace, far.address6, SIZE)
        assert wire.in_clear() == []
        sent = [datagram for datagram in wire.datagrams() if datagram.kind == 4]
    assert sum(len(datagram.payload) for datagram in sent) > 12 * 2 * SIZE
    assert {PORT} == {port for d in sent for port in (d.source_port, d.destination_port)}
