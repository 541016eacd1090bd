from __future__ import annotations

import pytest

from mlporter.bundle.documents.safe_yaml import MAX_DEPTH, load_yaml
from mlporter.bundle.folder.layout import MAX_MANIFEST_BYTES
from mlporter.errors import BundleDamagedError

LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 20)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(LAUGHS, "line 1: anchors and aliases are not allowed", id="billion laughs"),
        pytest.param("a: 1\nb: *a\n", "line 2: anchors and aliases", id="alias"),
        pytest.param("a: 1\nb: &a {}\n", "line 2: anchors and aliases", id="anchor on mapping"),
        pytest.param(
            "!!python/object/apply:os.system [true]", "line 1: tags are not allowed", id="object"
        ),
        pytest.param("a: !!str 1", "tags are not allowed", id="harmless tag"),
        pytest.param("a: !!binary aGk=", "tags are not allowed", id="binary"),
        pytest.param("a: 1\nb: 2\na: 3\n", "line 3: key 'a' is repeated", id="repeated key"),
        pytest.param("x:\n  - {b: 1, b: 2}\n", "line 2: key 'b' is repeated", id="repeated deep"),
        pytest.param("1: a\n", "line 1: a key is not a text", id="number as key"),
        pytest.param("? [a]\n: b\n", "line 1: a key is not a text", id="list as key"),
        pytest.param("<<: {a: 1}\n", "line 1: a key is not a text", id="merge"),
        pytest.param("a: 1\n--- \nb: 2\n", "line 2: more than one document", id="documents"),
        pytest.param("[" * 100_000, "line 1: ", id="deep flow"),
        pytest.param("- " * 100_000, f"nested deeper than {MAX_DEPTH}", id="deep block"),
        pytest.param("a: b: c\n", "line 1: ", id="no YAML"),
        pytest.param("a: \0\n", "cannot be read", id="control character"),
        pytest.param("a: " + "9" * 5000, "cannot be read", id="enormous number"),
        pytest.param(" " * (MAX_MANIFEST_BYTES + 1), "is longer than 1,048,576 bytes", id="long"),
    ],
)
def test_what_is_not_plain_is_refused_by_line(text, said):
    with pytest.raises(BundleDamagedError) as caught:
        load_yaml(text.encode(), "manifest.yaml")
    assert said in str(caught.value)
    assert caught.value.subject == "manifest.yaml"


def test_what_is_not_utf8_is_refused_by_line():
    with pytest.raises(BundleDamagedError, match="line 2: not UTF-8"):
        load_yaml(b"a: 1\nb: \xff\n", "manifest.yaml")


def test_plain_values_are_read_and_times_stay_texts():
    text = b"a: [1, true, null, 1.5, x]\nb: {c: 2024-01-01T00:00:00Z}\nd: 'yes'\n"
    assert load_yaml(text, "x") == {
        "a": [1, True, None, 1.5, "x"],
        "b": {"c": "2024-01-01T00:00:00Z"},
        "d": "yes",
    }
