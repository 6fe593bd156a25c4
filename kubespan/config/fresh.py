"""A configuration for a cluster that does not exist yet, as text. Randomness is an argument.

In the newest form that Talos reads, beside one document that only we read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import yaml

from kubespan.config.known import API_VERSION, IDENTITY, KUBESPAN, OWN, SERVICE
from kubespan.model.cluster import ClusterSecret

DEFAULT_NAME: Final = "default"
"""Of the first discovery service, as Talos names it."""

HEADING: Final = """\
# One cluster: the same id and secret on all its nodes. Whoever has this file can join, so keep it
# secret. Talos nodes take the documents up to the last one, which only kubespan knows.
"""

EXAMPLES: Final = """\
# listenPort: 51820
# nodeName: worker-1                    # of the Kubernetes node that this host is, if it is one
# podNetworks: [10.244.3.0/24]          # of its pods: `kubectl get node -o yaml`, spec.podCIDRs
# clusterNetworks: [10.244.0.0/16, 10.96.0.0/12]  # of all pods and services
# hostname: worker-1.example.com
# stateDirectory: /var/lib/kubespan
# metricsAddress: 127.0.0.1:9090
# labels:
#   site: north
# staticPeers:                          # those that need no discovery
#   - name: gateway
#     publicKey: NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=
#     address: fd00::1
#     endpoints: ["192.0.2.1:51820"]
#     allowedIPs: [10.0.0.0/24]
"""


def build_config(
    cluster_id: bytes, secret: bytes, services: Sequence[str], *, with_kubespan: bool
) -> str:
    """Return a whole configuration; 32 random bytes each for id and secret, URLs of services."""
    documents = [
        _document(
            IDENTITY,
            clusterID=ClusterSecret(cluster_id).base64(),
            clusterSecret=ClusterSecret(secret).base64(),
        ),
        *(
            _document(SERVICE, name=_service_name(number), endpoint=url)
            for number, url in enumerate(services, 1)
        ),
    ]
    if with_kubespan:
        documents.append(_document(KUBESPAN, enabled=True))
    documents.append(_document(OWN))
    return HEADING + yaml.safe_dump_all(documents, sort_keys=False) + EXAMPLES


def _document(kind: str, **keys: Any) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, **keys}


def _service_name(number: int) -> str:
    return DEFAULT_NAME if number == 1 else f"{DEFAULT_NAME}-{number}"
