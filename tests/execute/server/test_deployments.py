"""Servers as people run them: on PostgreSQL, without the proxy; from servers and bundles."""

from __future__ import annotations

import mlflow
import pytest

import mlporter
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.plain_registry import PLAIN_FACTORS
from tests.support.processes import mlflow_server
from tests.support.rich_models import EXAMPLE_INPUT


def predictions(address, name):
    with mlflow_at(address):
        return {
            number: list(
                mlflow.pyfunc.load_model(f"models:/{name}/{number}").predict(EXAMPLE_INPUT)
            )
            for number in PLAIN_FACTORS
        }


EXPECTED = {number: [factor * x for x in EXAMPLE_INPUT] for number, factor in PLAIN_FACTORS.items()}


def test_a_server_on_postgresql(plain_sqlite, mlflow_postgres_url, tmp_path):
    """Several workers send at once; a bundle is copied as a registry is."""
    mlporter.export(plain_sqlite.tracking_uri, str(tmp_path / "bundle"))
    with mlflow_server(mlflow_postgres_url, tmp_path / "files") as address:
        assert mlporter.import_(str(tmp_path / "bundle"), address, workers=8).exit_code == 0
        again = mlporter.import_(str(tmp_path / "bundle"), address)
        assert (again.exit_code, again.rows, again.files.stored_files) == (0, 0, 0)
        assert mlporter.diff(str(tmp_path / "bundle"), address).identical
        assert predictions(address, plain_sqlite.model_name) == EXPECTED


def test_a_server_without_the_proxy_keeps_files_where_the_experiment_does(
    plain_sqlite, mlflow_sqlite, tmp_path
):
    root = tmp_path / "root"
    options = ("--no-serve-artifacts", "--default-artifact-root", str(root))
    with mlflow_server(sqlite_url(mlflow_sqlite), tmp_path / "unused", *options) as address:
        assert mlporter.copy(plain_sqlite.tracking_uri, address).exit_code == 0
        assert any(root.rglob("MLmodel"))
        assert predictions(address, plain_sqlite.model_name) == EXPECTED


def test_from_server_to_server_and_back(copied, server, other_server):
    """A copy of a copy is known for what it is: nothing is there twice (#178)."""
    first, second = server.address, other_server.address
    assert mlporter.copy(first, second).exit_code == 0
    assert mlporter.diff(first, second).identical
    assert predictions(second, copied.model_name) == EXPECTED
    back = mlporter.copy(second, first)
    assert (back.exit_code, back.rows, back.files.stored_files) == (0, 0, 0)
    straight = mlporter.copy(copied.tracking_uri, second)
    assert (straight.exit_code, straight.rows) == (0, 0)


def test_a_part_of_a_registry(plain_sqlite, server):
    """Choosing runs (#190 #180): a run with what it stands on, and nothing else."""
    chosen = mlporter.Selection(runs=(plain_sqlite.run_ids[1],))
    assert mlporter.copy(plain_sqlite.tracking_uri, server.address, selection=chosen).exit_code == 0
    assert server.rows("SELECT count(*) FROM runs") == [(1,)]
    assert server.copy_of(plain_sqlite.run_ids[1]).info.run_name == "run 1"
    # The rest comes beside what is there.
    assert mlporter.copy(plain_sqlite.tracking_uri, server.address).exit_code == 0
    assert mlporter.diff(plain_sqlite.tracking_uri, server.address).identical


def test_without_files(plain_sqlite, server, writes):
    """Skip artifacts (PR #198)."""
    result = mlporter.copy(plain_sqlite.tracking_uri, server.address, artifacts="none")
    assert result.files.stored_files == 0
    assert not [one for one in writes if one.startswith("PUT /api/2.0/mlflow-artifacts")]
    assert server.copy_of(plain_sqlite.run_ids[0]).data.params


@pytest.mark.parametrize("options", [{"artifact_root": "s3://b"}, {"artifacts": "reference"}])
def test_what_a_server_decides_itself_is_refused(plain_sqlite, server, writes, options):
    with pytest.raises(mlporter.MlporterError) as refused:
        mlporter.copy(plain_sqlite.tracking_uri, server.address, **options)
    assert refused.value.exit_code == 2
    assert writes == []


def test_a_prefix_goes_before_the_names_of_experiments(plain_sqlite, server):
    result = mlporter.copy(plain_sqlite.tracking_uri, server.address, rename_prefix="/Shared/")
    assert result.exit_code == 0
    names = {e.name for e in server.client().search_experiments()}
    assert names == {"Default", "/Shared/Default", f"/Shared/{plain_sqlite.experiment_name}"}


def test_a_server_that_keeps_files_in_somebodys_own_folder(
    plain_sqlite, mlflow_sqlite, tmp_path, monkeypatch
):
    """A server may name any folder of this machine; into ~/.ssh and its like nothing is written."""
    home = tmp_path / "home"
    root = home / ".config"
    root.mkdir(parents=True)
    options = ("--no-serve-artifacts", "--default-artifact-root", str(root))
    with mlflow_server(sqlite_url(mlflow_sqlite), tmp_path / "unused", *options) as address:
        monkeypatch.setenv("HOME", str(home))
        one = mlporter.Selection(runs=(plain_sqlite.run_ids[0],))
        result = mlporter.copy(plain_sqlite.tracking_uri, address, selection=one)
        lost = [item for item in result.left_out.first if not item.expected]
        assert (result.exit_code, {item.reason for item in lost}) == (3, {"outside"})
        assert not [path for path in root.rglob("*") if path.is_file()]
        mapped = mlporter.copy(
            plain_sqlite.tracking_uri, address, selection=one, uri_map=[f"{root}={root}"]
        )
        assert mapped.exit_code == 0
        assert any(root.rglob("report.txt"))
