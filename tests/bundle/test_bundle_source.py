from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, closing
from io import BytesIO

import pyarrow as pa
import pytest

from mlporter.artifacts.listing import ArtifactFile
from mlporter.bundle.folder.layout import blob_path
from mlporter.bundle.writer import BundleWriter
from mlporter.catalogue import BY_NAME
from mlporter.catalogue.types import Column, Kind, Table
from mlporter.errors import BundleDamagedError, BundleUnfinishedError, UnreachableError, UsageError
from mlporter.stores.bundles.bundle_source import BundleSource
from tests.bundle.making import FILES, INFO, ROWS, batch_of, fill, make_bundle


def rows_of(source, table, columns=None):
    return [row for batch in source.read(table, columns) for row in batch.to_pylist()]


@pytest.fixture
def reading():
    """Opens bundles, and closes them in the end."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(closing(BundleSource(path)))


def test_tables_come_back_in_the_catalogues_order(pristine):
    source = BundleSource(pristine)
    names = [table.name for table in source.tables]
    assert set(names) == set(ROWS)
    assert names.index("experiments") < names.index("runs") < names.index("metrics")
    assert all(table == BY_NAME[table.name] for table in source.tables)


@pytest.mark.parametrize("name", ROWS)
def test_rows_come_back_as_they_were(pristine, name):
    source = BundleSource(pristine)
    assert rows_of(source, name) == batch_of(name, ROWS[name]).to_pylist()
    assert source.count(name) == len(ROWS[name])


def test_columns_come_in_the_order_asked_for(pristine):
    (batch,) = BundleSource(pristine).read("experiments", ("name", "experiment_id"))
    assert batch.schema.names == ["name", "experiment_id"]


def test_it_says_what_it_is(pristine):
    source = BundleSource(pristine)
    found = source.description
    assert (found.kind, found.revision, found.consistency) == (
        "bundle",
        "dc11669786a5",
        "snapshot",
    )
    assert (found.artifacts, found.bundle_id) == ("copy", source.manifest.bundle_id)


def test_files_come_sorted_with_their_sums_and_bytes(pristine, reading):
    source = reading(pristine)
    files = list(source.files(pytest.fail))
    assert [(f.owner_kind, f.owner_id, f.path) for f in files] == sorted(FILES)
    for file in files:
        with source.open_file(file) as stream:
            assert stream.read() == FILES[file.owner_kind, file.owner_id, file.path]


def test_unknown_tables_and_columns_come_last_and_marked(tmp_path):
    unknown = Table(
        "site_Notes",
        ("id",),
        (Column("id", pa.int64(), nullable=False), Column("day", pa.date32())),
        Kind.UNKNOWN,
    )
    runs = BY_NAME["runs"]
    wider = Table("runs", runs.key, (*runs.columns, Column("site_cost", pa.float64())))
    with BundleWriter.create(tmp_path / "b") as writer:
        fill(writer)
        rows = [{**row, "site_cost": 1.5} for row in batch_of("runs", ROWS["runs"]).to_pylist()]
        writer.write_table(wider, [pa.RecordBatch.from_pylist(rows, wider.schema)])
        writer.write_table(unknown, [pa.RecordBatch.from_pylist([{"id": 1}], unknown.schema)])
        writer.finish(INFO)
    source = BundleSource(tmp_path / "b")
    assert source.tables[-1] == unknown
    assert rows_of(source, "site_Notes") == [{"id": 1, "day": None}]
    assert {row["site_cost"] for row in rows_of(source, "runs", ("site_cost",))} == {1.5}
    entry = source.manifest.tables["runs"]
    assert [column.name for column in entry.columns if column.unknown] == ["site_cost"]


def test_a_missing_directory_is_not_reached(tmp_path):
    with pytest.raises(UnreachableError, match="no such directory"):
        BundleSource(tmp_path / "none")


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.touch()])
def test_something_else_is_no_bundle(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(UsageError, match="is not a bundle"):
        BundleSource(tmp_path / "x")


def test_an_unfinished_bundle_says_how_to_go_on(tmp_path):
    with BundleWriter.create(tmp_path / "b") as writer:
        writer.add_file(ArtifactFile("run", "r", "a.txt", 1), lambda: BytesIO(b"x"))
    with pytest.raises(BundleUnfinishedError) as caught:
        BundleSource(tmp_path / "b")
    assert caught.value.hint == f"mlporter export SOURCE {tmp_path / 'b'} --resume"
    assert caught.value.exit_code == 5


def test_a_manifest_that_is_a_link_is_refused(bundle):
    (bundle / "manifest.yaml").rename(bundle / "elsewhere.yaml")
    (bundle / "manifest.yaml").symlink_to(bundle / "elsewhere.yaml")
    with pytest.raises(BundleDamagedError, match="is a symbolic link"):
        BundleSource(bundle)


def test_a_changed_part_is_refused(bundle):
    part = bundle / "tables/runs/00000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    with pytest.raises(BundleDamagedError, match=r"tables/runs/00000\.parquet does not have"):
        rows_of(BundleSource(bundle), "runs")


def test_a_changed_blob_is_refused_with_its_last_bytes(bundle, reading):
    source = reading(bundle)
    file = next(file for file in source.files(print) if file.size > 1000)
    blob = bundle / blob_path(file.sha256)
    blob.write_bytes(b"?" + blob.read_bytes()[1:])
    with source.open_file(file) as stream, pytest.raises(BundleDamagedError, match="its name"):
        stream.read()


def test_a_missing_blob_is_refused(bundle, reading):
    source = reading(bundle)
    file = next(file for file in source.files(print) if file.size > 1000)
    (bundle / blob_path(file.sha256)).unlink()
    with pytest.raises(BundleDamagedError, match="is missing"):
        source.open_file(file)


def test_an_unsafe_path_is_refused(tmp_path, monkeypatch):
    """Made by somebody who knows the format, hashes and all."""
    monkeypatch.setattr("mlporter.bundle.writer.what_is_wrong", lambda *_: None)
    path = make_bundle(tmp_path / "b", files={("run", "r", "../../.bashrc"): b"evil"})
    with pytest.raises(BundleDamagedError, match=r"'../../.bashrc' of run r is an unsafe path"):
        list(BundleSource(path).files(print))


def test_files_of_an_unknown_kind_of_owner_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mlporter.bundle.writer.what_is_wrong", lambda *_: None)
    path = make_bundle(tmp_path / "b", files={("../../evil", "r", "x"): b"evil"})
    with pytest.raises(BundleDamagedError, match="has an unknown kind of owner"):
        list(BundleSource(path).files(print))


def test_leftovers_of_a_crash_after_the_end_are_ignored(bundle):
    (bundle / ".mlporter").mkdir()
    (bundle / ".mlporter" / "lock").touch()
    assert BundleSource(bundle).count("runs") == 2


def test_it_works_without_mlflow(pristine):
    code = (
        "import sys\n"
        "for name in ('mlflow', 'sqlalchemy', 'pandas', 'numpy', 'click', 'rich'):\n"
        "    sys.modules[name] = None\n"
        "from mlporter.bundle.checks.verify import verify_bundle\n"
        "from mlporter.stores.bundles.bundle_source import BundleSource\n"
        "assert BundleSource(sys.argv[1]).count('runs') == 2\n"
        "assert not verify_bundle(sys.argv[1]).problems\n"
    )
    subprocess.run([sys.executable, "-c", code, str(pristine)], check=True)
