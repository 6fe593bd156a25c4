"""The cluster's secret: read exactly, hidden, wiped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubespan.model.cluster import ClusterSecret
from kubespan.model.errors import ConfigError, InternalError

# From the specification's own vectors.
TEXT = "vlf2HU1NEZL3Ezi9Tk+RZBLJUbjnsHnTzs3wK9JNk6Q="
RAW = bytes.fromhex("be57f61d4d4d1192f71338bd4e4f916412c951b8e7b079d3cecdf02bd24d93a4")


def test_vector() -> None:
    assert ClusterSecret.from_base64(TEXT).raw == RAW
    assert ClusterSecret(RAW).base64() == TEXT


@given(raw=st.binary(min_size=32, max_size=32))
def test_text_is_the_inverse_of_reading(raw: bytes) -> None:
    secret = ClusterSecret(raw)
    assert ClusterSecret.from_base64(secret.base64()) == secret
    assert secret.raw == raw


@pytest.mark.parametrize(
    "text", ["~" * 44, TEXT.replace("+", "-"), TEXT[:-1], f" {TEXT}", f"{TEXT}\n", "é"]
)
def test_what_is_not_base64_says_what_to_do(text: str) -> None:
    with pytest.raises(ConfigError, match=r"not standard base64 .* `kubespan gen config`") as hit:
        ClusterSecret.from_base64(text)
    assert TEXT[:8] not in str(hit.value)
    assert hit.value.__cause__ is None


@pytest.mark.parametrize(("text", "size"), [("", 0), ("AAAA", 3), ("A" * 44, 33)])
def test_another_length_says_what_to_do(text: str, size: int) -> None:
    with pytest.raises(ConfigError, match=rf"is {size} bytes .* must be 32"):
        ClusterSecret.from_base64(text)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_is_32_bytes(size: int) -> None:
    with pytest.raises(InternalError, match=f"not {size}"):
        ClusterSecret(bytes(size))


def test_it_never_prints_itself() -> None:
    secret = ClusterSecret(RAW)
    assert repr(secret) == str(secret) == f"{secret}" == "ClusterSecret(hidden)"
    assert f"{[secret]}" == "[ClusterSecret(hidden)]"


def test_a_wiped_secret_is_gone_from_memory() -> None:
    secret = ClusterSecret(RAW)
    memory = secret._secret
    secret.wipe()
    assert memory is secret._secret
    assert memory == bytes(32)
    assert secret.raw == bytes(32)


def test_it_equals_what_holds_the_same_and_has_no_hash() -> None:
    assert ClusterSecret(RAW) == ClusterSecret(RAW)
    assert ClusterSecret(RAW) != ClusterSecret(bytes(32))
    assert ClusterSecret(RAW) != RAW
    with pytest.raises(TypeError):
        hash(ClusterSecret(RAW))
