from __future__ import annotations

import errno
import hashlib
import os
import random
import shutil
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlporter.artifacts.listing import ArtifactFile
from mlporter.bundle.checks.verify import verify_bundle
from mlporter.bundle.folder.layout import MANIFEST, SUMS, blob_path
from mlporter.bundle.storage.local import LocalStorage
from mlporter.bundle.tables import parts as parts_module
from mlporter.bundle.writer import BundleWriter
from mlporter.catalogue import BY_NAME
from mlporter.errors import BundleUnfinishedError, UnreachableError, UnsupportedError, UsageError
from tests.bundle.forging import forge, forge_part, pack_of, rows_of
from tests.bundle.making import FILES, INFO, LARGE, ROWS, RUN, batch_of, fill, make_bundle, snapshot

RUNS = "tables/runs/00000.parquet"
METRICS = "tables/metrics/00000.parquet"
MODEL = hashlib.sha256(LARGE).hexdigest()


def found(path, mode="full", **options):
    report = verify_bundle(path, mode, **options)
    assert report.exit_code == (5 if report.problems else 0)
    return {(problem.path, problem.what) for problem in report.problems}


# -- a sound bundle --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "quick", "sample"])
def test_a_sound_bundle_has_no_problems(pristine, mode):
    before = snapshot(pristine)
    assert found(pristine, mode) == set()
    assert snapshot(pristine) == before


def test_what_no_other_process_can_open_is_read_here(pristine):
    class Alone(LocalStorage):
        def elsewhere(self):
            return None

    class Others:
        is_elsewhere = True
        width = 1

    assert verify_bundle(Alone(pristine), pool=Others()).problems == []


def test_what_was_looked_at_is_counted(pristine):
    calls = []
    report = verify_bundle(pristine, on_progress=lambda *call: calls.append(call))
    assert report.as_dict()["checked"] == {
        "tables": len(ROWS) + 3,
        "parts": len(ROWS) + 3,
        "rows": sum(map(len, ROWS.values())) + len(FILES) + 4 + 2,
        "own_rows": len(FILES) + 4 + 2,
        "files": len(FILES),
        "blobs": 4,
        "blobs_read": 4,
        "packs": 1,
        "bytes_read": calls[-1][0],
    }
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1][0] == calls[-1][1]


def test_an_empty_bundle_is_sound(tmp_path):
    assert found(make_bundle(tmp_path / "b", rows={}, files={})) == set()


def test_leftovers_of_a_crash_after_the_end_are_no_problem(bundle):
    (bundle / ".mlporter").mkdir()
    (bundle / ".mlporter" / "journal.jsonl").touch()
    assert found(bundle) == set()


def test_a_copy_that_lost_its_empty_folders_is_sound(bundle):
    (bundle / "tables" / "nothing").mkdir()
    assert found(bundle) == set()


# -- what does not get as far ----------------------------------------------------------------------


def test_what_is_no_finished_bundle_cannot_be_verified(tmp_path, bundle):
    with BundleWriter.create(tmp_path / "unfinished") as writer:
        writer.add_file(ArtifactFile("run", "r", "a.txt", 1), lambda: BytesIO(b"x"))
    with pytest.raises(BundleUnfinishedError):
        verify_bundle(tmp_path / "unfinished")
    with pytest.raises(UnreachableError):
        verify_bundle(tmp_path / "none")
    with pytest.raises(UsageError, match="is not a bundle"):
        verify_bundle(tmp_path)
    with pytest.raises(UsageError, match="share to read"):
        verify_bundle(bundle, "sample", fraction=1.5)


def test_a_later_format_is_refused(bundle):
    text = (bundle / MANIFEST).read_text()
    (bundle / MANIFEST).write_text(text.replace("format_version: 2", "format_version: 3"))
    with pytest.raises(UnsupportedError, match="bundle format 3"):
        verify_bundle(bundle)


@pytest.mark.parametrize(
    "text",
    ["", "format: mlporter-bundle\n", "a: &a [*a]\n", "!!python/name:os.system\n", "\0"],
)
def test_a_broken_manifest_is_a_problem(bundle, text):
    (bundle / MANIFEST).write_text(text)
    assert found(bundle) == {(MANIFEST, "manifest")}


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "quick", "sample"])
@pytest.mark.parametrize("path", ["experiments.yaml", "models.yaml", SUMS, RUNS, blob_path(MODEL)])
def test_a_missing_file_is_found(bundle, mode, path):
    (bundle / path).unlink()
    problems = found(bundle, mode)
    if path.startswith("blobs/"):
        expected = (MANIFEST, "totals") if mode == "quick" else (path, "blob")
    else:
        expected = (path, "missing")
    assert expected in problems


@pytest.mark.parametrize("mode", ["full", "quick", "sample"])
@pytest.mark.parametrize("path", ["experiments.yaml", SUMS, RUNS, blob_path(MODEL)])
def test_a_truncated_file_is_found(bundle, mode, path):
    os.truncate(bundle / path, (bundle / path).stat().st_size // 2)
    assert found(bundle, mode) != set()


@pytest.mark.parametrize("path", ["x", ".DS_Store", "tables/runs/00001.parquet", "blobs/aa/bb"])
@pytest.mark.parametrize("mode", ["full", "quick", "sample"])
def test_a_foreign_file_is_found(bundle, path, mode):
    (bundle / path).parent.mkdir(exist_ok=True)
    (bundle / path).write_text("x")
    assert found(bundle, mode) == {(path, "unexpected")}


def test_a_blob_that_no_artifact_names_is_found(bundle):
    path = blob_path(hashlib.sha256(b"stowaway").hexdigest())
    (bundle / path).parent.mkdir(exist_ok=True)
    (bundle / path).write_bytes(b"stowaway")
    assert found(bundle) == {(path, "unreferenced")}
    assert found(bundle, "quick") == {(MANIFEST, "totals")}


@pytest.mark.parametrize("path", ["experiments.yaml", SUMS, RUNS, blob_path(MODEL)])
@pytest.mark.parametrize("mode", ["full", "quick", "sample"])
def test_a_link_is_found_even_to_the_same_bytes(bundle, tmp_path, path, mode):
    shutil.move(bundle / path, tmp_path / "same")
    (bundle / path).symlink_to(tmp_path / "same")
    assert (path, "symlink") in found(bundle, mode)


@pytest.mark.parametrize("path", ["tables", "tables/runs", "blobs", f"blobs/{MODEL[:2]}"])
def test_a_folder_that_is_a_link_is_found(bundle, tmp_path, path):
    shutil.move(bundle / path, tmp_path / "same")
    (bundle / path).symlink_to(tmp_path / "same")
    assert (path, "symlink") in found(bundle)


def test_swapped_parts_are_found(bundle):
    content = (bundle / RUNS).read_bytes()
    (bundle / RUNS).write_bytes((bundle / METRICS).read_bytes())
    (bundle / METRICS).write_bytes(content)
    assert {(RUNS, "content"), (METRICS, "content")} <= found(bundle)


def test_everything_that_is_wrong_is_listed(bundle):
    (bundle / RUNS).write_bytes(b"")
    (bundle / blob_path(MODEL)).write_bytes(b"")
    (bundle / "x").touch()
    (bundle / "models.yaml").write_text("models: []\n")
    assert {path for path, _ in found(bundle)} == {RUNS, blob_path(MODEL), "x", "models.yaml"}


@pytest.mark.parametrize(
    ("module", "mode", "path"),
    [
        ("checks.parts", "sample", RUNS),
        ("blobs", "full", blob_path(MODEL)),
        ("checks.files", "quick", "models.yaml"),
    ],
)
def test_a_failing_disk_is_named_and_the_rest_is_looked_at(
    pristine, monkeypatch, module, mode, path
):
    def fails(file, seen=None):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(f"mlporter.bundle.{module}.hash_stream", fails)
    problems = found(pristine, mode)
    assert (path, "unreadable") in problems
    assert {what for _, what in problems} == {"unreadable"}


# -- one changed byte ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """As few tables as show every kind of file."""
    rows = {name: ROWS[name] for name in ("workspaces", "experiments", "runs")}
    return make_bundle(tmp_path_factory.mktemp("tiny") / "b", rows)


@pytest.mark.parametrize("path", [MANIFEST, "experiments.yaml", "models.yaml", SUMS])
def test_any_changed_byte_of_a_document_is_found_even_by_a_quick_look(tiny, path):
    content = (tiny / path).read_bytes()
    choose = random.Random(path)
    unseen = []
    try:
        for at in range(choose.randrange(3), len(content), 3):  # all of them took twelve seconds
            changed = bytearray(content)
            changed[at] ^= choose.randint(1, 255)
            (tiny / path).write_bytes(changed)
            if not _is_refused(tiny):
                unseen.append(at)
    finally:
        (tiny / path).write_bytes(content)
    assert unseen == []


def _is_refused(path):
    try:
        return bool(verify_bundle(path, "quick").problems)
    except UnsupportedError:
        return True


@pytest.mark.parametrize("table", ["runs", "artifacts", "contents"])
def test_any_changed_byte_of_a_part_is_found(tiny, table):
    _change_bytes(tiny, f"tables/{table}/00000.parquet", 40)


def test_any_changed_byte_of_a_blob_or_a_pack_is_found(tiny):
    _change_bytes(tiny, blob_path(MODEL), 20)
    _change_bytes(tiny, pack_of(tiny), 40)


def _change_bytes(root, path, most):
    content = (root / path).read_bytes()
    choose = random.Random(path)
    try:
        for at in choose.sample(range(len(content)), min(most, len(content))):
            changed = bytearray(content)
            changed[at] ^= choose.randint(1, 255)
            (root / path).write_bytes(changed)
            assert any(problem == path for problem, _ in found(root)), at
    finally:
        (root / path).write_bytes(content)


# -- forged by somebody who writes the hashes anew -------------------------------------------------


def test_rows_out_of_order_are_found(bundle):
    forge_part(bundle, "metrics", rows_of(bundle, "metrics")[::-1], BY_NAME["metrics"].schema)
    assert found(bundle) == {(METRICS, "order")}


def test_a_row_that_is_there_twice_is_found(bundle):
    rows = rows_of(bundle, "runs")
    forge_part(bundle, "runs", [*rows, rows[-1]], BY_NAME["runs"].schema)
    assert ("tables/runs/00000.parquet", "order") in found(bundle)


def test_a_point_may_be_there_twice_as_in_a_file_store(bundle):
    rows = rows_of(bundle, "metrics")
    forge_part(bundle, "metrics", [*rows, rows[-1]], BY_NAME["metrics"].schema)
    assert found(bundle) == set()


def test_parts_in_another_order_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "part_limit", lambda _: 1)
    bundle = make_bundle(tmp_path / "b")
    first, second = (bundle / f"tables/runs/0000{i}.parquet" for i in range(2))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)

    def change(value):
        one, other = value["tables"]["runs"]["parts"]
        one["path"], other["path"] = other["path"], one["path"]
        value["tables"]["runs"]["parts"] = [other, one]

    forge(bundle, change)
    assert found(bundle) == {("tables/runs/00001.parquet", "order")}


def test_a_part_that_is_left_out_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(parts_module, "part_limit", lambda _: 1)
    bundle = make_bundle(tmp_path / "b")
    (bundle / "tables/runs/00001.parquet").unlink()
    assert ("tables/runs/00001.parquet", "missing") in found(bundle)


def test_another_schema_is_found(bundle):
    schema = BY_NAME["runs"].schema.append(pa.field("more", pa.int8()))
    forge_part(bundle, "runs", rows_of(bundle, "runs"), schema)
    assert found(bundle) == {(RUNS, "content")}


def test_a_dangling_reference_is_found(bundle):
    rows = [row for row in rows_of(bundle, "runs") if row["run_uuid"] != RUN]
    forge_part(bundle, "runs", rows, BY_NAME["runs"].schema)
    assert found(bundle) == {("tables/metrics", "reference")}
    (problem,) = verify_bundle(bundle).problems
    assert problem.detail == f"run_uuid '{RUN}': no such row in runs"
    assert found(bundle, "sample") == set()


def test_a_damaged_table_is_not_said_to_lack_what_refers_to_it(bundle):
    (bundle / RUNS).write_bytes(b"?" * (bundle / RUNS).stat().st_size)
    assert found(bundle) == {(RUNS, "content")}


def test_many_dangling_references_are_counted(tmp_path):
    rows = {**ROWS, "experiments": [], "runs": [], "experiment_tags": []}
    rows["metrics"] = [
        {"run_uuid": f"{i:032}", "key": "a", "step": 0, "timestamp": 0, "value": 0.0}
        for i in range(250)
    ]
    problems = verify_bundle(make_bundle(tmp_path / "b", rows)).problems
    assert len(problems) == 101
    assert problems[-1].detail == "run_uuid: 150 more like it"


@pytest.mark.parametrize(
    "field",
    ["files", "bytes", "blobs", "blob_bytes", "packs", "pack_bytes", "packed", "packed_bytes"],
)
def test_wrong_totals_are_found(bundle, field):
    def change(value):
        value["artifacts"][field] += 1

    forge(bundle, change)
    assert found(bundle) == {(MANIFEST, "totals")}


@pytest.mark.parametrize("change", [{"total": 9}, {"expected": 0}, {"by_reason": {"missing": 2}}])
def test_wrong_totals_of_what_is_left_out_are_found(bundle, change):
    forge(bundle, lambda value: value["left_out"].update(change))
    assert found(bundle) == {(MANIFEST, "totals")}


def test_a_row_with_another_size_is_found(bundle):
    rows = rows_of(bundle, "artifacts")
    rows[0]["size"] += 1
    forge_part(bundle, "artifacts", rows, pq.read_schema(bundle / "tables/artifacts/00000.parquet"))
    assert ("tables/contents", "content") in found(bundle)
    row = next(row for row in rows if row["sha256"] == MODEL)
    row["size"] += 1
    forge_part(bundle, "artifacts", rows, pq.read_schema(bundle / "tables/artifacts/00000.parquet"))
    assert (blob_path(MODEL), "blob") in found(bundle)


@pytest.mark.parametrize("change", [{"sha256": "../x"}, {"size": -1}, {"owner_kind": "evil"}])
def test_a_row_that_makes_no_sense_is_found(bundle, change):
    rows = rows_of(bundle, "artifacts")
    rows[0] |= change
    forge_part(bundle, "artifacts", rows, pq.read_schema(bundle / "tables/artifacts/00000.parquet"))
    assert ("tables/artifacts/00000.parquet", "content") in found(bundle)


def test_an_unsafe_path_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("mlporter.bundle.writer.what_is_wrong", lambda *_: None)
    files = {("run", RUN, "../x"): b"evil", ("run", RUN, "..\\x"): b"evil"}
    bundle = make_bundle(tmp_path / "b", files=files)
    assert ("tables/artifacts/00000.parquet", "unsafe-path") in found(bundle)
    unsafe = [f for f in verify_bundle(bundle).problems if f.what == "unsafe-path"]
    assert len(unsafe) == 2


# -- samples ---------------------------------------------------------------------------------------


def test_a_sample_reads_its_share_and_the_same_one_again(tmp_path):
    files = {("run", "r", f"{i:03}"): b"%d" % i for i in range(200)}
    bundle = make_bundle(tmp_path / "b", rows={}, files=files)
    reports = [verify_bundle(bundle, "sample", fraction=0.25, seed=7) for _ in range(2)]
    assert 25 < reports[0].blobs_read < 80
    assert reports[0].as_dict() == reports[1].as_dict()
    assert verify_bundle(bundle, "sample", fraction=0).blobs_read == 0
    assert verify_bundle(bundle, "sample", fraction=1).blobs_read == 200


def test_secrets_that_are_left_out_leave_no_dangling_references(tmp_path):
    rows = {
        **ROWS,
        "secrets": [],
        "model_definitions": [
            {"model_definition_id": "d", "secret_id": "s", "workspace": "default"}
        ],
    }
    assert found(make_bundle(tmp_path / "b", rows)) == set()


def test_rows_may_come_in_many_batches(tmp_path):
    with BundleWriter.create(tmp_path / "b") as writer:
        fill(writer)
        batch = batch_of("metrics", ROWS["metrics"])
        writer.write_table(BY_NAME["metrics"], [batch.slice(i, 1) for i in range(len(batch))])
        writer.finish(INFO)
    assert found(tmp_path / "b") == set()
