"""One log line for every change of state in the mesh, with its reason. Nothing else is decided."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from structlog.typing import FilteringBoundLogger

from kubespan.mesh.mtu import Mtu
from kubespan.mesh.problem import Problem
from kubespan.mesh.reconciler import Outcome
from kubespan.model.keys import PublicKey
from kubespan.model.resources import KubeSpanPeerStatus, PeerState

NOBODY: Mapping[PublicKey, KubeSpanPeerStatus] = MappingProxyType({})


class Journal:
    """Tells what is otherwise than it was at the last outcome."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._statuses = NOBODY
        self._mtu: Mtu | None = None
        self._problems: frozenset[Problem] = frozenset()

    def follow(self, outcome: Outcome) -> None:
        """Write down what has changed."""
        for key, status in outcome.statuses.items():
            self._follow_peer(key, self._statuses.get(key), status)
        for key in self._statuses.keys() - outcome.statuses.keys():
            self._log.info("peer left", peer=_name(key, self._statuses[key]))
        if outcome.mtu != self._mtu:
            self._log.info("mtu", mtu=outcome.mtu.value, reason=outcome.mtu.reason)
        for problem in set(outcome.problems) - self._problems:
            self._log.warning(problem.text, code=problem.code.value, peer=problem.peer)
        self._statuses = outcome.statuses
        self._mtu = outcome.mtu
        self._problems = frozenset(outcome.problems)

    def _follow_peer(
        self, key: PublicKey, before: KubeSpanPeerStatus | None, status: KubeSpanPeerStatus
    ) -> None:
        if status is before:
            return
        name, endpoint = _name(key, status), _text(status.endpoint)
        if before is None:
            self._log.info("peer found", peer=name, endpoint=endpoint)
        elif status.state is not before.state:
            self._log.info(
                f"peer {status.state.value}",
                peer=name,
                endpoint=endpoint,
                reason=_reason(before, status),
            )
        elif status.last_endpoint_change_at != before.last_endpoint_change_at:
            self._log.info("peer tried elsewhere", peer=name, endpoint=endpoint)
        elif status.endpoint != before.endpoint:
            self._log.info("peer moved", peer=name, endpoint=endpoint)


def _reason(before: KubeSpanPeerStatus, status: KubeSpanPeerStatus) -> str:
    if status.state is PeerState.UP:
        return "it answered a handshake"
    if status.last_endpoint_change_at != before.last_endpoint_change_at:
        was = _text(before.endpoint)
        return (
            f"it left data unanswered at {was}"
            if before.state is PeerState.UP
            else (f"nobody answered at {was}")
        )
    if before.state is PeerState.UP:
        return "its last handshake is too old"
    return "nobody answers, and there is nowhere else to try"


def _name(key: PublicKey, status: KubeSpanPeerStatus) -> str:
    return status.label or key.base64()


def _text(endpoint: object) -> str:
    return "none" if endpoint is None else str(endpoint)
