"""Two processes at a time: one is refused at once, and nothing is torn or doubled."""

from __future__ import annotations

from time import monotonic

import pytest

import mlporter
from tests.support.databases import row_counts, rows, tree
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.processes import go_on, mlflow_server, mlporter_process, wait_until_paused

both_engines = pytest.mark.parametrize("target_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Who finds a database locked asks a little longer; here only a moment."""
    monkeypatch.setattr("mlporter.stores.database.engines.sqlite._BUSY_MILLISECONDS", 10)


def the_second_is_refused(cli, bundle, url, tmp_path, words):
    """One import stops in the middle, another begins and ends, the first goes on."""
    first = mlporter_process(
        "import", bundle, url, "--artifact-root", tmp_path / "root", paused_at="writing runs"
    )
    wait_until_paused(first)
    began = monotonic()
    second = cli("import", bundle, url, "--artifact-root", tmp_path / "second")
    assert monotonic() - began < 45
    assert second.code == 4, second
    assert words in second.err
    assert "hint: wait until it ends" in second.err
    assert not (tmp_path / "second").exists()
    returned, said = go_on(first)
    assert returned == 0, said
    assert mlporter.diff(str(bundle), url).identical
    # Afterwards nobody holds anything: the same again finds all there.
    counted, files = row_counts(url), tree(tmp_path / "root")
    again = cli("import", bundle, url, "--artifact-root", tmp_path / "root")
    assert again.code == 0, again
    assert row_counts(url) == counted
    assert tree(tmp_path / "root") == files


@pytest.mark.parametrize(
    ("target_url", "words"),
    [
        ("sqlite", "another process is writing to this database"),
        ("postgresql", "another import into this database is running"),
    ],
    indirect=["target_url"],
)
def test_the_second_of_two_imports_into_one_database_is_refused(
    cli, plain_bundle, target_url, tmp_path, words
):
    the_second_is_refused(cli, plain_bundle, target_url, tmp_path, words)


def test_the_second_of_two_imports_into_a_new_sqlite_file_is_refused(cli, plain_bundle, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    url = sqlite_url(folder / "new.db")
    words = "another import into this new database is running"
    the_second_is_refused(cli, plain_bundle, url, tmp_path, words)
    assert [path.name for path in folder.iterdir()] == ["new.db"]


def test_the_second_of_two_imports_into_an_empty_postgresql_database_is_refused(
    cli, plain_bundle, empty_postgres_url, tmp_path
):
    words = "another import into this database is running"
    the_second_is_refused(cli, plain_bundle, empty_postgres_url, tmp_path, words)


def test_what_a_killed_import_left_beside_a_new_sqlite_file_is_cleared_away(
    cli, plain_bundle, tmp_path
):
    folder = tmp_path / "folder"
    folder.mkdir()
    url = sqlite_url(folder / "new.db")
    words = ("import", plain_bundle, url, "--artifact-root", tmp_path / "root")
    killed = mlporter_process(*words, paused_at="writing runs")
    wait_until_paused(killed)
    killed.kill()
    killed.communicate()
    assert ".new.db.mlporter-new" in {path.name for path in folder.iterdir()}
    assert "new.db" not in {path.name for path in folder.iterdir()}

    done = cli(*words)

    assert done.code == 0, done
    assert [path.name for path in folder.iterdir()] == ["new.db"]
    assert mlporter.diff(str(plain_bundle), url).identical


def test_a_database_that_appears_meanwhile_is_not_replaced(
    plain_bundle, plain_sqlite_template, tmp_path
):
    """By another program than mlporter, which knows nothing of its lock."""
    path, root = tmp_path / "new.db", tmp_path / "root"
    first = mlporter_process(
        "import", plain_bundle, sqlite_url(path), "--artifact-root", root, paused_at="writing runs"
    )
    wait_until_paused(first)
    path.write_bytes(plain_sqlite_template.database_path.read_bytes())
    before = path.read_bytes()
    returned, said = go_on(first)
    assert returned == 4, said
    assert "was created by another process in the meantime" in said
    assert path.read_bytes() == before
    assert not root.exists()
    assert not [p for p in tmp_path.iterdir() if "mlporter-" in p.name]


def test_the_second_of_two_exports_into_one_directory_is_told_who_is_there(
    cli, plain_sqlite, tmp_path
):
    folder = tmp_path / "bundle"
    first = mlporter_process(
        "export", plain_sqlite.tracking_uri, folder, paused_at="copying artifacts"
    )
    wait_until_paused(first)
    for more in ((), ("--resume",), ("--restart",)):
        second = cli("export", plain_sqlite.tracking_uri, folder, *more)
        assert second.code == 7, second
        said = " ".join(second.err.split())
        assert f"process {first.pid} on " in said
        assert "hint: wait until it finishes" in said
    returned, said = go_on(first)
    assert returned == 0, said
    assert mlporter.verify(str(folder), against=plain_sqlite.tracking_uri).exit_code == 0


# --- A server is running --------------------------------------------------------------------------


@both_engines
def test_a_running_server_sees_an_import_at_once_and_goes_on(
    cli, plain_bundle, target_url, tmp_path
):
    from mlflow import MlflowClient  # noqa: PLC0415 -- seconds

    with mlflow_server(target_url, tmp_path / "served") as address, mlflow_at(address):
        client = MlflowClient()
        before = {e.name for e in client.search_experiments()}
        done = cli("import", plain_bundle, target_url, "--artifact-root", tmp_path / "served")
        assert done.code == 0, done
        there = {e.name: e.experiment_id for e in client.search_experiments()}
        assert set(there) > before
        ids = [int(i) for (i,) in rows(target_url, "SELECT experiment_id FROM experiments")]
        made = client.create_experiment("made afterwards")
        assert int(made) == max(ids) + 1
        run = client.create_run(made).info.run_id
        client.log_metric(run, "m", 1.0)
        assert client.get_run(run).data.metrics == {"m": 1.0}
        imported = client.search_runs([i for n, i in there.items() if n not in before])
        assert imported
        assert all(client.get_run(r.info.run_id).info.run_name for r in imported)
