"""Files of nobody's registry: any row may name any folder, and only some folders are read.

Whoever may write a run may write any URI into it; whoever exports can often read more than that
person. What is planted here is found again in no bundle and no target, unless it is asked for.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import mlporter
from mlporter.errors import UsageError
from tests.support.databases import execute, rows
from tests.support.file_stores import FolderStore, put
from tests.support.mlflow_session import sqlite_url
from tests.support.processes import mlflow_server

SECRET = b"root:x:0:0"


@pytest.fixture
def secret(tmp_path):
    """A folder of somebody else."""
    folder = tmp_path / "secret"
    put(folder / "passwd", SECRET)
    return folder


def unexpected(result):
    return [item for item in result.left_out.first if not item.expected]


def stolen(folder):
    """Files below a folder in which the secret is."""
    return [
        path for path in Path(folder).rglob("*") if path.is_file() and SECRET in path.read_bytes()
    ]


def spellings(folder):
    other = folder.parent / "link"
    other.symlink_to(folder)
    base = folder.parent / "plain"
    return {
        "path": str(folder),
        "uri": folder.as_uri(),
        "localhost": f"file://localhost{folder}",
        "one slash": f"file:{folder}",
        "capitals": f"FILE://{folder}",
        "escaped": f"file://{str(folder).replace('secret', '%73ecret')}",
        "climbing": f"{base}/../secret",
        "slashes": f"/{folder}//.",
        "link": str(other),
    }


NAMED = {
    "run": "UPDATE runs SET artifact_uri = '{uri}' WHERE run_uuid = '{run}'",
    "logged_model": "UPDATE logged_models SET artifact_location = '{uri}'"
    " WHERE model_id = '{model}'",
    "model_version": "UPDATE model_versions SET source = '{uri}', storage_location = '{uri}'"
    " WHERE version = 1",
    "trace": "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
    " VALUES ('tr-1', {experiment}, 1, 'OK');"
    "INSERT INTO trace_tags VALUES ('mlflow.artifactLocation', '{uri}', 'tr-1')",
    "trace_archive": "INSERT INTO trace_info (request_id, experiment_id, timestamp_ms, status)"
    " VALUES ('tr-1', {experiment}, 1, 'OK');"
    "INSERT INTO trace_tags VALUES ('mlflow.trace.archiveLocation', '{uri}', 'tr-1')",
}
"""By the kind of owner: how its files come to be somewhere."""


def point(registry, kind, uri):
    url = registry.tracking_uri
    [(model,)] = rows(url, "SELECT min(model_id) FROM logged_models")
    words = {"run": registry.run_ids[0], "model": model, "experiment": registry.experiment_id}
    for statement in NAMED[kind].format(uri=uri, **words).split(";"):
        execute(url, statement)


@pytest.mark.parametrize("kind", NAMED)
def test_an_owner_that_names_a_folder_outside_is_named(kind, plain_sqlite, secret, tmp_path):
    point(plain_sqlite, kind, secret.as_uri())
    url = plain_sqlite.tracking_uri
    result = mlporter.export(url, tmp_path / "bundle")
    [item] = unexpected(result)
    assert (result.exit_code, item.kind, item.reason) == (3, kind, "outside")
    assert "--allow-root" in item.detail
    assert str(secret) in item.detail
    assert stolen(tmp_path / "bundle") == []
    allowed = mlporter.export(url, tmp_path / "allowed", allow_root=[secret])
    assert allowed.exit_code == 0
    assert len(stolen(tmp_path / "allowed")) == 1


def add_runs_at(registry, uris):
    """Add a run for each URI, whose files are there; gives the URIs by the runs' ids."""
    named = {f"{number:032d}": uri for number, uri in enumerate(uris)}
    for run, uri in named.items():
        execute(
            registry.tracking_uri,
            "INSERT INTO runs (run_uuid, name, status, lifecycle_stage, experiment_id,"
            f" artifact_uri) VALUES ('{run}', 'r', 'FINISHED', 'active', 0, '{uri}')",
        )
    return named


def test_however_it_is_spelt(plain_sqlite, secret, tmp_path):
    uris = spellings(secret).values()
    named = add_runs_at(plain_sqlite, uris)
    result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle")
    found = {named[item.id]: item.reason for item in unexpected(result)}
    assert found == dict.fromkeys(uris, "outside")
    assert stolen(tmp_path / "bundle") == []


def test_a_copy_and_a_diff_follow_it_no_more(plain_sqlite, secret, tmp_path, cli):
    point(plain_sqlite, "run", secret.as_uri())
    url, target = plain_sqlite.tracking_uri, sqlite_url(tmp_path / "new.db")
    planned = mlporter.copy(url, target, artifact_root=tmp_path / "root", dry_run=True)
    result = mlporter.copy(url, target, artifact_root=tmp_path / "root")
    for one in (planned, result):
        assert [item.reason for item in unexpected(one)] == ["outside"]
    assert stolen(tmp_path / "root") == []
    # Nobody can say that they are the same: A's were not read.
    assert mlporter.diff(url, target).exit_code == 1
    allow = ("--allow-root", str(secret))
    done = cli(
        "copy", url, sqlite_url(tmp_path / "two.db"), "--artifact-root", tmp_path / "two", *allow
    )
    assert done.code == 0
    assert len(stolen(tmp_path / "two")) == 1
    assert cli("diff", url, sqlite_url(tmp_path / "two.db"), *allow).code == 0
    assert cli("export", url, tmp_path / "bundle", *allow).code == 0
    assert cli("verify", tmp_path / "bundle", "--against", url, *allow).code == 0
    assert cli("verify", tmp_path / "bundle", "--against", url).code == 1


def test_map_uri_names_a_folder_too(plain_sqlite, secret, tmp_path):
    point(plain_sqlite, "run", "/nowhere/at/all")
    uri_map = [f"/nowhere={secret.parent}", f"/nowhere/at/all={secret}"]
    result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle", uri_map=uri_map)
    assert (result.exit_code, len(stolen(tmp_path / "bundle"))) == (0, 1)


def test_strict_artifacts_refuses(plain_sqlite, secret, tmp_path, cli):
    point(plain_sqlite, "run", secret.as_uri())
    done = cli("export", plain_sqlite.tracking_uri, tmp_path / "bundle", "--strict-artifacts")
    assert done.code == 4
    assert "outside" in done.err
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("where", ["/etc", "/proc/self", "{home}/.ssh", "{home}", "/"])
def test_an_experiment_makes_no_root_of_a_private_folder(
    where, plain_sqlite, tmp_path, monkeypatch
):
    home = tmp_path / "home"
    put(home / ".ssh/id", SECRET)
    monkeypatch.setenv("HOME", str(home))
    root = where.format(home=home)
    url, run = plain_sqlite.tracking_uri, plain_sqlite.run_ids[0]
    inside = f"{home}/.ssh" if where in {"{home}", "/"} else root
    execute(
        url,
        f"UPDATE experiments SET artifact_location = '{root}' WHERE experiment_id = 0",
        f"UPDATE runs SET artifact_uri = '{inside}' WHERE run_uuid = '{run}'",
    )
    result = mlporter.export(url, tmp_path / "bundle")
    assert [(item.id, item.reason) for item in unexpected(result)] == [(run, "outside")]
    assert stolen(tmp_path / "bundle") == []


def test_an_experiment_of_its_own_place_is_a_root(plain_sqlite, secret, tmp_path):
    point(plain_sqlite, "run", secret.as_uri())
    own = f"UPDATE experiments SET artifact_location = '{secret}' WHERE experiment_id = 0"
    execute(plain_sqlite.tracking_uri, own)
    assert mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle").exit_code == 0


def test_a_link_among_artifacts(plain_sqlite, secret, tmp_path):
    run = plain_sqlite.run_ids[0]
    folder = Path(plain_sqlite.artifact_root, "plain", run, "artifacts")
    (folder / "out").symlink_to(secret)
    (folder / "file").symlink_to(secret / "passwd")
    (folder / "sibling").symlink_to(f"../../{plain_sqlite.run_ids[1]}/artifacts")
    url = plain_sqlite.tracking_uri
    result = mlporter.export(url, tmp_path / "bundle")
    assert {(item.id, item.path, item.reason) for item in unexpected(result)} == {
        (run, "out", "unsafe-path"),
        (run, "file", "unsafe-path"),
    }
    assert stolen(tmp_path / "bundle") == []
    allowed = mlporter.export(url, tmp_path / "allowed", allow_root=[secret])
    assert allowed.exit_code == 0
    with mlporter.open(tmp_path / "allowed") as bundle:
        found = bundle.to_pandas("artifacts")
    paths = set(found[found.owner_id == run].path)
    assert {"out/passwd", "file", "sibling/report.txt"} <= paths


def test_ids_do_not_lead_to_folders_beside_the_store(plain_sqlite, tmp_path):
    """Files that are not where they were recorded are looked for beside the store, by their ids."""
    url, run = plain_sqlite.tracking_uri, plain_sqlite.run_ids[0]
    put(plain_sqlite.database_path.parent / "secrets/prod/artifacts/key", SECRET)
    execute(
        url,
        "PRAGMA foreign_keys = OFF",
        "INSERT INTO runs (run_uuid, name, status, start_time, lifecycle_stage, experiment_id,"
        " artifact_uri) SELECT 'prod', name, status, start_time, lifecycle_stage, experiment_id,"
        f" 'C:\\secrets\\prod\\artifacts' FROM runs WHERE run_uuid = '{run}'",
    )
    result = mlporter.export(url, tmp_path / "bundle")
    assert [(item.id, item.reason) for item in unexpected(result)] == [("prod", "unreachable")]
    assert stolen(tmp_path / "bundle") == []


def test_orphans_of_a_link_that_leads_out(plain_sqlite, secret, tmp_path):
    folder = Path(plain_sqlite.artifact_root, "plain", "a" * 32)
    folder.mkdir()
    (folder / "artifacts").symlink_to(secret)
    result = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle", orphans=True)
    assert [(item.kind, item.reason) for item in unexpected(result)] == [("orphan", "outside")]
    found = mlporter.inspect(plain_sqlite.tracking_uri)
    assert (found.orphans.files, [item.reason for item in found.losses]) == (0, ["outside"])
    allowed = mlporter.inspect(plain_sqlite.tracking_uri, allow_root=[secret])
    assert (allowed.orphans.files, allowed.losses) == (1, ())


@pytest.mark.parametrize("wrong", ["s3://bucket/x", "{tmp}/absent", "{tmp}/file", ""])
def test_allow_root_takes_a_folder_that_is_there(wrong, plain_sqlite, tmp_path):
    put(tmp_path / "file", "x")
    with pytest.raises(UsageError):
        mlporter.export(
            plain_sqlite.tracking_uri, tmp_path / "b", allow_root=[wrong.format(tmp=tmp_path)]
        )
    assert not (tmp_path / "b").exists()


# --- Postgres, where there is no folder of the database's own -------------------------------------


def test_beside_no_database_file(rich_postgres, secret, tmp_path):
    url = rich_postgres.tracking_uri
    before = unexpected(mlporter.export(url, tmp_path / "before"))
    assert "outside" not in {item.reason for item in before}
    [(run,)] = rows(url, "SELECT min(run_uuid) FROM runs")
    execute(url, f"UPDATE runs SET artifact_uri = '{secret}' WHERE run_uuid = '{run}'")
    after = unexpected(mlporter.export(url, tmp_path / "after"))
    assert [(item.id, item.reason) for item in after if item not in before] == [(run, "outside")]
    assert stolen(tmp_path / "after") == []


# --- File stores ----------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "mlruns")


def test_a_run_of_a_file_store(store, secret, tmp_path):
    run = store.run(store.experiment(), artifact_uri=secret.as_uri())
    result = mlporter.export(store.root, tmp_path / "bundle")
    assert [(item.id, item.reason) for item in unexpected(result)] == [(run.name, "outside")]
    assert stolen(tmp_path / "bundle") == []
    assert mlporter.export(store.root, tmp_path / "b2", allow_root=[secret]).exit_code == 0


@pytest.mark.parametrize("name", ["tags", "params", "metrics", "artifacts", "meta.yaml"])
def test_a_link_in_place_of_a_part_of_a_run(name, store, secret, tmp_path):
    run = store.run(store.experiment())
    put(run / "params/good", "x")
    if name == "meta.yaml":
        (run / name).unlink()
        (run / name).symlink_to(secret / "passwd")
    else:
        (run / name).rename(tmp_path / "away")
        (run / name).symlink_to(secret)
    result = mlporter.export(store.root, tmp_path / "bundle")
    assert (result.exit_code, stolen(tmp_path / "bundle")) == (3, [])
    with mlporter.open(tmp_path / "bundle") as bundle:
        for table in ("tags", "params", "metrics"):
            assert "passwd" not in set(bundle.to_pandas(table).key)


@pytest.mark.parametrize("name", ["tags", "request_metadata", "assessments", "artifacts"])
def test_a_link_in_place_of_a_part_of_a_trace(name, store, tmp_path):
    experiment = store.experiment()
    trace = experiment / "traces" / f"tr-{'1' * 32}"
    put(trace / "trace_info.yaml", f"trace_id: {trace.name}\nrequest_time: 2025-01-01T00:00:00Z\n")
    put(tmp_path / "theirs/traces.json", '{"spans": [{"name": "theirs"}]}')
    (trace / name).symlink_to(tmp_path / "theirs")
    result = mlporter.export(store.root, tmp_path / "bundle")
    assert result.exit_code == 3
    with mlporter.open(tmp_path / "bundle") as bundle:
        for table in ("spans", "trace_tags", "trace_request_metadata", "artifacts"):
            found = bundle.to_pandas(table)
            assert not found.astype(str).apply(lambda row: "theirs" in str(list(row)), axis=1).any()
            assert table != "artifacts" or found.empty


@pytest.mark.parametrize("name", ["tags", "params", "metrics", "meta.yaml"])
def test_a_link_in_place_of_a_part_of_a_logged_model(name, store, secret, tmp_path):
    experiment = store.experiment()
    model = experiment / "models" / f"m-{'1' * 32}"
    put(model / "meta.yaml", f"model_id: {model.name}\nname: m\nexperiment_id: '1'\nstatus: 1\n")
    if name == "meta.yaml":
        (model / name).unlink()
        (model / name).symlink_to(secret / "passwd")
    else:
        (model / name).symlink_to(secret)
    result = mlporter.export(store.root, tmp_path / "bundle")
    assert (result.exit_code, stolen(tmp_path / "bundle")) == (3, [])
    with mlporter.open(tmp_path / "bundle") as bundle:
        for table in ("logged_model_tags", "logged_model_params", "logged_model_metrics"):
            assert bundle.count(table) == 0


# --- Servers --------------------------------------------------------------------------------------


def test_a_folder_that_a_server_names_is_looked_for_there_and_not_here(
    plain_sqlite, secret, tmp_path
):
    """It sends what is in runs and logged models; whatever it names, nothing here is read."""
    here = Path(plain_sqlite.artifact_root)
    point(plain_sqlite, "model_version", secret.as_uri())
    options = ("--no-serve-artifacts", "--default-artifact-root", str(here))
    with mlflow_server(plain_sqlite.tracking_uri, tmp_path / "files", *options) as address:
        result = mlporter.export(address, tmp_path / "bundle")
        assert [(item.kind, item.reason) for item in unexpected(result)] == [
            ("model_version", "outside")
        ]
        assert "server's machine" in unexpected(result)[0].detail
        assert stolen(tmp_path / "bundle") == []
        assert mlporter.export(address, tmp_path / "allowed", allow_root=[secret]).exit_code == 0
    straight = mlporter.export(plain_sqlite.tracking_uri, tmp_path / "straight")
    assert result.files.files == straight.files.files > 0
    assert len(stolen(tmp_path / "allowed")) == 1


# --- Artifacts alone ------------------------------------------------------------------------------


def test_a_link_among_artifacts_that_a_registry_is_rebuilt_from(secret, tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    # The user names the folder, wherever it is.
    folder = home / ".cache/artifacts"
    put(folder / "1" / ("a" * 32) / "artifacts/x", "x")
    (folder / "1" / ("a" * 32) / "artifacts/out").symlink_to(secret)
    target, root = sqlite_url(tmp_path / "new.db"), tmp_path / "root"
    result = mlporter.rebuild(folder, target, artifact_root=root)
    assert {(item.path.rpartition("/")[2], item.reason) for item in unexpected(result)} == {
        ("out", "unsafe-path")
    }
    assert stolen(root) == []
    assert any(root.rglob("x"))
    other = sqlite_url(tmp_path / "other.db")
    allowed = mlporter.rebuild(folder, other, artifact_root=tmp_path / "two", allow_root=[secret])
    assert (allowed.exit_code, len(stolen(tmp_path / "two"))) == (0, 1)
