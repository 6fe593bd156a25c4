"""Every number the protocol and this implementation agree on, with its unit and its source.

Times are seconds, sizes are bytes, unless a line says otherwise. "Paper" is "WireGuard: Next
Generation Kernel Network Tunnel"; "kernel" is Linux's drivers/net/wireguard.
"""

from __future__ import annotations

from typing import Final

# Specification: both ends must agree on these.

REKEY_AFTER_MESSAGES: Final = 2**60
"""Messages under one key after which its initiator asks for a new one. Paper §6.1."""

REJECT_AFTER_MESSAGES: Final = 2**64 - 2**13 - 1
"""Messages under one key after which it is not used any more. Paper §6.1, wireguard-go."""

REKEY_AFTER_TIME: Final = 120.0
"""Age at which the initiator of a key asks for a new one, when it sends. Paper §6.1."""

REJECT_AFTER_TIME: Final = 180.0
"""Age at which a key is not used any more. Paper §6.1."""

REKEY_ATTEMPT_TIME: Final = 90.0
"""How long a handshake is retried before giving up. Paper §6.1."""

REKEY_TIMEOUT: Final = 5.0
"""Least time between two initiations to one peer. Paper §6.1."""

KEEPALIVE_TIMEOUT: Final = 10.0
"""How long received data may stay without any answer. Paper §6.1."""

COOKIE_REFRESH_TIME: Final = 120.0
"""Age at which the secret behind our cookies is replaced. Paper §5.4.7."""

REKEY_AFTER_TIME_RECEIVING: Final = REJECT_AFTER_TIME - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT
"""Age at which the initiator of a key asks for a new one, when it only receives. Paper §6.2."""

ZERO_KEY_AFTER: Final = 3 * REJECT_AFTER_TIME
"""Time without a new session after which all key material is forgotten. Paper §6.3."""

PADDING_MULTIPLE: Final = 16
"""Inner packets are padded to a multiple of this. Paper §5.4.6."""

MESSAGE_INITIATION_SIZE: Final = 148
"""Paper §5.4.2."""

MESSAGE_RESPONSE_SIZE: Final = 92
"""Paper §5.4.3."""

MESSAGE_COOKIE_REPLY_SIZE: Final = 64
"""Paper §5.4.7."""

MESSAGE_TRANSPORT_HEADER_SIZE: Final = 16
"""Type, receiver index and counter. Paper §5.4.6."""

MESSAGE_TRANSPORT_MIN_SIZE: Final = 32
"""A keepalive: the header and the tag of an empty packet. Paper §5.4.6."""

# Implementation: ours to choose, chosen as Linux or wireguard-go chose.

REKEY_TIMEOUT_JITTER: Final = 0.333
"""Retries are spread by up to this, so that two ends do not keep colliding. Kernel timers.c."""

MAX_TIMER_HANDSHAKES: Final = 18
"""Retries before giving up: REKEY_ATTEMPT_TIME / REKEY_TIMEOUT. Kernel messages.h."""

COOKIE_VALIDITY: Final = 115.0
"""Age at which a received cookie is no longer sent: 5 s less, for the way. Kernel cookie.c."""

HANDSHAKE_INITIATION_INTERVAL: Final = 0.02
"""Least time between two initiations accepted from one peer. Kernel messages.h."""

REPLAY_WINDOW: Final = 8128
"""Counters this far behind the highest are still accepted, once. Kernel receive.c, wireguard-go."""

MAX_STAGED_PACKETS: Final = 128
"""Packets of one peer that may wait for a session. Kernel messages.h."""

HANDSHAKE_QUEUE: Final = 1024
"""Handshake messages that may wait to be handled. wireguard-go."""

RECEIVE_QUEUE_BITS: Final = 4
"""The highest bits of a local index, which name the queue of its peer. Ours, ADR 0023."""

RECEIVE_QUEUES: Final = 1 << RECEIVE_QUEUE_BITS
"""Lines of received messages, the first of strangers, the others of peers. Ours, ADR 0023."""

UNDER_LOAD_AFTER: Final = HANDSHAKE_QUEUE // 8
"""Waiting handshake messages from which on cookies are demanded. Kernel receive.c, wireguard-go."""

UNDER_LOAD_STICKY: Final = 1.0
"""How long cookies stay demanded after the queue was last that long. Kernel receive.c."""

FIRST_BURST: Final = 32
"""New peers that are called at once. Ours."""

FIRST_INTERVAL: Final = 0.002
"""Least time between the calls to further ones, so that 1,000 take two seconds. Ours."""

DEFERENCE: Final = 0.3
"""How long the end with the greater key lets the other begin: longer than a round trip. Ours."""

MAX_PROBES: Final = 8
"""Candidates that one initiation goes to, besides the endpoint. Ours."""

MAX_PEERS: Final = 65_536
"""Peers of one interface. wireguard-go."""

DEFAULT_MTU: Final = 1420
"""MTU of a new interface: 1500 less the overhead over IPv6. Kernel device.c, wireguard-go."""

HANDSHAKE_TRAFFIC_CLASS: Final = 0x88
"""IPv4 TOS and IPv6 traffic class of handshake messages: AF41. Kernel messages.h."""

# KubeSpan: Talos and the Sidero discovery protocol chose these, and peers rely on them.

KUBESPAN_LISTEN_PORT: Final = 51820
"""UDP port of the mesh's WireGuard interface. Talos pkg/machinery/constants."""

KUBESPAN_MTU: Final = 1420
"""MTU of the mesh's interface where nothing else is said. Talos pkg/machinery/constants."""

KUBESPAN_MINIMUM_MTU: Final = 1280
"""Least MTU that may be configured: what IPv6 needs. RFC 8200 §5."""

ULA_PURPOSE_KUBESPAN: Final = 0x02
"""Eighth byte of a cluster's mesh prefix. siderolabs/talos pkg/machinery/resources/network."""

ULA_PURPOSE_SIDEROLINK: Final = 0x03
"""Eighth byte of a management link's prefix, which is never announced. siderolabs/talos."""

AFFILIATE_TTL: Final = 30 * 60.0
"""How long a record lives without being refreshed; also the most one may ask for. Discovery."""

AFFILIATE_REFRESH_INTERVAL: Final = AFFILIATE_TTL / 2
"""How often a member refreshes its record. siderolabs/discovery-client."""

MAX_CLUSTER_ID_SIZE: Final = 256
"""Bytes. Discovery service, as observed."""

MAX_AFFILIATE_ID_SIZE: Final = 256
"""Bytes. Discovery service, as observed."""

MAX_AFFILIATE_DATA_SIZE: Final = 2048
"""Bytes of one sealed affiliate. Discovery service, as observed."""

MAX_ENDPOINT_SIZE: Final = 32
"""Bytes of one sealed endpoint. Discovery service, as observed."""

MAX_AFFILIATES: Final = 1024
"""Records of one cluster. Discovery service, as observed."""

MAX_ENDPOINTS: Final = 64
"""Endpoints of one record. Discovery service, as observed."""

MAX_UNDELIVERED: Final = 32
"""Changes that may wait for one watcher. Discovery service, as observed."""

STATE_DIRECTORY: Final = "/var/lib/kubespan"
"""Where identity and cache are kept, unless said otherwise. Ours; Talos has a partition for it."""

PEER_DOWN_AFTER: Final = REJECT_AFTER_TIME + REKEY_TIMEOUT + REKEY_ATTEMPT_TIME
"""Age of the last handshake from which on a peer is down: 275. Talos adapters/kubespan."""

ENDPOINT_CONNECTION_TIMEOUT: Final = 15.0
"""How long a new endpoint may stay without a handshake. Talos adapters/kubespan."""

PEER_RECONCILE_INTERVAL: Final = 30.0
"""How often statuses are looked at when nothing happens. Talos controllers/kubespan."""

LOOK_INTERVAL: Final = 0.1
"""Time from one look at the mesh to the next: what happens together is looked at together. A look
that follows steering does not wait: somebody may be let in by it. Ours."""

HAIL_DELAYS: Final = (0.0, 1.0, 3.0)
"""How long after a change of our addresses peers are told; again, in case they missed it. Ours."""

KUBESPAN_KEEPALIVE_INTERVAL: Final = 25
"""Persistent keepalive of every peer, in seconds. Talos pkg/machinery/constants."""

STALLED_AFTER: Final = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT + 4.0
"""How long data may stay unanswered before another endpoint is tried. WireGuard asks anew after the
first two; then the peer has most of a retry interval to answer. Ours: Talos waits for the age of
the handshake."""

KUBESPAN_LINK: Final = "kubespan"
"""Name of the mesh's interface. Talos pkg/machinery/constants."""

KUBESPAN_TABLE: Final = 180
"""Routing table whose default route is the mesh. Talos pkg/machinery/constants."""

KUBESPAN_ROUTE_METRIC: Final = 1
"""Of that default route. Talos pkg/machinery/constants."""

KUBESPAN_REFUSAL_METRIC: Final = 27_507
"""Of the routes behind those into the mesh, which refuse what would else leave in clear when the
interface is gone. Worse than any that the system makes by itself, and the letters "ks". Ours."""

KUBESPAN_RULE_PROTOCOL: Final = 180
"""What our rules say of who made them, so that they are told from all others. Ours."""

KUBESPAN_RULE_PRIORITY: Final = 32500
"""Of the rules that lead marked packets to that table. Talos 1.13 controllers/kubespan."""

KUBESPAN_MARK: Final = 0x20
"""Firewall mark of WireGuard's own datagrams. Talos pkg/machinery/constants."""

KUBESPAN_FORCE_MARK: Final = 0x40
"""Firewall mark of packets that must go into the mesh. Talos pkg/machinery/constants."""

KUBESPAN_MARK_MASK: Final = 0x60
"""The bits of a firewall mark that are the mesh's. Talos pkg/machinery/constants."""

TUNNEL_OVERHEAD: Final = 80
"""What WireGuard over IPv6 adds: headers 40 + 8, its own 16, tag 16. Paper §5.4.6, RFC 8200."""

MSS_OVERHEAD: Final = {4: 20 + 20 + 12, 6: 40 + 20 + 12}
"""What of the MTU is no TCP payload, options included, by IP version. Talos 1.12 #12311."""
