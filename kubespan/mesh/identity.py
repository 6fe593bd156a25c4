"""Who a node is inside the mesh: a key, and an address that follows from its cluster and a MAC."""

from __future__ import annotations

from kubespan.model.keys import PrivateKey
from kubespan.model.resources import KubeSpanIdentity
from kubespan.model.ula import host_address, kubespan_subnet


def kubespan_identity(cluster_id: str, mac: bytes, private_key: PrivateKey) -> KubeSpanIdentity:
    """Return the identity of the host with this MAC, 6 bytes, in a cluster.

    Nobody checks the MAC: any bytes do that stay the same and that no other member has.
    """
    subnet = kubespan_subnet(cluster_id)
    return KubeSpanIdentity(host_address(subnet, mac), subnet, private_key)
