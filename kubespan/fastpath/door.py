"""The one door to the data path: native where it was built, or "every packet is a miss".

Chooses and reports; holds nothing. In the pure build (`KUBESPAN_PURE=1`, or no compiled module) the
data path is `wireguard.purepath` and there are no lanes: whoever owns the descriptors reads them in
Python.
"""

from __future__ import annotations

import importlib.util
import os
from typing import Final, cast

from kubespan.fastpath.lanes import LaneOptions, Lanes
from kubespan.model.errors import ConfigError
from kubespan.wireguard.datapath import DataPath
from kubespan.wireguard.purepath import PurePath

NATIVE: Final = (
    os.environ.get("KUBESPAN_PURE", "") in ("", "0")
    and importlib.util.find_spec("kubespan._fastpath") is not None
)
"""Whether packets are moved by native lanes."""

FEW_PROCESSORS: Final = 2
"""Up to so many, one thread for both directions was measured to be the better choice."""

MOST_THREADS: Final = 16
"""As many as there are queues of a TUN device, in either direction."""

TUN_QUEUES: Final = 16 if NATIVE else 1
"""Lines in which packets of different flows wait to be sent. docs/adr/0023."""


def implementation() -> str:
    """Name the data path in use: "native" or "pure"."""
    return "native" if NATIVE else "pure"


def provider() -> str:
    """Name what seals and opens packets: one of `native.PROVIDERS`, "pynacl" in the pure build.

    Raises ConfigError when `KUBESPAN_AEAD` asks for what this machine does not have.
    """
    if not NATIVE:
        return "pynacl"
    from kubespan.fastpath import native  # noqa: PLC0415  the pure build cannot import it

    return native.choose_provider(os.environ.get("KUBESPAN_AEAD", ""))


def thread_count() -> int:
    """Return how many native threads an interface has: 2, one for each direction, or 1 for both.

    Where there are two processors or fewer, one thread carries more, and answers sooner: the other
    processor is for whoever sends. `KUBESPAN_THREADS` decides otherwise, and may ask for several in
    each direction. The pure build has 0.
    Raises ConfigError when `KUBESPAN_THREADS` asks for what cannot be, in the pure build too.
    """
    asked = os.environ.get("KUBESPAN_THREADS", "")
    if asked not in ("", *map(str, range(1, MOST_THREADS + 1))):
        raise ConfigError(
            f"KUBESPAN_THREADS={asked!r}: write a number from 1 to {MOST_THREADS}, or unset it"
        )
    if not NATIVE:
        return 0
    if asked:
        return int(asked)
    return 1 if len(os.sched_getaffinity(0)) <= FEW_PROCESSORS else 2


def check_environment() -> None:
    """Let nothing begin with a variable that would be refused later. Raises ConfigError."""
    provider()
    thread_count()


def create_path() -> DataPath:
    """Return a fresh data path of the implementation in use.

    Raises ConfigError as `check_environment`.
    """
    check_environment()
    if not NATIVE:
        return PurePath()
    from kubespan.fastpath import native  # noqa: PLC0415  the pure build cannot import it

    return native.NativePath()


def create_lanes(path: DataPath, options: LaneOptions) -> Lanes:
    """Return the lanes, not started, that move packets along a path of `create_path`.

    Only the native build has lanes. Raises MemoryError, SystemFault.
    """
    from kubespan.fastpath import native  # noqa: PLC0415  the pure build cannot import it

    return native.NativeLanes(cast("native.NativePath", path), options)
