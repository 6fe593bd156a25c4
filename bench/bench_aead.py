"""Sealing and opening: the native provider by packet size and batch, PyNaCl's libsodium beside it.

Every figure is for the whole batch; the group's name has size and batch, `extra_info` bytes. Python
objects are made for every packet here, which the lanes never do: compare batches and providers,
and read absolute figures as upper bounds. `KUBESPAN_AEAD=libsodium` runs another provider;
`python -m bench.aead` compares them without Python in between.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
)

from bench import native
from kubespan import fastpath

SIZES = (64, 512, 1420, 8920)
BATCHES = (1, 2, 4, 8, 16, 32, 45)
KEY = bytes(range(32))

_fastpath = native.load()
needs_native = pytest.mark.skipif(_fastpath is None, reason="the native module is not built")


@pytest.fixture
def batch(request: pytest.FixtureRequest, benchmark: Any) -> tuple[list[bytes], list[int]]:
    """Packets of one size and their counters, the run labelled after them."""
    size, count = request.param
    benchmark.group = f"{size} bytes, batch {count}"
    benchmark.extra_info.update(size=size, batch=count, bytes=size * count)
    return [os.urandom(size) for _ in range(count)], list(range(count))


every_batch = pytest.mark.parametrize(
    "batch", [(s, b) for s in SIZES for b in BATCHES], indirect=True, ids=lambda p: f"{p[0]}x{p[1]}"
)
singles = pytest.mark.parametrize(
    "batch", [(size, 1) for size in SIZES], indirect=True, ids=lambda p: f"{p[0]}x1"
)


@needs_native
@every_batch
def test_native_seal(benchmark: Any, batch: tuple[list[bytes], list[int]]) -> None:
    assert _fastpath is not None
    benchmark.extra_info["provider"] = fastpath.provider()
    sealed = benchmark(_fastpath.Aead().seal, KEY, *batch)
    assert len(sealed[0]) == len(batch[0][0]) + 16


@needs_native
@every_batch
def test_native_open(benchmark: Any, batch: tuple[list[bytes], list[int]]) -> None:
    assert _fastpath is not None
    benchmark.extra_info["provider"] = fastpath.provider()
    packets, counters = batch
    aead = _fastpath.Aead()
    sealed = aead.seal(KEY, packets, counters)
    assert benchmark(aead.open, KEY, sealed, counters) == packets


@singles
def test_pynacl_seal(benchmark: Any, batch: tuple[list[bytes], list[int]]) -> None:
    packet, nonce = batch[0][0], bytes(12)
    sealed = benchmark(crypto_aead_chacha20poly1305_ietf_encrypt, packet, b"", nonce, KEY)
    assert len(sealed) == len(packet) + 16


@singles
def test_pynacl_open(benchmark: Any, batch: tuple[list[bytes], list[int]]) -> None:
    packet, nonce = batch[0][0], bytes(12)
    sealed = crypto_aead_chacha20poly1305_ietf_encrypt(packet, b"", nonce, KEY)
    assert benchmark(crypto_aead_chacha20poly1305_ietf_decrypt, sealed, b"", nonce, KEY) == packet
