"""The native module for benchmarks of its parts, or None where it is not built or not wanted."""

from __future__ import annotations

from types import ModuleType

from kubespan import fastpath


def load() -> ModuleType | None:
    """The module with its AEAD provider chosen as `KUBESPAN_AEAD` says."""
    if fastpath.implementation() != "native":
        return None
    fastpath.provider()
    from kubespan import _fastpath  # noqa: PLC0415 -- only where it is built

    return _fastpath
