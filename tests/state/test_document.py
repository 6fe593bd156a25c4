"""Small YAML files: byte for byte as Talos writes them, and refused when they say more."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kubespan.model.errors import ConfigError
from kubespan.state.document import build_document, parse_document

NAMES = ("privateKey", "publicKey")


def test_it_is_written_as_go_writes_it() -> None:
    fields = {"address": "", "privateKey": "gNoasoKOJzl+/B+uXhvsBVxv81OcVLrlcmQ5jQwZO08="}
    assert build_document(fields) == (
        'address: ""\nprivateKey: gNoasoKOJzl+/B+uXhvsBVxv81OcVLrlcmQ5jQwZO08=\n'
    )


@given(values=st.lists(st.text(), min_size=2, max_size=2))
@example(values=["12:34:56:12:34:56", "0x1F"])
@example(values=["yes", "null"])
def test_what_is_written_is_read_again(values: list[str]) -> None:
    fields = dict(zip(NAMES, values, strict=True))
    assert parse_document(build_document(fields), NAMES) == fields


@pytest.mark.parametrize(
    "text",
    [
        "publicKey: b\nprivateKey: a\n",
        "# copied by hand\n---\nprivateKey: 'a'\n\npublicKey: \"b\"\n...\n",
        "{privateKey: a, publicKey: b}",
        "\N{BYTE ORDER MARK}privateKey: a\npublicKey: b\n",
    ],
)
def test_any_way_to_say_the_same_is_read(text: str) -> None:
    assert parse_document(text, NAMES) == {"privateKey": "a", "publicKey": "b"}


def test_numbers_and_dates_stay_text() -> None:
    text = "privateKey: 0123456789\npublicKey: 2026-01-01\n"
    assert parse_document(text, NAMES) == {"privateKey": "0123456789", "publicKey": "2026-01-01"}


def test_what_may_be_there_need_not_be() -> None:
    text = "privateKey: a\npublicKey: b\n"
    assert "address" not in parse_document(text, NAMES, ("address",))
    assert parse_document(f"address: x\n{text}", NAMES, ("address",))["address"] == "x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n# nothing\n",
        "privateKey",
        "- privateKey\n- a\n",
        "privateKey: [a]\npublicKey: b\n",
        "privateKey: {a: b}\npublicKey: b\n",
        "privateKey: &x a\npublicKey: *x\n",
        "privateKey: a\npublicKey: b\n---\n{}\n",
        "privateKey: a\npubli",
        "privateKey: a\npublicKey: 'b",
        'privateKey: a\npublicKey: "\\U00110000"',
        'privateKey: a\npublicKey: "\\UFFFFFFFF"',
        "\x00" * 160,
        "[" * 1024,
        "%YAML " + "9" * 4300 + ".1\n---\n{}",
        "privateKey: a\n\tpublicKey: b\n",
    ],
)
def test_what_is_torn_or_foreign_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="it is torn or not one of ours"):
        parse_document(text, NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("privateKey: a\n", "no field 'publicKey'"),
        ("{}", "no field 'privateKey'"),
        ("privateKey: a\npublicKey: b\nother: c\n", "more fields than address, privateKey"),
        ("privateKey: a\nprivateKey: a\npublicKey: b\n", "one field twice"),
    ],
)
def test_fields_are_the_ones_that_belong_there(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_document(text, NAMES, ("address",))


@given(text=st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ConfigError):
        assert parse_document(text, NAMES).keys() == set(NAMES)


def test_a_refusal_never_repeats_the_text() -> None:
    secret = "gNoasoKOJzl+/B+uXhvsBVxv81OcVLrlcmQ5jQwZO08="
    for text in (f"privateKey: {secret}", f"privateKey: '{secret}", f"{secret}: {secret}"):
        with pytest.raises(ConfigError) as caught:
            parse_document(text, NAMES)
        assert secret[:8] not in str(caught.value)
