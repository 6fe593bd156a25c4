"""Talos's single document, older than all others: the keys on the way to what we read."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from pydantic import BeforeValidator, Field

from kubespan.config import known
from kubespan.config.discovery import OptionalDiscovery
from kubespan.config.kubespan import KubeSpan
from kubespan.config.mistake import quote
from kubespan.config.scalar import Text, absent_if_null
from kubespan.config.section import Section
from kubespan.config.tree import View
from kubespan.model.resources import MachineType

MACHINE_TYPES: Final = {
    "": MachineType.WORKER,
    "worker": MachineType.WORKER,
    "join": MachineType.WORKER,
    "controlplane": MachineType.CONTROL_PLANE,
    "init": MachineType.INIT,
}
"""Talos's words; `join` is what a worker was called once."""


class Network(Section):
    """`machine.network`."""

    elsewhere: ClassVar[frozenset[str]] = known.MACHINE_NETWORK

    kubespan: Annotated[KubeSpan | None, BeforeValidator(absent_if_null)] = None


class Machine(Section):
    """`machine`."""

    elsewhere: ClassVar[frozenset[str]] = known.MACHINE

    type: Text = ""
    network: Network = Network()


class Cluster(Section):
    """`cluster`."""

    elsewhere: ClassVar[frozenset[str]] = known.CLUSTER

    id: Text = ""
    secret: Text = Field(default="", repr=False)
    discovery: OptionalDiscovery = None

    @property
    def has_identity(self) -> bool:
        """Whether the cluster's id or its secret is given here."""
        return bool(self.id or self.secret)


class LegacyDocument(Section):
    """The single document as a whole."""

    elsewhere: ClassVar[frozenset[str]] = known.ROOT

    version: Text = ""
    """Always v1alpha1, and not looked at by Talos either."""

    machine: Machine = Machine()
    cluster: Cluster = Cluster()


def mean_machine_type(text: str, view: View) -> MachineType:
    """Return the type of the machine; say if there is no such type."""
    if text not in MACHINE_TYPES:
        view.mistake(f"{quote(text)} is no type of machine; write worker, controlplane or init")
    return MACHINE_TYPES.get(text, MachineType.WORKER)
