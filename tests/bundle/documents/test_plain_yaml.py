from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlporter.bundle.documents.plain_yaml import emit, emit_items, scalar
from mlporter.bundle.documents.safe_yaml import load_yaml

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
RESERVED = [
    "yes",
    "No",
    "null",
    "~",
    "1e5",
    "0x1F",
    "1_000",
    "12:30",
    "=",
    "<<",
    "2024-01-01",
    ".inf",
    "0o7",
]
MARKED = ["- a", "a: b", "a #b", "", " ", " a", "a ", "a\nb", "\x85", "\ufeff", "é\U0001f600"]
AWKWARD = st.sampled_from([*RESERVED, *MARKED])
SCALARS = st.none() | st.booleans() | st.integers() | TEXTS | AWKWARD
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | AWKWARD, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS | AWKWARD, VALUES, max_size=5))
def test_every_reader_reads_back_what_was_written(mapping):
    text = "".join(emit(mapping)) or "{}"
    assert load_yaml(text.encode(), "x") == mapping
    assert yaml.load(text, Loader=yaml.SafeLoader) == mapping


def test_people_can_read_it():
    lines = emit({"a": 1, "list": [{"x": 1, "b": "two words"}, {"deep": {"z": None}}], "no": []})
    assert "".join(lines) == (
        'a: 1\nlist:\n  - {x: 1, b: two words}\n  - deep:\n      z: null\n"no": []\n'
    )


def test_items_are_written_as_they_come():
    endless = ({"id": number} for number in iter(int, 1))
    lines = emit_items(endless)
    assert [next(lines), next(lines)] == ["- {id: 0}\n", "- {id: 0}\n"]


def test_a_lone_surrogate_is_shown_and_not_kept():
    assert scalar("a\udcff") == '"a\\uFFFD"'


def test_other_types_are_refused():
    with pytest.raises(TypeError, match="cannot write float"):
        scalar(1.5)
