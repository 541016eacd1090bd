"""JSON in which strings are changed: all else stays as it was written, to the last byte."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter.stores.rows.json_strings import with_strings

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
STYLES = st.fixed_dictionaries(
    {
        "ensure_ascii": st.booleans(),
        "indent": st.none() | st.integers(0, 2),
        "separators": st.sampled_from([None, (",", ":"), (" , ", " :  ")]),
    }
)


@given(VALUES, STYLES)
def test_what_changes_nothing_gives_the_same_text(value: Any, style: dict[str, Any]) -> None:
    text = json.dumps(value, **style)
    assert with_strings(text, lambda _, old: old) == text


@given(VALUES, STYLES)
def test_every_string_that_is_a_value_is_changed_and_nothing_else(
    value: Any, style: dict[str, Any]
) -> None:
    changed = with_strings(json.dumps(value, **style), lambda _, old: f"<{old}>")
    assert json.dumps(json.loads(changed)) == json.dumps(_wrapped(value))


def _wrapped(value: Any) -> Any:
    if isinstance(value, str):
        return f"<{value}>"
    if isinstance(value, list):
        return [_wrapped(item) for item in value]
    if isinstance(value, dict):
        return {key: _wrapped(item) for key, item in value.items()}
    return value


def test_the_keys_that_lead_to_a_string_are_told() -> None:
    seen = []
    text = '{"a": [{"b": "1", "c": ["2", ["3"]]}, "4"], "b\\"": "5"}'
    with_strings(text, lambda path, old: seen.append((path, old)) or old)
    assert seen == [
        (("a", "b"), "1"),
        (("a", "c"), "2"),
        (("a", "c"), "3"),
        (("a",), "4"),
        (('b"',), "5"),
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{ "é":"old",\n "x" : 1.50 }', '{ "é":"néw",\n "x" : 1.50 }'),
        ('{"\\u00e9": "old", "x": 1e3}', '{"\\u00e9": "n\\u00e9w", "x": 1e3}'),
        ('["old", NaN, "old"]', '["n\\u00e9w", NaN, "n\\u00e9w"]'),
    ],
)
def test_the_rest_is_written_as_it_was(text: str, wanted: str) -> None:
    assert with_strings(text, lambda _, old: {"old": "néw"}.get(old, old)) == wanted


@pytest.mark.parametrize("text", ["", "{", '"', "runs:/1", '{"a": old}', '["old",]'])
def test_what_is_no_json_stays(text: str) -> None:
    assert with_strings(text, lambda *_: "new") == text
