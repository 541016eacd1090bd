"""docs/bundle-format.md is what a stranger writes a reader from: its examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mlporter.bundle.contents.packs import PACK_BYTES, PACK_MEMBERS, SMALL
from mlporter.bundle.documents.manifest import Manifest
from mlporter.bundle.documents.safe_yaml import MAX_DEPTH
from mlporter.bundle.folder import layout
from mlporter.catalogue import TABLES
from mlporter.catalogue.tables.own import ARTIFACTS, CONTENTS, LEFT_OUT
from tests.bundle.making import DELETED_RUN, FILES, RUN

DOCUMENT = (Path(__file__).parents[2] / "docs" / "bundle-format.md").read_text(encoding="utf-8")


def example(language):
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)
    return found


def section(title):
    start = DOCUMENT.index(f" {title}\n")
    end = re.compile(r"^##", re.MULTILINE).search(DOCUMENT, start)
    return DOCUMENT[start : end.start() if end else None]


def test_the_reader_reads(pristine):
    done = subprocess.run(
        [sys.executable, "-c", example("python"), str(pristine)],
        capture_output=True,
        text=True,
        check=True,
    )
    first, *rest = done.stdout.splitlines()
    assert first == str([RUN, DELETED_RUN])
    assert rest == [f"{' '.join(key)} {len(FILES[key])}" for key in sorted(FILES)]


def test_the_reader_is_short():
    assert len([line for line in example("python").splitlines() if line]) <= 20


def check(root):
    return subprocess.run(
        ["sh", "-ec", example("sh")],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_check_accepts_a_sound_bundle(pristine):
    done = check(pristine)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("pattern", ["manifest.yaml", "tables/runs/*", "blobs/*/*", "packs/*/*"])
def test_the_check_finds_a_changed_byte(bundle, pattern):
    path = next(path for path in bundle.glob(pattern) if path.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    done = check(bundle)
    assert done.returncode != 0
    assert "FAILED" in done.stdout


@pytest.mark.parametrize("table", [ARTIFACTS, CONTENTS, LEFT_OUT], ids=lambda table: table.name)
def test_the_own_tables_are_as_they_say(table):
    said = re.findall(r"^\| `(\w+)` \| (\w+) \| (no|yes) \|", section(table.name), re.MULTILINE)
    assert said == [
        (field.name, str(field.type), "yes" if field.nullable else "no") for field in table.schema
    ]
    assert f"Key: {', '.join(f'`{column}`' for column in table.key)}." in section(table.name)


def test_every_field_of_the_manifest_is_named(pristine):
    manifest = yaml.safe_load((pristine / "manifest.yaml").read_text(encoding="utf-8"))
    text = section("manifest.yaml")
    assert set(manifest) == set(Manifest.model_fields) - {"secrets"}  # where there are any
    for name in Manifest.model_fields:
        assert f"`{name}" in text
    for name, value in manifest.items():
        assert f"`{name}" in text
        if isinstance(value, dict) and name != "tables":
            missing = [f for f in value if f"`{name}.{f}`" not in text and f"`{f}`" not in text]
            assert missing == []
    (entry,) = (manifest["tables"][name] for name in ("runs",))
    for field in entry:
        assert f"`{field}`" in text


def test_every_type_of_the_catalogue_is_named():
    text = section("Tables")
    kinds = {str(field.type) for table in TABLES for field in table.schema}
    assert [kind for kind in kinds if f"| `{kind}` |" not in text] == []


def test_limits_are_those_of_the_code():
    text = section("Limits")
    assert f"| rows of a row group | {layout.MAX_GROUP_ROWS:,} |" in text
    assert f"| nesting of the manifest | {MAX_DEPTH} |" in text
    assert layout.MAX_GROUP_BYTES == 2**30
    assert layout.MAX_MANIFEST_BYTES == 2**20
    assert f"less than {SMALL:,} bytes" in section("Packs")
    assert f"16 MiB or {PACK_MEMBERS:,} members" in section("Packs")
    assert PACK_BYTES == 16 * 2**20
    assert (layout.GROUP_BYTES, layout.PART_BYTES) == (16 * 2**20, 256 * 2**20)
