"""The two clocks WireGuard needs, read together. Nothing else in the package asks what time it is.

CLOCK_BOOTTIME goes on while the machine sleeps, so that keys age then too. man 2 clock_gettime.
"""

from __future__ import annotations

import time

from kubespan.model.instant import Instant


class Clock:
    """The system's clocks."""

    def now(self) -> Instant:
        """Return the present moment."""
        return Instant(time.clock_gettime(time.CLOCK_BOOTTIME), time.time_ns())
