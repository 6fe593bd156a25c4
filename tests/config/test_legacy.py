"""The single document: which machines there are, and what of it is ignored."""

from __future__ import annotations

import pytest

from kubespan.config.known import CLUSTER, MACHINE, MACHINE_NETWORK, ROOT
from kubespan.config.legacy import Cluster
from kubespan.model.resources import MachineType
from tests.config.reading import SECRET, config, load, mistakes


@pytest.mark.parametrize(
    ("text", "machine_type"),
    [
        ("worker", MachineType.WORKER),
        ("join", MachineType.WORKER),
        ("''", MachineType.WORKER),
        ("", MachineType.WORKER),
        ("controlplane", MachineType.CONTROL_PLANE),
        ("init", MachineType.INIT),
    ],
)
def test_types_of_machines(text: str, machine_type: MachineType) -> None:
    assert config(f"machine:\n  type: {text}\n").machine_type is machine_type


@pytest.mark.parametrize("text", ["unknown", "Worker", "master"])
def test_no_type_of_machine(text: str) -> None:
    assert mistakes(f"machine:\n  type: {text}\n") == [
        f"2:9: machine.type: '{text}' is no type of machine; write worker, controlplane or init"
    ]


def test_every_key_that_talos_knows_is_ignored_by_its_name() -> None:
    lines = ["version: v1alpha1", *(f"{key}: [x]" for key in sorted(ROOT)), "machine:"]
    lines += [f"  {key}: {{whatever: [1]}}" for key in sorted(MACHINE)]
    lines += ["  network:", *(f"    {key}: x" for key in sorted(MACHINE_NETWORK)), "cluster:"]
    lines += [f"  {key}:" for key in sorted(CLUSTER)]
    paths = [
        *sorted(ROOT),
        *(f"machine.{key}" for key in sorted(MACHINE)),
        *(f"machine.network.{key}" for key in sorted(MACHINE_NETWORK)),
        *(f"cluster.{key}" for key in sorted(CLUSTER)),
    ]
    ignored = load("\n".join(lines)).ignored
    assert [one.path for one in ignored] == paths
    for one in ignored:
        assert lines[one.place.line - 1].lstrip().startswith(one.path.rpartition(".")[2])
        assert lines[one.place.line - 1][one.place.column - 1] == one.path.rpartition(".")[2][0]


NO_SUCH_KEY = "there is no such key here;"


def test_keys_that_nobody_knows() -> None:
    text = """\
    machin: {}
    machine:
      netwrok: {}
      network:
        kubspan: {}
    cluster:
      discovry: {}
      discovery: {registries: {servic: {}}}
    xyzzy: 1
    """
    assert mistakes(text) == [
        "1:1: machin: there is no such key here; did you mean machine?",
        "3:3: machine.netwrok: there is no such key here; did you mean network?",
        "5:5: machine.network.kubspan: there is no such key here; did you mean kubespan?",
        "7:3: cluster.discovry: there is no such key here; did you mean discovery?",
        f"8:28: cluster.discovery.registries.servic: {NO_SUCH_KEY} did you mean service?",
        "9:1: xyzzy: there is no such key here; remove it",
    ]


def test_a_section_does_not_print_its_secret() -> None:
    assert SECRET not in repr(Cluster.model_construct(secret=SECRET))
