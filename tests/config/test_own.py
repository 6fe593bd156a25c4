"""Our own document: every key, every check, with its place."""

from __future__ import annotations

import pytest

from kubespan.model.address import Endpoint, Prefix
from kubespan.model.config import NodeConfig, StaticPeer
from kubespan.model.keys import PublicKey
from tests.config.reading import PUBLIC_KEYS, SECRET, config, mistakes

HEAD = "apiVersion: v1alpha1\nkind: UserspaceNodeConfig\n"
KEY, OTHER_KEY = PUBLIC_KEYS

ALL = f"""\
listenPort: 51821
nodeName: worker-1
podNetworks: [10.244.3.0/24, "fd00:10:244:3::/64"]
clusterNetworks: [10.244.0.0/16]
hostname: Worker-1.example.com
stateDirectory: /var/lib/kubespan-of-another-name
labels:
  site: north
  example.com/rack: "7"
  empty:
metricsAddress: "[::1]:9090"
staticPeers:
  - name: gateway
    publicKey: {KEY}
    address: fd00::1
    endpoints: ["192.0.2.1:51820", "[2001:db8::1]:1"]
    allowedIPs: [10.0.0.0/24, "2001:db8::/32"]
  - name: other
    publicKey: {OTHER_KEY}
    address: 10.0.1.1
  - {{name: third.of_them, publicKey: {SECRET}, allowedIPs: [10.0.2.0/24]}}
"""


def test_every_key() -> None:
    found = config(HEAD + ALL)
    assert (found.listen_port, found.node_name) == (51821, "worker-1")
    assert list(map(str, found.pod_networks)) == ["10.244.3.0/24", "fd00:10:244:3::/64"]
    assert list(map(str, found.cluster_networks)) == ["10.244.0.0/16"]
    assert found.hostname == "Worker-1.example.com"
    assert found.state_directory == "/var/lib/kubespan-of-another-name"
    assert dict(found.labels) == {"site": "north", "example.com/rack": "7", "empty": ""}
    assert found.metrics_address == "[::1]:9090"
    gateway, other, third = found.static_peers
    assert gateway == StaticPeer(
        "gateway",
        PublicKey.from_base64(KEY),
        Endpoint.parse("[fd00::1]:1").address,
        (Endpoint.parse("192.0.2.1:51820"), Endpoint.parse("[2001:db8::1]:1")),
        (Prefix.parse("10.0.0.0/24"), Prefix.parse("2001:db8::/32")),
    )
    assert (other.endpoints, other.allowed_ips) == ((), ())
    assert (third.name, third.address) == ("third.of_them", None)


@pytest.mark.parametrize("keys", ["", "listenPort:\nlabels:\nstaticPeers:\nnodeName: ''\n"])
def test_defaults(keys: str) -> None:
    assert config(HEAD + keys) == NodeConfig()


@pytest.mark.parametrize(
    "key",
    [
        "metricsAddress: 127.0.0.1:9090",
        "metricsAddress: localhost:65535",
        "metricsAddress: 0.0.0.0:1",
        "listenPort: 1",
        "listenPort: 65535",
        "stateDirectory: /",
    ],
)
def test_what_is_right(key: str) -> None:
    assert mistakes(HEAD + key) == []


WRONG = [
    ("podNetworks: [10.244.3.1/33]", "3:15: podNetworks[0]: "),
    ("clusterNetworks: [a]", "3:19: clusterNetworks[0]: "),
    ("listenPort: 0", "3:13: listenPort: a port is from 1 to 65535; leave it out for 51820"),
    ("listenPort: 65536", "3:13: listenPort: a port is from 1 to 65535; leave it out for 51820"),
    ("listenPort: '1'", "3:13: listenPort: write a whole number, without quotes"),
    ("listenPort: -1", "3:13: listenPort: write a whole number, without quotes"),
    ("nodeName: Worker", "3:11: nodeName: 'Worker' is not a name; write small letters"),
    ("nodeName: {}", "3:11: nodeName: write a word or a number here"),
    ("hostname: a_b", "3:11: hostname: 'a_b' is not a name; write small letters"),
    ("hostname: a b", "3:11: hostname: 'a b' is not a name; write small letters"),
    ("stateDirectory: var", "3:17: stateDirectory: write the whole path of a directory"),
    ('stateDirectory: "/a\\nb"', "3:17: stateDirectory: write the whole path of a directory"),
    (f"stateDirectory: /{'a' * 4095}", "3:17: stateDirectory: write the whole path"),
    ("metricsAddress: ':9090'", "3:17: metricsAddress: write an address and a port"),
    ("metricsAddress: '9090'", "3:17: metricsAddress: write an address and a port"),
    ("metricsAddress: h:0", "3:17: metricsAddress: write an address and a port"),
    ("metricsAddress: h:65536", "3:17: metricsAddress: write an address and a port"),
    ("metricsAddress: '::1:9090'", "3:17: metricsAddress: write an address and a port"),
    ("metricsAddress: '[::1:9090'", "3:17: metricsAddress: write an address and a port"),
    ("metricsAddress: '[h]:9090'", "3:17: metricsAddress: write an address and a port"),
    ("labels: [a]", "3:9: labels: write keys with values here"),
    ("labels: {a: [b]}", "3:13: labels.a: write a word or a number here"),
    ("labels: {-a: b}", "3:14: labels['-a']: the key of a label is letters"),
    ("labels: {a/: b}", "3:14: labels['a/']: the key of a label is letters"),
    ("labels: {/a: b}", "3:14: labels['/a']: the key of a label is letters"),
    ("labels: {A/a: b}", "3:15: labels['A/a']: the key of a label is letters"),
    ("labels: {a: b c}", "3:13: labels.a: the value of a label is letters"),
    (f"labels: {{a: {'b' * 64}}}", "3:13: labels.a: the value of a label is letters"),
    ("staticPeers: {}", "3:14: staticPeers: write a list"),
    ("staticPeers: [x]", "3:15: staticPeers[0]: write keys with values here"),
    ("listenport: 1", "3:1: listenport: there is no such key here; did you mean listenPort?"),
]


@pytest.mark.parametrize(("key", "message"), WRONG)
def test_what_is_wrong(key: str, message: str) -> None:
    (found,) = mistakes(HEAD + key + "\n")
    place, _, rest = message.partition(": ")
    assert found.startswith(f"{place}: UserspaceNodeConfig.{rest}")


def peer(**keys: str) -> str:
    given = {"name": "a", "publicKey": KEY, "address": "fd00::1", **keys}
    return "{" + ", ".join(f"{key}: {value}" for key, value in given.items() if value) + "}"


PEERS = [
    (peer(name=""), "name: write it; every static peer has one"),
    (peer(name="-a"), "name: '-a' is not a name; it is letters"),
    (peer(name="[]"), "name: write a word or a number here"),
    (peer(publicKey=""), "publicKey: write it; every static peer has one"),
    (peer(publicKey=KEY[:-2]), "publicKey: a public key is 44 base64 characters"),
    (peer(publicKey="{}"), "publicKey: write a word or a number here"),
    (peer(address=""), "write its address, or allowedIPs: nothing would be sent to it"),
    (peer(address="h"), "address: 'h' is not an address; write 192.0.2.1"),
    (peer(address="fd00::/8"), "address: 'fd00::/8' is not an address; write 192.0.2.1"),
    (peer(endpoints="[192.0.2.1]"), "endpoints[0]: '192.0.2.1' is not an endpoint"),
    (peer(endpoints="['224.0.0.1:1']"), "endpoints[0]: '224.0.0.1:1' is never another host"),
    (peer(endpoints="['[fe80::1]:1']"), "endpoints[0]: '[fe80::1]:1' is on one link only"),
    (peer(endpoints="192.0.2.1"), "endpoints: write a list"),
    (peer(allowedIPs="[10.0.0.1]"), "allowedIPs[0]: '10.0.0.1' has no prefix length"),
    (peer(allowedIPs=f"[{SECRET}]"), "allowedIPs[0]: 44 characters that may be a secret cannot"),
    (peer(allowedIPs="[8.0.0.0/8]"), "allowedIPs: no host has so much of the internet"),
    (peer(allowedIPs="['::/0']"), "allowedIPs: no host has so much of the internet"),
    (peer(allowedIps="[]"), "allowedIps: there is no such key here; did you mean allowedIPs?"),
]


@pytest.mark.parametrize(("text", "message"), PEERS)
def test_what_is_wrong_with_a_peer(text: str, message: str) -> None:
    (found,) = mistakes(f"{HEAD}staticPeers:\n  - {text}\n")
    path = "UserspaceNodeConfig.staticPeers[0]"
    dot = "." if not message.startswith("write its") else ": "
    assert found.startswith("4:")
    assert found.partition(": ")[2].startswith(f"{path}{dot}{message}")
    assert KEY[:-2] not in found


def test_no_two_peers_have_a_name_or_a_key_in_common() -> None:
    text = f"""\
    apiVersion: v1alpha1
    kind: UserspaceNodeConfig
    staticPeers:
      - {peer()}
      - {peer(name="b")}
      - {peer(publicKey=OTHER_KEY)}
    """
    path = "UserspaceNodeConfig.staticPeers"
    assert mistakes(text) == [
        f"5:26: {path}[1].publicKey: the peer in line 4 has the same; change one",
        f"6:12: {path}[2].name: the peer in line 4 has the same; change one",
    ]
