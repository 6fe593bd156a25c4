"""What a request asks, and who asks it."""

from __future__ import annotations

import os
import socket

import pytest
from aiohttp.test_utils import make_mocked_request

from kubespan.api.asking import demand_owner, flag, number, text
from kubespan.api.refusal import Reason, Refused


def test_parameters() -> None:
    request = make_mocked_request("GET", "/?id=a%2Bb&secrets=1&timeout=2.5&dry_run=yes")
    assert (text(request, "id"), text(request, "namespace")) == ("a+b", "")
    assert (flag(request, "secrets"), flag(request, "dry_run")) == (True, False)
    assert (number(request, "timeout", 1), number(request, "peers", 1)) == (2.5, 1)


@pytest.mark.parametrize("given", ["x", "-1", "nan", "inf", "1e999"])
def test_what_is_no_number(given: str) -> None:
    request = make_mocked_request("GET", f"/?peers={given}")
    with pytest.raises(Refused, match=f"peers={given} is not a number from 0 up") as caught:
        number(request, "peers", 1)
    assert caught.value.reason is Reason.WRONG


class Transport:
    """The end of a connection."""

    def __init__(self, one: socket.socket) -> None:
        self._one = one

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self._one if name == "socket" else None


def test_only_some_may_change_things(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = socket.socketpair()
    with left, right:
        request = make_mocked_request("GET", "/", transport=Transport(left))
        demand_owner(request, "stop the node")
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        if os.getuid() == 0:
            demand_owner(request, "stop the node")
        else:
            with pytest.raises(Refused):
                demand_owner(request, "stop the node")


def test_whoever_cannot_be_known_may_not() -> None:
    with socket.socket(socket.AF_INET) as one:
        request = make_mocked_request("GET", "/", transport=Transport(one))
        with pytest.raises(Refused, match="only root or the user") as caught:
            demand_owner(request, "x")
    assert caught.value.reason is Reason.NOT_PERMITTED
