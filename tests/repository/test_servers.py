"""Backups of a server: the points of runs that look as they did are not asked for again."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

import mlporter


@pytest.fixture
def asked(monkeypatch):
    """The paths of requests for histories of metrics."""
    from mlporter.stores.rest.client import Client  # noqa: PLC0415 -- for servers only

    paths: list[str] = []
    real = Client._json

    def noting(client, method, path, *rest, **named):
        if "get-history" in path:
            paths.append(path)
        return real(client, method, path, *rest, **named)

    monkeypatch.setattr(Client, "_json", noting)
    return paths


def test_only_runs_that_changed_are_asked_for_their_points(server, tmp_path, asked):
    client = server.client()
    experiment = client.create_experiment("churn")
    runs = []
    for number in range(4):
        run = client.create_run(experiment).info.run_id
        for step in range(3):
            client.log_metric(run, "rmse", 1.0 / (number + step + 1), step=step)
        client.set_terminated(run)
        runs.append(run)
    at_work = client.create_run(experiment).info.run_id
    client.log_metric(at_work, "rmse", 0.5, step=0)

    mlporter.backup(server.address, tmp_path / "r")
    assert len(asked) > 0
    del asked[:]
    client.log_metric(at_work, "rmse", 0.4, step=1)
    client.log_metric(runs[2], "rmse", 0.1, step=7)
    mlporter.backup(server.address, tmp_path / "r")
    assert 0 < len(asked) <= 2

    mlporter.export(server.address, tmp_path / "fresh")
    mlporter.export(f"{tmp_path}/r/@latest", tmp_path / "restored")
    for table in ("runs", "metrics", "tags", "experiments"):
        fresh, restored = (
            pq.read_table(tmp_path / place / "tables" / table).to_pylist()
            for place in ("fresh", "restored")
        )
        assert restored == fresh
    # What the server keeps is what MLflow's client shows.
    history = [(m.step, m.value) for m in client.get_metric_history(runs[2], "rmse")]
    found = pq.read_table(tmp_path / "restored" / "tables" / "metrics").to_pylist()
    assert sorted(history) == sorted(
        (row["step"], row["value"]) for row in found if row["run_uuid"] == runs[2]
    )
