"""Who this host is, kept across restarts: Talos's two identity files, and one of our own.

Each is made when it is first asked for, and never again: a file that cannot be used is an error
and stays as it is, because whoever loses an identity is a stranger to its peers. Talos's files are
the same to the byte, so that a host's identity can be carried from one to the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeVar

from kubespan.mesh.identity import kubespan_identity
from kubespan.model import base62
from kubespan.model.errors import ConfigError
from kubespan.model.host import Link, first_physical_link
from kubespan.model.keys import KEY_SIZE, PrivateKey, PublicKey
from kubespan.model.resources import KubeSpanIdentity, NodeIdentity
from kubespan.model.ula import MAC_SIZE
from kubespan.state.directory import StateDirectory
from kubespan.state.document import build_document, parse_document

NODE_IDENTITY_FILE: Final = "node-identity.yaml"
KUBESPAN_IDENTITY_FILE: Final = "kubespan-identity.yaml"
GENERATED_MAC_FILE: Final = "generated-mac.yaml"

KEYS: Final = ("privateKey", "publicKey")
COMPUTED: Final = ("address", "subnet")
"""What Talos fills in memory only; on the disk they may say anything."""

NODE_ID_SIZE: Final = 32
NO_KEY: Final = PublicKey(bytes(KEY_SIZE)).base64()
MAC_TEXT: Final = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
GROUP_BIT, LOCAL_BIT = 0b01, 0b10

_Kept = TypeVar("_Kept")


def load_node_identity(directory: StateDirectory, random: Callable[[int], bytes]) -> NodeIdentity:
    """Return the host's identity in its cluster, made if there is none.

    `random` returns so many random bytes. Raises ConfigError if the file cannot be used, and
    SystemFault if the disk fails.
    """

    def fresh() -> dict[str, str]:
        return {"nodeId": base62.encode(random(NODE_ID_SIZE))}

    def parse(text: str) -> NodeIdentity:
        return _node_identity(parse_document(text, ("nodeId",)))

    return _load(directory, NODE_IDENTITY_FILE, fresh, parse)


def load_kubespan_identity(
    directory: StateDirectory,
    cluster_id: str,
    links: Iterable[Link],
    random: Callable[[int], bytes],
) -> KubeSpanIdentity:
    """Return who the host is to its peers, made as far as it is not there.

    The address follows from the first physical link's MAC; where there is no such link, from one
    that is generated once and kept. Raises as `load_node_identity` does.
    """
    link = first_physical_link(links)
    private_key = load_private_key(directory, random)
    mac = link.mac if link is not None else load_generated_mac(directory, random)
    return kubespan_identity(cluster_id, mac, private_key)


def load_private_key(directory: StateDirectory, random: Callable[[int], bytes]) -> PrivateKey:
    """Return the host's key, made if there is none. Raises as `load_node_identity` does."""

    def fresh() -> dict[str, str]:
        key = PrivateKey(random(KEY_SIZE))
        return {
            "address": "",
            "subnet": "",
            "privateKey": key.base64(),
            "publicKey": key.public_key.base64(),
        }

    def parse(text: str) -> PrivateKey:
        return _private_key(parse_document(text, KEYS, COMPUTED))

    return _load(directory, KUBESPAN_IDENTITY_FILE, fresh, parse)


def load_generated_mac(directory: StateDirectory, random: Callable[[int], bytes]) -> bytes:
    """Return six bytes that no network card has, made if there are none.

    They stand for a MAC where there is no physical link. Raises as `load_node_identity` does.
    """

    def fresh() -> dict[str, str]:
        raw = random(MAC_SIZE)
        return {"mac": (bytes((raw[0] & ~GROUP_BIT | LOCAL_BIT,)) + raw[1:]).hex(":")}

    def parse(text: str) -> bytes:
        return _generated_mac(parse_document(text, ("mac",)))

    return _load(directory, GENERATED_MAC_FILE, fresh, parse)


def _load(
    directory: StateDirectory,
    name: str,
    fresh: Callable[[], Mapping[str, str]],
    parse: Callable[[str], _Kept],
) -> _Kept:
    text = directory.read(name)
    if text is None:
        directory.create(name, build_document(fresh()))
        # Read, not remembered: another process may have been quicker, and is right then.
        text = directory.read(name)
    try:
        return parse(text or "")
    except ConfigError as error:
        raise ConfigError(
            f"{directory.path / name}: {error}; restore it from a copy, or move it away for a new"
            " identity"
        ) from None


def _node_identity(fields: Mapping[str, str]) -> NodeIdentity:
    node_id = fields["nodeId"]
    raw = base62.decode(node_id)
    if len(raw) != NODE_ID_SIZE or not any(raw) or base62.encode(raw) != node_id:
        raise ConfigError(f"its nodeId is not {NODE_ID_SIZE} bytes as Talos writes them")
    return NodeIdentity(node_id)


def _private_key(fields: Mapping[str, str]) -> PrivateKey:
    if fields["privateKey"] == NO_KEY:
        raise ConfigError("its private key is all zeros")
    private_key = PrivateKey.from_base64(fields["privateKey"])
    if private_key.public_key != PublicKey.from_base64(fields["publicKey"]):
        raise ConfigError("its private key and its public key do not belong together")
    return private_key


def _generated_mac(fields: Mapping[str, str]) -> bytes:
    text = fields["mac"]
    raw = bytes.fromhex(text.replace(":", "")) if MAC_TEXT.fullmatch(text) else bytes(MAC_SIZE)
    if raw[0] & (GROUP_BIT | LOCAL_BIT) != LOCAL_BIT:
        raise ConfigError("its mac is not six octets, the first of which ends in 2, 6, a or e")
    return raw
