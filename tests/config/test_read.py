"""The door: whole configurations, files that are none, and any text whatever."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubespan.config import known
from kubespan.config.document import SECTIONS
from kubespan.config.mistake import ConfigMistakes, Mistake
from kubespan.config.read import (
    MAX_SIZE,
    Loaded,
    load_config,
    parse_config,
    read_config,
    read_stream,
)
from kubespan.model.address import Endpoint, Prefix
from kubespan.model.cluster import ClusterSecret
from kubespan.model.config import DiscoveryService, KubeSpanConfig, NodeConfig, StaticPeer
from kubespan.model.errors import ConfigError, SystemFault
from kubespan.model.keys import PublicKey
from kubespan.model.resources import MachineType
from tests.config.reading import CLUSTER_ID, EXAMPLES, PUBLIC_KEYS, SECRET, mistakes

# ---- whole configurations

SINGLE = NodeConfig(
    cluster_id=CLUSTER_ID,
    cluster_secret=ClusterSecret.from_base64(SECRET),
    kubespan=KubeSpanConfig(
        enabled=True,
        force_routing=False,
        mtu=1380,
        endpoint_filters=("0.0.0.0/0", "!192.168.0.0/16", "::/0"),
        exclude_advertised_networks=(Prefix.parse("192.168.1.0/24"),),
        extra_announced_endpoints=(Endpoint.parse("203.0.113.7:51820"),),
    ),
    services=(DiscoveryService("legacy", "discovery.example.com:8443"),),
    machine_type=MachineType.CONTROL_PLANE,
)

MULTI = NodeConfig(
    cluster_id=CLUSTER_ID.replace("_", "/"),
    cluster_secret=ClusterSecret.from_base64(SECRET),
    kubespan=KubeSpanConfig(
        enabled=True,
        advertise_kubernetes_networks=True,
        harvest_extra_endpoints=True,
        endpoint_filters=("::/0", "0.0.0.0/0"),
        peer_endpoint_filters=("0.0.0.0/0", "!10.0.0.0/8"),
        exclude_advertised_networks=(Prefix.parse("192.168.1.0/24"), Prefix.parse("2003::/16")),
    ),
    services=(
        DiscoveryService("default", "discovery.example.com:443"),
        DiscoveryService("lab", "[2001:db8::53]:3000", insecure=True),
    ),
    listen_port=51821,
    node_name="worker-3",
    hostname="worker-3.example.com",
    static_peers=(
        StaticPeer(
            "gateway",
            PublicKey.from_base64(PUBLIC_KEYS[0]),
            None,
            (Endpoint.parse("192.0.2.1:51820"),),
            (Prefix.parse("10.9.0.0/16"),),
        ),
    ),
    labels={"site": "north"},
    metrics_address="127.0.0.1:9090",
)

IGNORED = {
    "single.yaml": """
        3 debug, 4 persist, 7 machine.token, 8 machine.ca, 11 machine.certSANs, 12 machine.kubelet,
        17 machine.network.hostname, 18 machine.network.interfaces, 27 machine.network.nameservers,
        40 machine.install, 44 machine.files, 51 machine.sysctls, 52 machine.features,
        58 cluster.controlPlane, 59 cluster.clusterName, 60 cluster.network, 65 cluster.token,
        66 cluster.secretboxEncryptionSecret, 67 cluster.ca, 68 cluster.apiServer,
        71 cluster.controllerManager, 72 cluster.scheduler, 73 cluster.etcd,
        79 cluster.inlineManifests, 90 VolumeConfig
    """,
    "multi.yaml": "2 HostnameConfig, 31 KubeletConfig, 35 TrustedRootsConfig",
}


@pytest.mark.parametrize(("name", "config"), [("single.yaml", SINGLE), ("multi.yaml", MULTI)])
def test_a_real_configuration(name: str, config: NodeConfig) -> None:
    loaded = read_config(EXAMPLES / name)
    assert loaded.config == config
    ignored = [f"{one.place.line} {one.path}" for one in loaded.ignored]
    assert ignored == [" ".join(one.split()) for one in IGNORED[name].split(",")]


@pytest.mark.parametrize("name", IGNORED)
def test_secrets_are_in_no_repr(name: str) -> None:
    assert SECRET not in repr(read_config(EXAMPLES / name))


# ---- files that are none


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file.*kubespan gen config"):
        read_config(tmp_path / "none.yaml")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Is a directory"):
        read_config(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(SystemFault) as raised:
        read_config(str(loop))
    assert raised.value.errno == errno.ELOOP


def test_an_endless_file_is_read_no_further_than_needed() -> None:
    with Path(os.devnull).with_name("zero").open("rb") as zero:
        with pytest.raises(ConfigMistakes, match="larger than 4 MiB"):
            read_stream(zero, "zero")
        assert zero.tell() <= MAX_SIZE + 2 * io.DEFAULT_BUFFER_SIZE


def test_the_largest_file() -> None:
    text = b"version: v1alpha1\n#"
    load_config(text + b"x" * (MAX_SIZE - len(text)), "t")
    with pytest.raises(ConfigMistakes, match=r"^t:1:1: this is larger than 4 MiB"):
        load_config(text + b"x" * (MAX_SIZE - len(text) + 1), "t")


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"a: \xff", "1:4"),
        ("é: x\nb: é".encode("latin-1"), "1:1"),
        ("a: 1".encode("utf-16"), "1:1"),
    ],
)
def test_another_encoding(raw: bytes, place: str) -> None:
    with pytest.raises(ConfigMistakes) as raised:
        load_config(raw, "t")
    assert str(raised.value) == f"t:{place}: this is not UTF-8; save the file in that encoding"


def test_the_place_of_another_encoding_counts_characters() -> None:
    with pytest.raises(ConfigMistakes, match=r"^t:2:4:"):
        load_config("é: x\né: ".encode() + b"\xe9", "t")


def test_marks_of_another_system_mean_nothing() -> None:
    raw = "\ufeffversion: v1alpha1\r\nmachine:\r\n  type: init\r\n".encode()
    assert load_config(raw, "t").config.machine_type is MachineType.INIT


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n---\n~\n", "null"])
def test_an_empty_file(text: str) -> None:
    assert mistakes(text) == ["1:1: there is nothing in it; make one with `kubespan gen config`"]


@pytest.mark.parametrize(("text", "place"), [("- a\n", "1:1"), ("a: 1\n---\nword", "3:1")])
def test_a_document_that_is_no_mapping(text: str, place: str) -> None:
    message = "a document is made of keys with values, such as machine: and cluster:"
    assert f"{place}: {message}" in mistakes(text)


def test_null_documents_are_passed_over() -> None:
    assert parse_config("---\n---\nversion: v1alpha1\n---\n", "t") == Loaded(NodeConfig())


def test_repeated_keys_are_mistakes_of_their_document() -> None:
    text = "---\nmtu: 1300\nmtu: 1400\napiVersion: v1alpha1\nkind: KubeSpanConfig\n"
    repeated = "remove this; the key stands in line 2 already"
    assert mistakes(text) == [f"3:1: KubeSpanConfig.mtu: {repeated}"]


def test_repeated_keys_are_found_in_what_is_ignored_too() -> None:
    (found,) = mistakes("machine:\n  kubelet:\n    image: a\n    image: b\n")
    assert found.startswith("4:5: machine.kubelet.image: remove this")


def test_mistakes_before_text_that_cannot_be_read() -> None:
    text = "apiVersion: v1alpha1\nkind: KubeSpanConfig\nmtu: 1\nenabled: yes\n---\na:\n\tb: c\n"
    first, second = mistakes(text)
    assert first.startswith("3:6: KubeSpanConfig.mtu: ")
    assert second == "7:1: this is not YAML: indent with spaces; a tab cannot indent"


# ---- any text whatever

NAMES = sorted(
    {
        *("apiVersion", "kind", "machine", "cluster", "network", "version", "v1alpha1", "<<"),
        *("mtu", "true", "yes", "1280", "0", "", "~", "10.0.0.0/8", "!::1", "192.0.2.1:1"),
        *("https://h", "http://[::1]:1/p", SECRET, PUBLIC_KEYS[0], "worker", "a", "é"),
        *SECTIONS,
        *(key for section in SECTIONS.values() for key in section.keys()),  # noqa: SIM118
        *("type", "kubespan", "filters", "endpoints", "id", "secret", "discovery", "enabled"),
        *("registries", "service", "kubernetes", "disabled", "name", "publicKey", "allowedIPs"),
        *sorted(known.MACHINE)[:3],
    }
)
WORDS = st.sampled_from(NAMES) | st.text(max_size=3)
SCALARS = WORDS | st.integers() | st.booleans() | st.none() | st.floats()
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=20,
)
HEADS = st.sampled_from([None, *SECTIONS])


def judge(text: str) -> None:
    """The text is right, or every mistake of it is one good line without a secret."""
    try:
        said = repr(parse_config(text, "t"))
        found: tuple[Mistake, ...] = ()
    except ConfigMistakes as error:
        said, found = str(error), error.mistakes
    assert SECRET not in said
    assert len(said.splitlines()) == max(len(found), 1)
    lines = sum(map(text.count, "\n\r\x85\u2028\u2029")) + 2
    for mistake in found:
        assert 1 <= mistake.place.line <= lines
        assert mistake.place.column >= 1
        assert mistake.message


@given(st.text(alphabet=st.one_of(st.sampled_from("ab:-[]{}&*!|>'\"%#?<,\n\t ~"), st.characters())))
def test_any_text(text: str) -> None:
    judge(text)


@given(st.binary())
def test_any_bytes(raw: bytes) -> None:
    try:
        load_config(raw, "t")
    except ConfigMistakes as error:
        assert error.mistakes != ()  # noqa: PT017  either outcome is right


@given(st.lists(st.tuples(HEADS, st.dictionaries(WORDS, TREES, max_size=6)), max_size=4))
def test_any_trees(documents: list[tuple[str | None, dict[str, object]]]) -> None:
    heads = [
        {} if kind is None else {"apiVersion": "v1alpha1", "kind": kind} for kind, _ in documents
    ]
    whole = [{**tree, **head} for head, (_, tree) in zip(heads, documents, strict=True)]
    judge(yaml.safe_dump_all(whole, allow_unicode=True))


SHAPE = {
    "machine": {
        "type": TREES,
        "network": TREES
        | st.fixed_dictionaries(
            {},
            optional={
                "kubespan": st.fixed_dictionaries(
                    {},
                    optional={"enabled": SCALARS, "mtu": SCALARS, "filters": TREES},
                )
            },
        ),
    },
    "cluster": {"id": SCALARS, "secret": SCALARS, "discovery": TREES},
}
LEGACY = st.fixed_dictionaries(
    {}, optional={key: st.fixed_dictionaries({}, optional=keys) for key, keys in SHAPE.items()}
)
OWN = st.fixed_dictionaries(
    {"apiVersion": st.just("v1alpha1"), "kind": st.just(known.OWN)},
    optional=dict.fromkeys(SECTIONS[known.OWN].keys(), TREES),
)


@given(LEGACY, OWN)
def test_trees_that_are_nearly_right(legacy: object, own: object) -> None:
    judge(yaml.safe_dump_all([legacy, own], allow_unicode=True))


PLACES_FOR_SECRETS = [
    f"cluster: {{secret: '{SECRET} ', id: x}}",
    f"cluster: {{secret: [{SECRET}]}}",
    f"cluster: {{secrt: {SECRET}, {SECRET}: 1}}",
    f"cluster: {{secret: {SECRET}a}}",
    f"cluster: {{secret: {SECRET}, secret: {SECRET}}}",
    f"machine: {{type: {SECRET}}}",
    f"machine: {{network: {{kubespan: {{enabled: on, filters: {{endpoints: [{SECRET}]}}}}}}}}",
    f"machine: {{network: {{kubespan: {{enabled: {SECRET}, mtu: {SECRET}}}}}}}",
    f"apiVersion: v1alpha1\nkind: {SECRET}",
    f"apiVersion: {SECRET}\nkind: DiscoveryIdentityConfig\nclusterSecret:{SECRET}",
    f"apiVersion: v1alpha1\nkind: UserspaceNodeConfig\nnodeName: {SECRET}\nhostname: {SECRET}",
    f"apiVersion: v1alpha1\nkind: UserspaceNodeConfig\nlabels: {{{SECRET}: {SECRET}}}",
    f"apiVersion: v1alpha1\nkind: {known.OWN}\nstaticPeers: [{{publicKey: '{SECRET[1:]}'}}]",
    f"a: !{SECRET} b",
    f"a: *{SECRET[:20]}",
    SECRET,
    f"cluster: {{secret: *{SECRET.partition('+')[0]}}}",
]


@pytest.mark.parametrize("text", PLACES_FOR_SECRETS, ids=range(len(PLACES_FOR_SECRETS)))
def test_a_secret_in_the_wrong_place_is_not_repeated(text: str) -> None:
    said = "\n".join(mistakes(text))
    assert said
    assert SECRET[1:-1] not in said
    assert SECRET[:32] not in said
