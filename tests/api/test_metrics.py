"""Metrics: their names are promises, and peers do not make more series than they may."""

from __future__ import annotations

from prometheus_client import generate_latest

import kubespan
from kubespan.api.metrics import create_registry
from tests.api.nodes import FakeNode, key


def lines(node: FakeNode, max_peers: int = 100) -> list[str]:
    text = generate_latest(create_registry(node, max_peers)).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def labels(number: int) -> str:
    return f'{{label="worker-{number}",public_key="{key(number).base64()}"}}'


def test_everything_is_told() -> None:
    shown, version = "1.7672617611234567e+09", kubespan.__version__
    assert lines(FakeNode(peers=3)) == [
        f'kubespan_build_info{{aead="avx512",implementation="native",version="{version}"}} 1.0',
        'kubespan_peers{state="unknown"} 0.0',
        'kubespan_peers{state="up"} 2.0',
        'kubespan_peers{state="down"} 1.0',
        f"kubespan_peer_receive_bytes_total{labels(1)} 1.504322e+07",
        f"kubespan_peer_receive_bytes_total{labels(2)} 1.504322e+07",
        f"kubespan_peer_receive_bytes_total{labels(3)} 0.0",
        f"kubespan_peer_transmit_bytes_total{labels(1)} 1.7869488e+07",
        f"kubespan_peer_transmit_bytes_total{labels(2)} 1.7869488e+07",
        f"kubespan_peer_transmit_bytes_total{labels(3)} 148.0",
        f"kubespan_peer_last_handshake_timestamp_seconds{labels(1)} {shown}",
        f"kubespan_peer_last_handshake_timestamp_seconds{labels(2)} {shown}",
        f"kubespan_peer_rtt_seconds{labels(1)} 0.018",
        "kubespan_peers_without_series 0.0",
        'kubespan_handshakes_total{result="gave_up",role="initiator"} 2.0',
        'kubespan_dropped_packets_total{reason="bad_tag"} 3.0',
        'kubespan_lane_seconds_total{lane="outbound",state="busy"} 2.5',
        'kubespan_data_plane_total{what="udp_sends"} 9.0',
        "kubespan_endpoint_changes_total 3.0",
        'kubespan_discovery_up{service="default"} 1.0',
        "kubespan_affiliates 4.0",
        "kubespan_mtu_bytes 1420.0",
    ]


def test_those_with_the_most_traffic_have_series() -> None:
    found = lines(FakeNode(peers=5), max_peers=1)
    assert [line for line in found if line.startswith("kubespan_peer_receive")] == [
        f"kubespan_peer_receive_bytes_total{labels(1)} 1.504322e+07"
    ]
    assert "kubespan_peers_without_series 4.0" in found


def test_texts_among_the_counters_are_no_numbers() -> None:
    node = FakeNode(peers=0)
    node.counters = {"drop_x": "text", "handshakes_x_y": "text", "what": "text"}
    assert not [line for line in lines(node) if "text" in line or "handshakes" in line]
