"""Why something is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kubespan.discovery.hostile import BlobReason, BlobRefused


def refusal(what: Callable[..., object], *arguments: Any, **fields: Any) -> BlobReason:
    """Return the reason for which the call with these arguments is refused."""
    with pytest.raises(BlobRefused) as caught:
        what(*arguments, **fields)
    return caught.value.reason
