"""Places that cannot be used: a clear error, a hint, the right exit code, and nothing changed."""

from __future__ import annotations

import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest

import mlporter
from mlporter.errors import (
    AccessDeniedError,
    ExitCode,
    MlporterError,
    RefusedError,
    RevisionError,
    UnreachableError,
    UnsupportedError,
    UsageError,
)
from tests.support.databases import dump, execute, row_counts, rows, sha256, tree
from tests.support.forks import run
from tests.support.mlflow_session import mlflow_at, sqlite_url

WILD = Path(__file__).parents[4] / "shared" / "wild"

#: Everything that reads a place; each is refused in the same way.
READERS = (
    lambda url, folder: mlporter.export(url, str(folder / "new")),
    lambda url, _: mlporter.inspect(url),
    lambda url, _: mlporter.show(url, "runs"),
    lambda url, _: mlporter.open(url),
    lambda url, _: mlporter.diff(url, url),
    lambda url, folder: mlporter.copy(
        url, sqlite_url(folder / "copy.db"), artifact_root=str(folder / "root")
    ),
)


def refused(url, tmp_path, kind=MlporterError):
    """The error that every reader gives for a place; none of them may leave anything behind."""
    errors = []
    before = tree(tmp_path)
    for read in READERS:
        with pytest.raises(kind) as caught:
            read(url, tmp_path)
        errors.append(caught.value)
    assert tree(tmp_path) == before
    report = mlporter.doctor(url)
    assert report.exit_code == errors[0].exit_code
    assert not report.checks[-1].ok
    assert len({(str(error), error.hint, error.exit_code) for error in errors}) == 1
    return errors[0]


# --- SQLite files that are none -------------------------------------------------------------------


def test_no_such_file(tmp_path):
    error = refused(sqlite_url(tmp_path / "none.db"), tmp_path, UnreachableError)
    assert error.exit_code == ExitCode.UNREACHABLE
    assert "there is no such file" in str(error)
    assert "four" not in str(error)
    assert "sqlite:////name.db is absolute" in error.hint


def test_an_empty_file(tmp_path):
    (tmp_path / "mlflow.db").touch()
    error = refused(sqlite_url(tmp_path / "mlflow.db"), tmp_path, RefusedError)
    assert "empty file" in str(error)


@pytest.mark.parametrize("content", [b"not a database at all", b"PK\3\4", b"SQLite format 3"])
def test_another_file(tmp_path, content):
    (tmp_path / "mlflow.db").write_bytes(content)
    error = refused(sqlite_url(tmp_path / "mlflow.db"), tmp_path, RefusedError)
    assert "is not an SQLite database" in str(error)


def test_a_directory(tmp_path):
    (tmp_path / "mlflow.db").mkdir()
    error = refused(sqlite_url(tmp_path / "mlflow.db"), tmp_path, UnreachableError)
    assert "is a directory" in str(error)


@pytest.mark.parametrize("size", [100, 512, 4096, 5000, 100_000])
def test_a_truncated_file_is_never_exported_in_part(tmp_path, mlflow_sqlite_template, size):
    content = mlflow_sqlite_template.read_bytes()
    (tmp_path / "mlflow.db").write_bytes(content[:size])
    error = refused(sqlite_url(tmp_path / "mlflow.db"), tmp_path)
    assert error.exit_code in {ExitCode.REFUSED, ExitCode.UNREACHABLE}
    assert error.subject.startswith("sqlite:///")


def test_a_damaged_page_is_never_exported_in_part(plain_sqlite, tmp_path):
    """Found only while rows are read: then the bundle stays unfinished."""
    path = plain_sqlite.database_path
    with closing(sqlite3.connect(path)) as connection:
        page_size = connection.execute("PRAGMA page_size").fetchone()[0]
        page = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'metrics'"
        ).fetchone()[0]
    with path.open("r+b") as file:
        file.seek((page - 1) * page_size)
        file.write(b"\xff" * page_size)
    with pytest.raises(MlporterError) as caught:
        mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert "malformed" in str(caught.value)
    assert not (tmp_path / "bundle" / "manifest.yaml").exists()


def test_a_database_of_something_else(tmp_path):
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE users (id INTEGER)")
    error = refused(sqlite_url(path), tmp_path, RefusedError)
    assert "is not an MLflow database" in str(error)
    before = sha256(path)
    with pytest.raises(RefusedError, match="is not an MLflow database"):
        mlporter.import_(str(SAMPLE), sqlite_url(path), artifact_root=str(tmp_path / "root"))
    assert sha256(path) == before


SAMPLE = next((Path(__file__).parents[3] / "samples").glob("*/manifest.yaml")).parent


# --- Revisions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", ["0a8213491aaa", "0584bdc529eb", "75868b020152"])
def test_tables_that_are_not_those_of_their_revision_are_refused(mlflow_sqlite, tmp_path, revision):
    """An older revision over newer tables, or over some of them only."""
    url = sqlite_url(mlflow_sqlite)
    execute(url, f"UPDATE alembic_version SET version_num = '{revision}'", "DROP TABLE tags")
    error = refused(url, tmp_path, RefusedError)
    assert revision in str(error)
    assert error.reasons == ("there is no table tags",)


def wild_database(folder, name):
    archive = WILD / f"{name}.tar.gz"
    if not archive.exists():
        pytest.skip("the real stores are not here")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "wild", filter="data")
    return next((folder / "wild").rglob("mlflow.db"))


@pytest.mark.parametrize(
    ("name", "counted"),
    [
        ("DLBD-Department__BRIO_x_Alkemy", {"runs": 69, "metrics": 670, "model_versions": 1}),
        ("Mih1rGupt4__ml_ops_may2023", {"runs": 3, "metrics": 12, "model_versions": 1}),
        ("SamuelAdamsMcGuire__mlflow_demo", {"runs": 11, "metrics": 33, "model_versions": 3}),
    ],
)
def test_real_old_databases_are_read_as_their_upgrades_and_never_changed(tmp_path, name, counted):
    """MLflow itself migrates such a database, without asking, when it only opens it."""
    path = wild_database(tmp_path, name)
    before = tree(path.parent)
    result = mlporter.export(sqlite_url(path), str(tmp_path / "bundle"), artifacts="none")
    carried = {table.table: table.copied for table in result.tables}
    assert {table: carried[table] for table in counted} == counted
    assert tree(path.parent) == before
    upgraded = sqlite_url(Path(shutil.copy(path, tmp_path / "upgraded.db")))
    done = run(["-m", "mlflow", "db", "upgrade", upgraded])
    assert done.returncode == 0, done.stderr
    assert mlporter.diff(sqlite_url(path), upgraded, strict=True, artifacts="none").identical


@pytest.mark.parametrize("target_url", ["sqlite", "postgresql"], indirect=True)
def test_a_target_at_an_older_revision_is_refused(plain_bundle, target_url, tmp_path):
    execute(target_url, "UPDATE alembic_version SET version_num = '75868b020152'")
    before = row_counts(target_url)
    with pytest.raises(RevisionError) as caught:
        mlporter.import_(str(plain_bundle), target_url, artifact_root=str(tmp_path / "root"))
    assert caught.value.exit_code == ExitCode.REFUSED
    assert "mlflow db upgrade" in caught.value.hint
    assert row_counts(target_url) == before
    assert not (tmp_path / "root").exists()


# --- Targets that are in use ----------------------------------------------------------------------


@pytest.mark.parametrize("target_url", ["sqlite", "postgresql"], indirect=True)
def test_a_second_import_never_doubles_anything(rich_bundle, target_url, tmp_path):
    """Issue of mlflow-export-import (PEERS.md): duplicates at the second import (#178)."""
    root = str(tmp_path / "root")
    mlporter.import_(str(rich_bundle), target_url, artifact_root=root)
    before, files = row_counts(target_url), tree(Path(root))
    for _ in range(2):
        result = mlporter.import_(str(rich_bundle), target_url, artifact_root=root)
        assert result.rows == 0
    assert row_counts(target_url) == before
    assert tree(Path(root)) == files


@pytest.mark.parametrize(
    "row",
    [
        "INSERT INTO registered_models (workspace, name) VALUES ('default', 'only a model')",
        "INSERT INTO workspaces (name) VALUES ('team')",
        "INSERT INTO experiments (experiment_id, name, workspace) VALUES (7, 'empty', 'default')",
        "UPDATE experiments SET name = 'renamed' WHERE experiment_id = 0",
        "INSERT INTO experiment_tags VALUES ('k', 'v', 0)",
    ],
)
def test_one_row_is_enough_to_be_in_use(plain_bundle, mlflow_sqlite, tmp_path, row):
    """What is there stays, the very row of the new database among it."""
    url = sqlite_url(mlflow_sqlite)
    execute(url, row)
    before = dump(url)
    result = mlporter.import_(str(plain_bundle), url, artifact_root=str(tmp_path / "root"))
    assert not result.fresh
    after = dump(url)
    for table, lines in before.items():
        assert set(lines) <= set(after[table]), table
    assert result.rows > 0


def test_a_database_on_which_a_server_was_started_counts_as_empty(
    plain_bundle, mlflow_postgres_url, tmp_path
):
    from mlflow import MlflowClient  # noqa: PLC0415 -- seconds

    with mlflow_at(mlflow_postgres_url):
        assert [e.name for e in MlflowClient().search_experiments()] == ["Default"]
    # What a running server adds by itself.
    execute(mlflow_postgres_url, "INSERT INTO scheduler_leases VALUES ('lease', 1, 5)")
    result = mlporter.import_(
        str(plain_bundle), mlflow_postgres_url, artifact_root=str(tmp_path / "root")
    )
    assert result.exit_code == 0
    names = rows(mlflow_postgres_url, "SELECT count(*) FROM experiments WHERE name = 'Default'")
    assert names == [(1,)]


def test_a_used_directory_is_never_exported_over(plain_sqlite, plain_bundle, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    for used in (tmp_path / "notes", plain_bundle):
        before = tree(used)
        with pytest.raises(RefusedError):
            mlporter.export(plain_sqlite.tracking_uri, str(used))
        with pytest.raises(RefusedError):
            mlporter.export(plain_sqlite.tracking_uri, str(used), resume=True)
        assert tree(used) == before
    with pytest.raises(RefusedError):
        mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "notes"), restart=True)
    assert tree(tmp_path / "notes") != {}


# --- PostgreSQL -----------------------------------------------------------------------------------


def test_no_such_postgresql_database(postgres, tmp_path):
    error = refused(postgres.url("nowhere"), tmp_path, UnreachableError)
    assert error.exit_code == ExitCode.UNREACHABLE
    assert '"nowhere" does not exist' in str(error)
    assert "createdb" in error.hint


def test_no_postgresql_server(tmp_path):
    error = refused("postgresql://me:s3cret@127.0.0.1:1/mlflow", tmp_path, UnreachableError)
    assert error.exit_code == ExitCode.UNREACHABLE
    assert "refused" in str(error)
    assert "s3cret" not in f"{error} {error.hint} {error!r}"


@pytest.fixture
def guarded(postgres, mlflow_postgres_url):
    """The name of a database that asks the role ``guest_<name>`` for the password ``right``."""
    name = mlflow_postgres_url.partition("?")[0].rpartition("/")[2]
    rules = postgres.folder / "pg_hba.conf"
    before = rules.read_text()
    postgres._run(f"CREATE ROLE guest_{name} LOGIN PASSWORD 'right'")
    rules.write_text(f"local {name} guest_{name} scram-sha-256\n{before}")
    reload_rules(postgres)
    yield name
    rules.write_text(before)
    reload_rules(postgres)
    postgres.drop(mlflow_postgres_url)
    postgres._run(f"DROP ROLE guest_{name}")


def reload_rules(postgres):
    """Have the server read its files again, and wait until it has."""
    url = postgres.url("postgres")
    loaded = rows(url, "SELECT pg_conf_load_time()")
    postgres._run("SELECT pg_reload_conf()")
    while rows(url, "SELECT pg_conf_load_time()") == loaded:
        pass


def test_a_wrong_password_is_an_access_denied_and_never_shown(postgres, guarded, tmp_path):
    right = postgres.url(guarded).replace("postgres:@", f"guest_{guarded}:right@")
    wrong = right.replace(":right@", ":wr0ng%40pass@")
    error = refused(wrong, tmp_path, AccessDeniedError)
    assert error.exit_code == ExitCode.UNREACHABLE
    assert "password authentication failed" in str(error)
    assert "PGPASSWORD" in error.hint
    assert "wr0ng" not in f"{error} {error.hint} {error.subject} {error!r}"
    # The right one is let in, and may read nothing.
    error = refused(right, tmp_path)
    assert "permission denied" in str(error)
    assert error.exit_code == ExitCode.UNREACHABLE


def test_a_user_who_may_only_read_can_export_and_not_import(
    postgres, guarded, rich_bundle, tmp_path
):
    owner = postgres.url(guarded)
    reader = owner.replace("postgres:@", f"guest_{guarded}:right@")
    execute(owner, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest_{guarded}")
    assert mlporter.export(reader, str(tmp_path / "bundle")).exit_code == 0
    before = row_counts(owner)
    with pytest.raises(MlporterError, match="permission denied") as caught:
        mlporter.import_(str(rich_bundle), reader, artifact_root=str(tmp_path / "root"))
    assert caught.value.exit_code == ExitCode.UNREACHABLE
    assert row_counts(owner) == before
    execute(owner, f"DROP OWNED BY guest_{guarded}")


# --- Addresses and options ------------------------------------------------------------------------


BUNDLE, NEW = "the rich bundle", "a new directory"


@pytest.mark.parametrize(
    ("kind", "verb", "arguments", "options"),
    [
        (UsageError, "export", (BUNDLE, "postgresql://host/db"), {}),
        (UnsupportedError, "export", ("mssql+pyodbc://host/db", NEW), {}),
        (UsageError, "export", ("sqlite:///", NEW), {}),
        (UsageError, "export", ("sqlite:///mlflow.db", NEW), {"workers": 0}),
        (UsageError, "export", ("sqlite:///mlflow.db", NEW), {"artifacts": "all"}),
        (UsageError, "export", ("sqlite:///x.db", NEW), {"resume": True, "restart": True}),
        (UsageError, "import_", ("sqlite:///mlflow.db", "sqlite:///new.db"), {}),
        (UsageError, "import_", (BUNDLE, NEW), {}),
        (UsageError, "import_", (BUNDLE, "sqlite:///new.db"), {}),
        (
            UsageError,
            "import_",
            (BUNDLE, "sqlite:///new.db"),
            {"artifacts": "reference", "artifact_root": "/x"},
        ),
        (
            UnreachableError,
            "import_",
            (BUNDLE, "sqlite:///no/folder/new.db"),
            {"artifact_root": "/x"},
        ),
        (UsageError, "verify", ("sqlite:///mlflow.db",), {}),
        (UsageError, "show", (BUNDLE, "no_table"), {}),
        (UsageError, "show", (BUNDLE, "runs"), {"columns": ("no_column",)}),
        (UsageError, "unpack", (BUNDLE, NEW), {"version": "1"}),
        (UsageError, "unpack", (BUNDLE, NEW), {"model": "none"}),
        (UsageError, "unpack", (BUNDLE, NEW), {"run": "none"}),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(
    rich_bundle, tmp_path, *, kind, verb, arguments, options
):
    names = {BUNDLE: str(rich_bundle), NEW: str(tmp_path / "new")}
    before = tree(tmp_path)
    with pytest.raises(kind) as caught:
        getattr(mlporter, verb)(*(names.get(word, word) for word in arguments), **options)
    assert type(caught.value) is kind
    assert str(caught.value)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("engine", ["empty_postgres_url", "empty_mysql_url"])
@pytest.mark.parametrize(
    "wishes",
    [
        {"rename": ["nothing of that name=other"]},
        {"selection": {"models": ["nothing of that name"]}},
        {"strict_artifacts": True},
    ],
)
def test_a_refusal_leaves_an_empty_database_empty(plain_sqlite, tmp_path, request, engine, wishes):
    target = request.getfixturevalue(engine)
    shutil.rmtree(plain_sqlite.artifact_root)
    with pytest.raises(MlporterError):
        mlporter.copy(plain_sqlite.tracking_uri, target, artifact_root=tmp_path / "root", **wishes)
    schema = "CURRENT_SCHEMA()" if "postgres" in engine else "DATABASE()"
    tables = f"SELECT count(*) FROM information_schema.tables WHERE table_schema = {schema}"
    assert rows(target, tables) == [(0,)]
