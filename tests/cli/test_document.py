"""Documents: JSON and YAML as Go's encoders write them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kubespan.cli.document import to_json, to_yaml


def test_json_is_in_order_and_indented() -> None:
    assert to_json({"b": [1, "ä"], "a": {}}) == (
        '{\n    "a": {},\n    "b": [\n        1,\n        "ä"\n    ]\n}\n'
    )


def test_yaml_is_indented_by_four_and_lists_too() -> None:
    document = {
        "node": "172.20.0.2",
        "spec": {
            "addresses": ["172.20.0.3", "fd50::1"],
            "none": [],
            "services": [{"name": "a", "endpoint": "a:443"}, {"name": "b", "deep": {"x": [1]}}],
            "last": True,
        },
    }
    assert to_yaml(document) == (
        "node: 172.20.0.2\n"
        "spec:\n"
        "    addresses:\n"
        "        - 172.20.0.3\n"
        "        - fd50::1\n"
        "    none: []\n"
        "    services:\n"
        "        - name: a\n"
        "          endpoint: a:443\n"
        "        - name: b\n"
        "          deep:\n"
        "            x:\n"
        "                - 1\n"
        "    last: true\n"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", '""'),
        ("true", '"true"'),
        ("no", '"no"'),
        ("7", '"7"'),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z"),
        ("2026-01-01T10:02:41.123456789Z", "2026-01-01T10:02:41.123456789Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("2026-01-01", '"2026-01-01"'),
        ("172.20.0.3:51820", "172.20.0.3:51820"),
        ("[2001:db8::1]:51820", "'[2001:db8::1]:51820'"),
        ("fd50::1/128", "fd50::1/128"),
        ("NzW8oeIH5rJyY5lefD9WRoHWWRr/Q6DwsDjMX+xKjT4=", None),
        ("x" * 300, None),
        ("(hidden)", "(hidden)"),
        ("a\x85b\n", '"a\\Nb\\n"'),
        (7, "7"),
        (None, "null"),
    ],
)
def test_scalars(value: Any, text: str | None) -> None:
    assert to_yaml({"key": value}) == f"key: {value if text is None else text}\n"


def test_the_same_list_twice_is_written_twice() -> None:
    one = ["a"]
    assert "&" not in to_yaml({"x": one, "y": one})


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values)
def test_yaml_means_what_it_was_made_of(value: Any) -> None:
    assert yaml.safe_load(to_yaml({"key": value})) == {"key": value}
