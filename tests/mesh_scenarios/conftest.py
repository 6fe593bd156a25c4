"""The scenarios of a mesh: real nodes, a real discovery service, on a small internet of their own.

One file per subject. Everything is read as an operator reads it: from the node's own status, from
the kernel's tables, and from the wire. What the mesh does with time, and with very many nodes, is
tested in virtual time (tests/simulated).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mesh_scenarios.mesh_lab import Mesh
from tests.netns.lab import Laboratory


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    """A small internet with a discovery service, and nobody in it."""
    with Laboratory() as lab:
        one = Mesh(lab)
        try:
            one.serve()
            yield one
        finally:
            one.close()
