"""Files in S3, and places that are no MLflow server of the usual kind."""

from __future__ import annotations

import mlflow

import mlporter
from tests.peers.troubled import CATALOGUE_MODEL
from tests.support.mlflow_session import mlflow_at, sqlite_url
from tests.support.processes import mlflow_server
from tests.support.rich_models import EXAMPLE_INPUT


def test_73_71_173_files_in_s3_from_server_to_server(troubled, s3, mlflow_sqlite, tmp_path):
    """A server that leaves files to S3, as a target and then as a source."""
    server, _ = troubled
    root = f"{s3.new_bucket()}/root"
    options = ("--no-serve-artifacts", "--default-artifact-root", root)
    selection = mlporter.Selection(models=(CATALOGUE_MODEL,))
    with mlflow_server(
        sqlite_url(mlflow_sqlite), tmp_path / "unused", *options, **s3.environment
    ) as address:
        done = mlporter.copy(server.address, address, selection=selection)
        assert done.exit_code == 0
        with mlflow_at(address):
            model = mlflow.pyfunc.load_model(f"models:/{CATALOGUE_MODEL}/1")
            assert list(model.predict(EXAMPLE_INPUT)) == [3.0 * x for x in EXAMPLE_INPUT]
        back = mlporter.export(address, str(tmp_path / "backup"))
    assert (back.exit_code, back.files.files) == (0, done.files.files)


def test_241_azureml_is_refused_by_name(cli, tmp_path):
    """Azure's own addresses need Azure's own plug-in; its web address is a server like any."""
    done = cli("export", "azureml://westeurope.api.azureml.ms/mlflow/v1.0", tmp_path / "backup")
    assert done.code == 4
    assert "'azureml'" in done.err
    assert "http://" in done.err
    assert not (tmp_path / "backup").exists()
