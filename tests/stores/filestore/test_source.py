"""File stores as sources: what is found in folders of every shape, and what damage gets."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlporter.errors import RefusedError, UnreachableError
from mlporter.stores.addresses.address import AddressKind, parse_address
from mlporter.stores.filestore.source import FileStoreSource
from mlporter.stores.opening import open_source
from mlporter.stores.protocols import Among
from tests.support.databases import tree
from tests.support.file_stores import TIME, FolderStore, put, write_yaml


@contextmanager
def reading(root):
    """The source over a folder; that nothing in it changed is checked at the end."""
    before = tree(Path(root))
    source = FileStoreSource(parse_address(str(root)))
    try:
        yield source
    finally:
        source.close()
    assert tree(Path(root)) == before


def rows(source, table, *columns):
    """Rows as tuples, in their order."""
    found = [row for batch in source.read(table) for row in batch.to_pylist()]
    return [tuple(row[name] for name in columns) for row in found]


def lost(source):
    """What is not copied: kind, id and path."""
    return [(e.kind, e.id, e.path) for e in source.losses() if not e.expected]


@pytest.fixture
def store(tmp_path):
    """A store to fill, which is not called `mlruns`."""
    return FolderStore(tmp_path / "anything")


def test_a_run_of_today(store):
    run = store.run(store.experiment("123456789012345678", "one"), lifecycle_stage="deleted")
    put(run / "params" / "a" / "b", "x")
    put(run / "tags" / "mlflow.user", "me")
    put(run / "metrics" / "loss", f"{TIME} 0.5 1\n")
    with reading(store.root) as source:
        assert rows(source, "experiments", "experiment_id", "name", "creation_time") == [
            (123456789012345678, "one", TIME)
        ]
        columns = ("run_uuid", "name", "status", "source_type", "lifecycle_stage", "user_id")
        assert rows(source, "runs", *columns) == [
            (run.name, "run 01", "FINISHED", "LOCAL", "deleted", "somebody")
        ]
        assert rows(source, "params", "run_uuid", "key", "value") == [(run.name, "a/b", "x")]
        assert rows(source, "tags", "key", "value") == [("mlflow.user", "me")]
        assert rows(source, "metrics", "key", "value", "step") == [("loss", 0.5, 1)]
        assert list(source.losses()) == []
        assert source.description.kind == "filestore"


def test_a_run_of_before_mlflow_1(store):
    experiment = store.experiment("0", "Default", creation_time=None, last_update_time=None)
    absent = dict.fromkeys(("run_id", "run_name", "lifecycle_stage"))
    run = store.run(experiment, **absent, experiment_id=0, name="", end_time=None, source_type=3)
    for name in ("artifacts", "params", "tags"):
        (run / name).rmdir()
    put(run / "metrics" / "mae", "1544000000 0.5\r\n")
    with reading(store.root) as source:
        assert rows(source, "runs", "run_uuid", "name", "end_time", "source_type") == [
            (run.name, "", None, "PROJECT")
        ]
        assert rows(source, "runs", "lifecycle_stage") == [("active",)]
        assert rows(source, "metrics", "timestamp", "step") == [(1544000000, 0)]
        assert list(source.losses()) == []


def test_text_is_carried_to_the_last_byte(store):
    run = store.run(store.experiment())
    values = {
        "windows": "one\r\ntwo\r\n",
        "padded": "  x \t\n",
        "empty": "",
        "composed é": "é",
        "decomposed é": "é",
        "Case": "1",
        "case": "2",
        "a: b? *": "C:\\folder\\file",
        "trailing ": " ",
    }
    for key, value in values.items():
        put(run / "params" / key, value)
    with reading(store.root) as source:
        assert dict(rows(source, "params", "key", "value")) == values
        keys = [key.encode() for (key,) in rows(source, "params", "key")]
        assert keys == sorted(keys)
        assert list(source.losses()) == []


def test_bytes_that_are_no_text_are_carried_spelt_out_and_told(store):
    run = store.run(store.experiment())
    put(run / "params" / "p", b"a\xffb\n\xfe")
    put(Path(os.fsdecode(os.fsencode(run / "tags" / "key") + b"\xff")), "x")
    put(run / "tags" / "key", "y")
    with reading(store.root) as source:
        assert rows(source, "params", "value") == [("a\\xffb\n\\xfe",)]
        assert rows(source, "tags", "key", "value") == [("key", "y"), ("key\\udcff", "x")]
        assert [(e.kind, e.reason, e.expected) for e in source.losses()] == [
            ("params", "not-utf8", False),
            ("tags", "not-utf8", False),
        ]
        assert "line 1" in next(iter(source.losses())).detail


def test_what_lies_in_the_trash_is_deleted_whatever_it_says(store):
    run = store.run(store.experiment("3", trash=True))
    store.experiment("1")
    with reading(store.root) as source:
        assert rows(source, "experiments", "experiment_id", "lifecycle_stage") == [
            (1, "active"),
            (3, "deleted"),
        ]
        assert rows(source, "runs", "run_uuid", "lifecycle_stage") == [(run.name, "deleted")]


def test_the_same_id_and_the_same_name_twice_are_both_carried(store):
    live, gone = store.experiment("1", "same"), store.experiment("1", "same", trash=True)
    twin = store.run(live)
    store.run(gone, twin.name)
    put(twin / "params" / "p", "live")
    put(gone / twin.name / "params" / "p", "gone")
    with reading(store.root) as source:
        assert rows(source, "experiments", "experiment_id", "name", "lifecycle_stage") == [
            (1, "same", "active"),
            (2, "same (2)", "deleted"),
        ]
        assert sorted(rows(source, "runs", "experiment_id")) == [(1,), (2,)]
        assert sorted(rows(source, "params", "value")) == [("gone",), ("live",)]
        assert {entry.reason for entry in source.losses()} == {"renamed"}
        assert all(entry.expected for entry in source.losses())
        assert len(list(source.losses())) == 2


def test_a_folder_may_have_another_name_than_its_run(store):
    experiment = store.experiment()
    for name in "cab":
        put(store.run(experiment, name * 32) / "params" / "p", name)
    (experiment / ("a" * 32)).rename(experiment / "my best run")
    with reading(store.root) as source:
        expected = [("a" * 32, "a"), ("b" * 32, "b"), ("c" * 32, "c")]
        assert rows(source, "params", "run_uuid", "value") == expected
        part = source.read("params", ("value",), Among("run_uuid", ("a" * 32, "d" * 32)))
        assert [value for batch in part for value in batch.column(0).to_pylist()] == ["a"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "line 1: is empty"),
        (b"\x00\x01\xff", "line 1"),
        (b"a: b\n\tc: [\n", "line 2"),
        (b"just a text", "line 1: holds no fields"),
        (b"!!python/object:os.system x", "tags are not allowed"),
    ],
)
def test_a_run_that_cannot_be_described_is_listed_and_the_rest_goes_on(store, content, what):
    experiment = store.experiment()
    bad, good = store.run(experiment), store.run(experiment)
    put(bad / "meta.yaml", content)
    with reading(store.root) as source:
        assert rows(source, "runs", "run_uuid") == [(good.name,)]
        assert lost(source) == [("runs", bad.name, f"1/{bad.name}/meta.yaml")]
        assert what in next(iter(source.losses())).detail


def test_an_experiment_that_cannot_be_described_keeps_its_runs(store):
    run = store.run(store.experiment("5", "lost name"))
    put(store.root / "5" / "meta.yaml", "")
    store.experiment("6")
    with reading(store.root) as source:
        assert rows(source, "experiments", "name") == [("experiment_5",), ("experiment 6",)]
        assert rows(source, "runs", "run_uuid", "experiment_id") == [(run.name, 5)]
        assert lost(source) == [("experiments", "5", "5/meta.yaml")]


def test_folders_without_a_description_are_told(store):
    experiment = store.experiment()
    put(experiment / ("a" * 32) / "artifacts" / "model", "x")
    put(store.root / "exported_model" / "MLmodel", "x")
    put(experiment / ".ipynb_checkpoints" / "x", "x")
    put(store.root / ".DS_Store", b"\x00")
    with reading(store.root) as source:
        assert lost(source) == [("runs", "a" * 32, f"1/{'a' * 32}")]
        told = [(e.path, e.reason) for e in source.losses() if e.expected]
        assert told == [("1/.ipynb_checkpoints", "foreign"), ("exported_model", "foreign")]


def test_a_store_in_a_store_is_told_and_read_when_it_is_addressed(store):
    store.experiment("1")
    inner = FolderStore(store.root / "mlruns")
    inner.experiment("2", "inner")
    with reading(store.root) as source:
        assert rows(source, "experiments", "experiment_id") == [(1,)]
        assert [(e.path, e.reason, e.expected) for e in source.losses()] == [
            ("mlruns", "nested", True)
        ]
    with reading(inner.root) as source:
        assert rows(source, "experiments", "name") == [("inner",)]


def test_links_that_leave_the_store_or_go_in_circles_are_not_followed(store, tmp_path):
    run = store.run(store.experiment())
    put(tmp_path / "secret", "not yours")
    (run / "params" / "out").symlink_to(tmp_path / "secret")
    (run / "params" / "self").symlink_to("self")
    (run / "tags" / "circle").symlink_to(run)
    (run / "tags" / "inside").symlink_to(put(run / "params" / "p", "x"))
    (store.root / "1" / "up").symlink_to(store.root)
    with reading(store.root) as source:
        assert rows(source, "params", "key", "value") == [("p", "x")]
        assert rows(source, "tags", "key", "value") == [("inside", "x")]
        paths = {path.removeprefix(f"1/{run.name}/") for _, _, path in lost(source)}
        assert paths == {"params/out", "params/self", "tags/circle", "1/up"}
        assert {entry.reason for entry in source.losses()} == {"unsafe-path"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_listed(store):
    run = store.run(store.experiment())
    put(run / "params" / "p", "x").chmod(0)
    with reading(store.root) as source:
        assert lost(source) == [("params", run.name, f"1/{run.name}/params/p")]


def test_an_error_of_the_disk_is_listed(store, monkeypatch):
    run = store.run(store.experiment())
    put(run / "params" / "bad", "x")
    put(run / "params" / "good", "x")
    really = os.open

    def failing(path, *arguments, **options):
        if str(path).endswith("bad"):
            raise OSError(5, "Input/output error")
        return really(path, *arguments, **options)

    monkeypatch.setattr(os, "open", failing)
    with FileStoreSourceAt(store.root) as source:
        assert rows(source, "params", "key") == [("good",)]
        assert lost(source) == [("params", run.name, f"1/{run.name}/params/bad")]
        assert "Input/output error" in next(iter(source.losses())).detail


@contextmanager
def FileStoreSourceAt(root):  # noqa: N802 -- reads like the class
    source = FileStoreSource(parse_address(str(root)))
    try:
        yield source
    finally:
        source.close()


def test_a_pipe_in_place_of_a_file_does_not_block(store):
    run = store.run(store.experiment())
    os.mkfifo(run / "params" / "pipe")
    with FileStoreSourceAt(store.root) as source:
        assert lost(source) == [("params", run.name, f"1/{run.name}/params/pipe")]


def test_fields_of_other_types_than_mlflow_writes(store):
    store.run(store.experiment(), status=99, start_time="soon", end_time="17", run_name=2024)
    with reading(store.root) as source:
        assert rows(source, "runs", "status", "start_time", "end_time", "name") == [
            ("RUNNING", None, 17, "2024")
        ]
        (entry,) = source.losses()
        assert "status '99' is not known" in entry.detail
        assert "start_time is not a whole number: 'soon'" in entry.detail


def test_the_registry(store):
    models = store.root / "models"
    write_yaml(
        models / "m ü" / "meta.yaml",
        {"name": "m ü", "creation_timestamp": 1, "last_updated_timestamp": 2, "description": "d"},
    )
    write_yaml(
        models / "m ü" / "version-7" / "meta.yaml",
        {
            "version": "7",
            "current_stage": "Deleted_Internal",
            "source": "C:\\models\\1",
            "run_id": "x",
        },
    )
    put(models / "m ü" / "version-7" / "tags" / "t", "1")
    put(models / "m ü" / "aliases" / "champion", "7\n")
    put(models / "m ü" / "aliases" / "bad", "seven")
    put(models / "broken" / "meta.yaml", "")
    write_yaml(models / "broken" / "version-1" / "meta.yaml", {"version": 1})
    with reading(store.root) as source:
        assert rows(source, "registered_models", "name", "description") == [
            ("broken", None),
            ("m ü", "d"),
        ]
        columns = ("name", "version", "current_stage", "source", "run_id", "status")
        assert rows(source, "model_versions", *columns) == [
            ("broken", 1, "None", None, None, "READY"),
            ("m ü", 7, "Deleted_Internal", "C:\\models\\1", "x", "READY"),
        ]
        assert rows(source, "registered_model_aliases", "alias", "version") == [("champion", 7)]
        assert rows(source, "model_version_tags", "key", "value") == [("t", "1")]
        assert lost(source) == [
            ("registered_model_aliases", "m ü", "models/m ü/aliases/bad"),
            ("registered_models", "broken", "models/broken/meta.yaml"),
        ]


def test_points_of_logged_models(store):
    experiment = store.experiment()
    model = experiment / "models" / "m-1"
    write_yaml(model / "meta.yaml", {"model_id": "m-1", "name": "m", "status": "READY"})
    put(
        model / "metrics" / "acc",
        "5 0.5 1 r\n5 0.5 1 r\n6 nan 2 r my data 0ab\n7 1 1 r\n7 2 1 r\nrubbish\n",
    )
    with reading(store.root) as source:
        columns = ("metric_timestamp_ms", "metric_value", "dataset_name", "dataset_digest")
        assert rows(source, "logged_model_metrics", *columns) == [
            (5, 0.5, None, None),
            (5, 0.5, None, None),
            (7, 2.0, None, None),
            (6, 0.0, "my data", "0ab"),
        ]
        assert rows(source, "logged_models", "model_id", "status") == [("m-1", 2)]
        assert [(e.reason, e.expected) for e in source.losses()] == [
            ("duplicate", False),
            ("unreadable", False),
        ]


@pytest.mark.parametrize("given", ["folder", "file:", "file://"])
def test_a_store_is_known_by_its_content(store, given):
    store.experiment("0")
    text = {"folder": str(store.root), "file:": f"file:{store.root}"}.get(given)
    address = parse_address(text or store.root.as_uri())
    assert (address.kind, address.path) == (AddressKind.FILESTORE, store.root)


def test_a_folder_that_is_no_store_is_refused_with_advice(tmp_path):
    FolderStore(tmp_path / "project" / "runs of mine").experiment("0")
    with pytest.raises(RefusedError, match="neither a bundle nor a file store") as raised:
        FileStoreSource(parse_address((tmp_path / "project").as_uri()))
    assert "runs of mine" in raised.value.hint
    with pytest.raises(UnreachableError, match="no such folder"):
        FileStoreSource(parse_address((tmp_path / "nowhere").as_uri()))


def test_how_far_reading_is_is_told_while_a_store_is_opened(store):
    experiment = store.experiment("1", "one")
    for _ in range(70):
        store.run(experiment)
    told = []
    opened = open_source(str(store.root), on_progress=lambda *said: told.append(said))
    opened.close()
    assert told[0] == ("reading run folders", 32, 70, "runs")
    assert told[-1] == ("reading run folders", 70, 70, "runs")
