from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter.artifacts.disk.portable_names import PortableNames, portable_name
from mlporter.artifacts.uris.uri_text import safe_relative

CHANGED = {
    "a:b": "a=3Ab",
    "C:\\x": "C=3A=5Cx",
    'who?*<>|"': "who=3F=2A=3C=3E=7C=22",
    "tab\tnew\n": "tab=09new=0A",
    "end. .": "end=2E=20=2E",
    "..": "=2E=2E",
    "": "=",
    "con": "=63on",
    "Aux.tar.gz": "=41ux.tar.gz",
    "COM1": "=43OM1",
    "LPT¹ .x": "=4CPT¹ .x",
}
SAME = ["plain.txt", "sp ace é", ".hidden", "console", "com10.x", "a=3Ab", "~x", "ﬁ", "日本.csv"]


@pytest.mark.parametrize(("name", "written"), CHANGED.items())
def test_what_some_file_system_does_not_take_is_written_otherwise(name, written):
    assert portable_name(name) == written


@pytest.mark.parametrize("name", SAME)
def test_what_all_take_stays(name):
    assert portable_name(name) == name


def placed(*paths, owner=("runs", "r")):
    names = PortableNames()
    try:
        written = ["/".join(names.place(owner, path)) for path in paths]
        changes = [json.loads(line) for line in names.changes().decode().splitlines()]
        return written, {change["written"]: change["name"] for change in changes}
    finally:
        names.close()


def test_names_that_differ_in_case_or_unicode_form_only():
    nfc, nfd = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    written, changes = placed("README", "readme", f"{nfd}/x", f"{nfc}/x", "straße", "STRASSE")
    assert len({unicodedata.normalize("NFC", path).casefold() for path in written}) == 6
    assert written[0] == "runs/r/README"
    assert written[1].startswith("runs/r/readme~")
    assert changes[written[1]] == "readme"
    assert changes[written[3].removesuffix("/x")] == nfc


def test_a_file_and_a_folder_of_one_name():
    written, _ = placed("a", "a/b")
    assert written[0] == "runs/r/a"
    assert written[1].startswith("runs/r/a~")


def test_long_names_keep_their_suffix():
    [written], changes = placed("é" * 300 + ".parquet")
    assert written.endswith(".parquet")
    assert len(written.rpartition("/")[2].encode()) <= 200
    assert list(changes.values()) == ["é" * 300 + ".parquet"]


def test_owners_that_differ_in_case_only():
    names = PortableNames()
    folders = [
        names.place(("model_versions", "default", name, "1"), "x")[0]
        for name in ("CON", "Model", "a b", "model", "names.jsonl")
    ]
    names.close()
    assert len({folder.casefold() for folder in folders}) == 5
    assert folders[0].endswith("/=43ON/1")
    assert folders[2] == "model_versions/default/a=20b/1"


def test_the_map_itself_is_in_nobodys_way():
    names = PortableNames()
    assert names.place(("names.jsonl",), "x")[0].startswith("names~")
    names.close()


@given(st.lists(st.text("aAbB.:/ \\é", min_size=1, max_size=6), unique=True))
def test_no_two_become_one(texts):
    paths = sorted({path for path in texts if safe_relative(path)})
    written, changes = placed(*paths)
    assert len({unicodedata.normalize("NFC", path).casefold() for path in written}) == len(paths)
    for path, found in zip(paths, written, strict=True):
        parts = found.split("/")
        assert safe_relative(found)
        known = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        originals = [changes.get(place, part) for place, part in zip(known, parts, strict=True)]
        assert "/".join(originals[2:]) == path
