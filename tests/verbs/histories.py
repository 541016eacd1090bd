"""What people do to two registries over time: steps that Hypothesis puts together.

Each step is done by MLflow's own client, or by its own ``gc``, to whichever of the things that are
there it happens to hit; a step that finds nothing to do does nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

import mlporter
from mlporter.errors import ConflictError, RefusedError
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import environment, mlflow_at, sqlite_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.entities import Run

EXPERIMENTS = ("train", "tune")
MODELS = ("churn", "fraud")


def experiments(client: MlflowClient) -> list[str]:
    """The ids of all experiments, the deleted ones too."""
    return [e.experiment_id for e in client.search_experiments(view_type=ViewType.ALL)]


def runs(client: MlflowClient) -> list[Run]:
    """All runs, in an order that does not hang on their ids."""
    found = client.search_runs(experiments(client), run_view_type=ViewType.ALL)
    return sorted(found, key=lambda run: (run.info.start_time, run.info.run_name or ""))


def some_run(client: MlflowClient, which: int) -> str:
    """One of the runs."""
    found = runs(client)
    return found[which % len(found)].info.run_id


def new_run(client: MlflowClient, which: int) -> None:
    """A run that has ended, with a file."""
    name = EXPERIMENTS[which % len(EXPERIMENTS)]
    there = client.get_experiment_by_name(name)
    experiment = there.experiment_id if there else client.create_experiment(name)
    run = client.create_run(experiment, run_name=f"{name} {which}").info.run_id
    client.log_metric(run, "loss", which, timestamp=which, step=1)
    client.log_param(run, "depth", which)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "notes.txt"
        file.write_text(f"{which}")
        client.log_artifact(run, str(file))
    client.set_terminated(run)


def delete_run(client: MlflowClient, which: int) -> None:
    """Mark a run as deleted."""
    client.delete_run(some_run(client, which))


def restore_run(client: MlflowClient, which: int) -> None:
    """Take that back."""
    client.restore_run(some_run(client, which))


def edit_run(client: MlflowClient, which: int) -> None:
    """Change a tag."""
    client.set_tag(some_run(client, which), "state", f"edited {which}")


def go_on(client: MlflowClient, which: int) -> None:
    """Log one more point."""
    client.log_metric(some_run(client, which), "loss", which, timestamp=100 + which, step=2)


def delete_experiment(client: MlflowClient, which: int) -> None:
    """Mark an experiment and its runs as deleted."""
    found = experiments(client)
    client.delete_experiment(found[which % len(found)])


def restore_experiment(client: MlflowClient, which: int) -> None:
    """Take that back."""
    found = experiments(client)
    client.restore_experiment(found[which % len(found)])


def rename_experiment(client: MlflowClient, which: int) -> None:
    """Give it another name, perhaps the other one's."""
    found = experiments(client)
    client.rename_experiment(found[which % len(found)], (*EXPERIMENTS, "renamed")[which % 3])


def register(client: MlflowClient, which: int) -> None:
    """A version whose files are a run's."""
    name = MODELS[which % len(MODELS)]
    with contextlib.suppress(MlflowException):
        client.create_registered_model(name)
    run = some_run(client, which)
    client.create_model_version(name, f"runs:/{run}/notes.txt", run)


def edit_version(client: MlflowClient, which: int) -> None:
    """Describe a version otherwise, and let the alias point to it."""
    found = sorted(client.search_model_versions(), key=lambda v: (v.name, int(v.version)))
    version = found[which % len(found)]
    client.update_model_version(version.name, version.version, f"described {which}")
    client.set_registered_model_alias(version.name, "champion", version.version)


def delete_version(client: MlflowClient, which: int) -> None:
    """Delete a version: MLflow keeps a tombstone."""
    found = sorted(client.search_model_versions(), key=lambda v: (v.name, int(v.version)))
    version = found[which % len(found)]
    client.delete_model_version(version.name, version.version)


def delete_model(client: MlflowClient, which: int) -> None:
    """Delete a registered model with all of its versions."""
    client.delete_registered_model(MODELS[which % len(MODELS)])


def gc(client: MlflowClient, which: int) -> None:
    """Purge what is marked as deleted."""
    from mlflow.cli import gc as command  # noqa: PLC0415 -- takes seconds

    CliRunner().invoke(command, ["--backend-store-uri", client.tracking_uri])


STEPS: tuple[Callable[[MlflowClient, int], None], ...] = (
    new_run,
    new_run,
    delete_run,
    restore_run,
    edit_run,
    go_on,
    delete_experiment,
    restore_experiment,
    rename_experiment,
    register,
    register,
    edit_version,
    delete_version,
    delete_model,
    gc,
)

step = st.tuples(st.sampled_from(STEPS), st.integers(0, 5))
histories = st.lists(step, max_size=8)


def live(client: MlflowClient, history: list[tuple[Callable[..., None], int]]) -> None:
    """Do all of it."""
    # What a server does not allow it may call an error of its own, which MLflow's client would try
    # again for minutes.
    with environment({"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}):
        for act, which in history:
            # There is nothing of the kind, or MLflow does not allow it in the state that it is in.
            with contextlib.suppress(MlflowException, ZeroDivisionError):
                act(client, which)


wishes_of_people = st.fixed_dictionaries(
    {"on_conflict": st.sampled_from(["fail", "skip", "rename"]), "undelete": st.booleans()}
)


def registry(template, folder, history):
    """A database in which a history happened; files go below the folder."""
    path = folder / "mlflow.db"
    copy_sqlite(template, path)
    os.chdir(folder)  # MLflow's own default for files hangs on it
    with mlflow_at(sqlite_url(path)):
        live(MlflowClient(sqlite_url(path), sqlite_url(path)), history)
    return sqlite_url(path)


def outcome(source, target, state, **wishes):
    """Plan and do; returns the result, or None where both refuse. The plan is what happens."""
    before = state()
    try:
        plan = mlporter.copy(source, target, dry_run=True, **wishes)
    except RefusedError as refused:
        with pytest.raises(type(refused), match=re.escape(str(refused))):
            mlporter.copy(source, target, **wishes)
        assert state() == before
        return None
    assert state() == before
    if plan.conflicts or plan.misfits:
        with pytest.raises(RefusedError) as caught:
            mlporter.copy(source, target, **wishes)
        assert caught.value.reasons == (*map(str, plan.conflicts), *plan.misfits)
        assert isinstance(caught.value, ConflictError) == bool(plan.conflicts)
        assert state() == before
        return None
    done = mlporter.copy(source, target, **wishes)
    assert done.tables == plan.tables
    assert done.units == plan.units
    assert done.renamed == plan.renamed
    assert done.left_out == plan.left_out
    assert done.exit_code == plan.exit_code
    assert done.files.files == plan.files.files
    return done


def follow(source, target, state, here, there, **wanted):
    """Let things happen on both sides, and copy twice: the second time changes nothing.

    Returns the second result, or None where a copy is refused.
    """
    for address, history in ((source, here), (target, there)):
        with mlflow_at(address):
            live(MlflowClient(address, address), history)
    if outcome(source, target, state, **wanted) is None:
        return None
    after = state()
    again = outcome(source, target, state, **wanted)
    assert again is not None
    assert state() == after
    return again
