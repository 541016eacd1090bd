"""Tracking in one database and registered models in another: made one, each file stored once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mlporter
from mlporter.catalogue.tables.registry import TABLES as REGISTRY
from mlporter.catalogue.types import Kind
from mlporter.errors import ExitCode, UsageError
from tests.support.databases import execute, rows
from tests.support.engines import copy_sqlite
from tests.support.file_stores import TIME, FolderStore, put, write_yaml
from tests.support.here import TABLES
from tests.support.listener import PROXY, listening
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.rich_models import EXAMPLE_INPUT, VERSION_FACTORS

OF_REGISTRY = [table.name for table in REGISTRY]
OF_BOTH = {"workspaces"}


@pytest.fixture
def apart(rich_sqlite, tmp_path):
    """The rich registry in two databases: tracking, and registered models; and in one."""
    paths = {name: tmp_path / f"{name}.db" for name in ("tracking", "models")}
    for path in paths.values():
        copy_sqlite(rich_sqlite.database_path, path)
    execute(sqlite_url(paths["tracking"]), *(f"DELETE FROM {name}" for name in OF_REGISTRY))
    others = [
        table.name
        for table in TABLES
        if table.kind in {Kind.KEPT, Kind.DERIVED} and table.name not in {*OF_REGISTRY, *OF_BOTH}
    ]
    execute(sqlite_url(paths["models"]), *(f"DELETE FROM {name}" for name in others))
    return sqlite_url(paths["tracking"]), sqlite_url(paths["models"]), rich_sqlite


def stored(root):
    """The models below a root, each of which says where it is from."""
    return sorted(path.relative_to(root).as_posix() for path in Path(root).rglob("MLmodel"))


@pytest.fixture(scope="module")
def stored_whole(rich_sqlite_template, tmp_path_factory):
    """What a copy of the one that they were stores."""
    folder = tmp_path_factory.mktemp("whole")
    target = sqlite_url(folder / "whole.db")
    mlporter.copy(rich_sqlite_template.tracking_uri, target, artifact_root=folder / "files")
    return stored(folder / "files")


def predictions(target, models):
    import mlflow  # noqa: PLC0415 -- seconds

    uris = {
        f"models:/{models.name}/1": 1,
        f"models:/{models.name}@champion": 3,
        f"models:/{models.name}/Staging": 4,
    }
    with mlflow_at(target):
        return {
            VERSION_FACTORS[version]: mlflow.pyfunc.load_model(uri).predict(EXAMPLE_INPUT)
            for uri, version in uris.items()
        }


def assert_loads(target, models):
    for factor, found in predictions(target, models).items():
        assert list(found) == [factor * number for number in EXAMPLE_INPUT]


@pytest.mark.parametrize("target_url", ["sqlite", "postgresql"], indirect=True)
def test_two_are_copied_as_one(apart, target_url, tmp_path):
    tracking, models, rich = apart
    options = {"registry": models, "artifact_root": tmp_path / "files", "include_secrets": True}
    if target_url.startswith("postgresql"):
        options["selection"] = {"models": ["*"]}  # the rest of it has what PostgreSQL can't hold
    planned = mlporter.copy(tracking, target_url, dry_run=True, **options)
    copied = mlporter.copy(tracking, target_url, **options)
    assert (planned.rows, planned.files.files) == (copied.rows, copied.files.files)
    again = mlporter.copy(tracking, target_url, **options)
    assert (again.rows, again.files.files) == (0, 0)
    whole = mlporter.copy(
        rich.tracking_uri,
        f"sqlite:///{tmp_path}/whole.db",
        artifact_root=tmp_path / "whole",
        include_secrets=True,
        selection=options.get("selection"),
    )
    assert copied.rows == whole.rows
    assert copied.left_out == whole.left_out
    assert stored(tmp_path / "files") == stored(tmp_path / "whole")
    assert_loads(target_url, rich.models)
    report = mlporter.diff(
        tracking, target_url, registry=models, selection=options.get("selection")
    )
    assert report.identical, report.differences


def test_they_read_as_the_one_that_they_were(apart):
    tracking, models, rich = apart
    report = mlporter.diff(tracking, rich.tracking_uri, registry=models)
    assert report.identical, report.differences
    counted = mlporter.inspect(tracking, registry=models)
    assert [model.name for model in counted.models] == [
        model.name for model in mlporter.inspect(rich.tracking_uri).models
    ]
    shown = mlporter.show(tracking, "model_versions", registry=models).read_all()
    assert shown.equals(mlporter.show(rich.tracking_uri, "model_versions").read_all())


def test_one_bundle_of_both(apart, tmp_path, cli):
    tracking, models, rich = apart
    bundle, new = tmp_path / "bundle", f"sqlite:///{tmp_path}/new.db"
    exported = cli("export", tracking, bundle, "--registry", models, "--include-secrets", "--json")
    assert exported.code == mlporter.export(rich.tracking_uri, tmp_path / "whole").exit_code
    assert any(models in note for note in exported.json["notes"])
    assert models in (bundle / "manifest.yaml").read_text(encoding="utf-8")
    assert mlporter.verify(bundle).exit_code == 0
    assert mlporter.diff(rich.tracking_uri, bundle).identical
    mlporter.import_(bundle, new, artifact_root=tmp_path / "files")
    assert_loads(new, rich.models)
    again = mlporter.copy(tracking, new, registry=models, artifact_root=tmp_path / "files")
    assert (again.rows, again.files.files) == (0, 0)
    assert f"--registry {models}" in again.next_command
    assert cli("diff", tracking, new, "--registry", models).code == 0


@pytest.mark.parametrize("by_bundle", [False, True])
def test_the_registry_after_its_runs(apart, stored_whole, tmp_path, by_bundle):
    """Nothing but the layout tells then whose the files are; and the target has them."""
    tracking, models, rich = apart
    new, root = f"sqlite:///{tmp_path}/new.db", tmp_path / "files"
    mlporter.copy(tracking, new, artifact_root=root)
    before = stored(root)
    source = models
    if by_bundle:
        source = tmp_path / "bundle"
        mlporter.export(models, source, allow_root=[rich.artifact_root])
    asked = {"allow_root": [rich.artifact_root]}
    planned = mlporter.copy(source, new, artifact_root=root, dry_run=True, **asked)
    copied = mlporter.copy(source, new, artifact_root=root, **asked)
    assert planned.files.files == copied.files.files
    assert stored(root) == stored_whole > before
    assert_loads(new, rich.models)
    assert mlporter.diff(tracking, new, registry=models).identical
    again = mlporter.copy(source, new, artifact_root=root, **asked)
    assert (again.rows, again.files.files) == (0, 0)


def test_files_that_the_target_has_otherwise_are_not_shared(apart, tmp_path):
    tracking, models, rich = apart
    new, root = f"sqlite:///{tmp_path}/new.db", tmp_path / "files"
    mlporter.copy(tracking, new, artifact_root=root)
    (changed,) = Path(root).rglob(f"{rich.models.second_model_id}/artifacts/MLmodel")
    text = changed.read_text(encoding="utf-8")
    changed.write_text(text.replace("a", "b", 1), encoding="utf-8")
    asked = {"allow_root": [rich.artifact_root]}
    copied = mlporter.copy(models, new, artifact_root=root, include_secrets=True, **asked)
    assert copied.exit_code == 0
    assert any(f"registered_models/{rich.models.name}/4/" in path for path in stored(root))
    assert not any(f"registered_models/{rich.models.name}/3/" in path for path in stored(root))
    again = mlporter.copy(models, new, artifact_root=root, **asked)
    assert (again.rows, again.files.files) == (0, 0)


def test_a_host_that_the_target_names_is_not_asked(apart, tmp_path):
    """Whether the target holds a version's files already is seen in places that its rows name."""
    tracking, models, rich = apart
    new = sqlite_url(tmp_path / "new.db")
    mlporter.copy(tracking, new, artifact_root=tmp_path / "files")
    with listening() as stranger:
        place = f"'{stranger.url}{PROXY}/1/'"
        execute(new, f"UPDATE runs SET artifact_uri = {place} || run_uuid",
                f"UPDATE logged_models SET artifact_location = {place} || model_id")  # fmt: skip
        root = {"artifact_root": tmp_path / "files", "allow_root": [rich.artifact_root]}
        mlporter.copy(models, new, **root)
    assert stranger.asked == []


def test_models_that_tracking_has_itself_are_named(rich_sqlite, apart, tmp_path):
    _, models, rich = apart
    result = mlporter.export(rich.tracking_uri, tmp_path / "bundle", registry=models)
    left = {item.id: item for item in result.left_out.first if item.reason == "other-registry"}
    count = rows(rich.tracking_uri, "SELECT count(*) FROM model_versions")[0][0]
    assert str(count) in left["model_versions"].detail
    assert models in left["model_versions"].detail


def test_the_same_place_twice_is_refused(apart, cli, tmp_path):
    tracking, models, _ = apart
    with pytest.raises(UsageError, match="registered models"):
        mlporter.inspect(tracking, registry=tracking)
    done = cli("copy", tracking, models, "--registry", models, "--artifacts", "none")
    assert done.code == ExitCode.USAGE


def test_a_password_of_the_registry_is_not_shown(apart, cli, tmp_path):
    tracking, _, _ = apart
    address = "postgresql://me:hunter2@127.0.0.1:1/reg"
    done = cli("export", tracking, tmp_path / "b", "--registry", address, "--json")
    assert done.code == ExitCode.UNREACHABLE
    assert "hunter2" not in done.out + done.err
    assert not (tmp_path / "b").exists()
    assert json.dumps(done.json)


def test_a_file_store_as_registry_keeps_files_where_the_runs_are(plain_sqlite, tmp_path):
    """Rows that repeat are left away on the way into a database; roots are shared all the same."""
    put(Path(plain_sqlite.artifact_root, "plain/kept/weights"), "w")
    store = FolderStore(tmp_path / "registry/mlruns")
    put(store.run(store.experiment()) / "metrics/loss", f"{TIME} 1.0 0\n" * 2)
    times = {"creation_timestamp": TIME, "last_updated_timestamp": TIME}
    write_yaml(store.root / "models/kept/meta.yaml", {"name": "kept", **times})
    where = f"{plain_sqlite.artifact_root}/plain/kept"
    version = {"name": "kept", "version": 1, "current_stage": "None", "status": "READY", **times}
    write_yaml(
        store.root / "models/kept/version-1/meta.yaml",
        {**version, "source": where, "storage_location": where},
    )
    target = sqlite_url(tmp_path / "new.db")
    copied = mlporter.copy(
        plain_sqlite.tracking_uri,
        target,
        registry=store.root,
        artifact_root=tmp_path / "files",
    )
    assert [item for item in copied.left_out.first if not item.expected] == []
    assert copied.exit_code == 0
    assert [path.read_text() for path in (tmp_path / "files").rglob("weights")] == ["w"]
    alone = mlporter.inspect(store.root).losses
    assert [(item.kind, item.id, item.reason) for item in alone if not item.expected] == [
        ("model_version", "default/kept/1", "outside")
    ]
    both = mlporter.inspect(plain_sqlite.tracking_uri, registry=store.root)
    assert all(item.expected for item in both.losses)
