"""Constants agree with each other and with the paper, and say where they come from."""

from __future__ import annotations

import ast
import inspect
from itertools import pairwise

import pytest

from kubespan.model import constants

INDEX, COUNTER, TIMESTAMP, COOKIE, TAG, NONCE, KEY = 4, 8, 12, 16, 16, 24, 32
HEADER = 4 + INDEX
MACS = 2 * 16
PAPER = {
    "REKEY_AFTER_MESSAGES": 2**60,
    "REJECT_AFTER_MESSAGES": 2**64 - 2**13 - 1,
    "REKEY_AFTER_TIME": 120,
    "REJECT_AFTER_TIME": 180,
    "REKEY_ATTEMPT_TIME": 90,
    "REKEY_TIMEOUT": 5,
    "KEEPALIVE_TIMEOUT": 10,
    "COOKIE_REFRESH_TIME": 120,
    "REKEY_AFTER_TIME_RECEIVING": 180 - 10 - 5,
    "ZERO_KEY_AFTER": 3 * 180,
    "MESSAGE_INITIATION_SIZE": HEADER + KEY + (KEY + TAG) + (TIMESTAMP + TAG) + MACS,
    "MESSAGE_RESPONSE_SIZE": HEADER + INDEX + KEY + TAG + MACS,
    "MESSAGE_COOKIE_REPLY_SIZE": HEADER + NONCE + (COOKIE + TAG),
    "MESSAGE_TRANSPORT_HEADER_SIZE": HEADER + COUNTER,
    "MESSAGE_TRANSPORT_MIN_SIZE": HEADER + COUNTER + TAG,
}
SOURCES = ("Paper §", "Kernel ", "wireguard-go", "RFC ", "Talos", "Discovery", "siderolabs", "Ours")


@pytest.mark.parametrize(("name", "value"), PAPER.items())
def test_both_ends_agree(name: str, value: float) -> None:
    assert getattr(constants, name) == value


def test_retries_fill_the_time_allowed_for_them() -> None:
    retries_last = constants.MAX_TIMER_HANDSHAKES * constants.REKEY_TIMEOUT
    assert retries_last == constants.REKEY_ATTEMPT_TIME


def test_a_cookie_is_let_go_before_its_issuer_forgets_it() -> None:
    assert constants.COOKIE_VALIDITY < constants.COOKIE_REFRESH_TIME


def test_counters_end_before_the_window_could_wrap() -> None:
    assert constants.REJECT_AFTER_MESSAGES + constants.REPLAY_WINDOW < 2**64


def test_the_default_mtu_leaves_room_for_the_overhead_over_ipv6() -> None:
    ipv6, udp = 40, 8
    overhead = ipv6 + udp + constants.MESSAGE_TRANSPORT_MIN_SIZE
    assert constants.DEFAULT_MTU + overhead == 1500


def test_every_constant_names_its_source() -> None:
    body = ast.parse(inspect.getsource(constants)).body
    followers = dict(pairwise(body))
    for node in body:
        if isinstance(node, ast.AnnAssign):
            words = followers[node]
            assert isinstance(words, ast.Expr), ast.unparse(node)
            assert isinstance(words.value, ast.Constant), ast.unparse(node)
            assert any(source in str(words.value.value) for source in SOURCES), ast.unparse(node)
