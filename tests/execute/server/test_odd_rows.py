"""What SQLite let in, on its way into a server: named, and the rest goes on."""

from __future__ import annotations

import mlporter
from mlporter.errors import ExitCode
from tests.support.databases import execute, rows


def test_rows_of_nobody_and_values_that_do_not_fit(plain_sqlite, server):
    source = plain_sqlite.tracking_uri
    gone, odd = plain_sqlite.run_ids[:2]
    before = rows(source, "SELECT count(*) FROM runs")[0][0]
    execute(
        source,
        f"DELETE FROM runs WHERE run_uuid = '{gone}'",
        f"UPDATE runs SET end_time = 'tomorrow' WHERE run_uuid = '{odd}'",
        f"INSERT INTO params (run_uuid, key, value) VALUES ('{odd}', 'p', CAST(x'ff' AS TEXT))",
    )
    planned = mlporter.copy(source, server.address, dry_run=True)
    copied = mlporter.copy(source, server.address)
    for result in (planned, copied):
        assert result.exit_code == ExitCode.INCOMPLETE
        left = {(item.kind, item.path) for item in result.left_out.first if not item.expected}
        assert left >= {
            ("reference", f"runs.run_uuid={gone}"),
            ("runs", "end_time"),
            ("params", "value"),
        }
    assert server.rows("SELECT count(*) FROM runs") == [(before - 1,)]
    assert server.copy_of(odd).data.params["p"] == "\\xff"
    again = mlporter.copy(source, server.address)
    assert (again.rows, again.exit_code) == (0, ExitCode.INCOMPLETE)


def test_runs_of_one_place_and_models_of_another(plain_sqlite, server, tmp_path):
    """A version points at its run's files, which go there once."""
    source, models = plain_sqlite.tracking_uri, f"sqlite:///{tmp_path}/models.db"
    mlporter.copy(source, models, artifacts="reference")
    names = ("registered_model_aliases", "model_version_tags", "model_versions",
             "registered_model_tags", "registered_models")  # fmt: skip
    execute(source, *(f"DELETE FROM {name}" for name in names))
    execute(models, "DELETE FROM runs", "DELETE FROM logged_models")
    copied = mlporter.copy(source, server.address, registry=models)
    assert copied.exit_code == 0, copied.left_out
    found = rows(models, "SELECT name, version FROM model_versions ORDER BY 1, 2")
    assert server.rows("SELECT name, version FROM model_versions ORDER BY 1, 2") == found != []
    assert mlporter.diff(source, server.address, registry=models).identical
    assert mlporter.copy(source, server.address, registry=models).rows == 0
