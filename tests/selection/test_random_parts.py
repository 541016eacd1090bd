"""Parts of registries that nobody would think of are sound, and the same from any kind of place."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import mlporter
from mlporter.errors import RefusedError
from mlporter.selection import KINDS, Selection, select
from mlporter.stores.opening import open_source
from tests.selection.reading import comparable, everything_in, problems
from tests.support.examples import examples
from tests.support.mlflow_session import sqlite_url

NAMES = ("a", "A", "ab", "b*", "it's", "ä")
COUNT = 6
RUNS = [f"{number:032x}" for number in range(COUNT)]
MODELS = [f"m-{number:032x}" for number in range(COUNT)]
TRACES = [f"tr-{number:032x}" for number in range(COUNT)]

SOME = st.sampled_from(["active", "deleted"])
INDEX = st.integers(0, COUNT - 1)
#: A run: experiment, stage, start, parent (perhaps itself, or nowhere).
RUN = st.tuples(
    st.integers(0, 3), SOME, st.none() | st.integers(0, 3), st.none() | st.integers(0, 8)
)
#: A logged model: experiment, stage, source run (perhaps nowhere), runs that read it.
MODEL = st.tuples(
    st.integers(0, 3), SOME, st.none() | st.integers(0, 8), st.lists(INDEX, max_size=2)
)
#: A trace: experiment, source run, model, time.
TRACE = st.tuples(st.integers(0, 3), st.none() | INDEX, st.none() | INDEX, st.integers(0, 3))
#: A version: model's name, stage, run, what its source is.
VERSION = st.tuples(
    st.sampled_from(NAMES),
    st.sampled_from(["None", "Production", "Deleted_Internal"]),
    st.none() | st.integers(0, 8),
    st.sampled_from(["runs:/{run}/model", "models:/{model}", "models:/a/1", "/nowhere", None]),
    INDEX,
)
REGISTRY = st.fixed_dictionaries(
    {
        "stages": st.lists(SOME, min_size=3, max_size=3),
        "runs": st.lists(RUN, min_size=COUNT, max_size=COUNT),
        "models": st.lists(MODEL, max_size=COUNT),
        "traces": st.lists(TRACE, max_size=COUNT),
        "versions": st.lists(VERSION, max_size=6),
        "edges": st.lists(st.tuples(INDEX, st.integers(0, 8)), max_size=4, unique=True),
    }
)
GLOBS = st.lists(st.sampled_from(["a", "a*", "*", "?", "b*", "it's", "ä", "x"]), max_size=2)
SELECTION = st.fixed_dictionaries(
    {},
    optional={
        "experiments": GLOBS.map(tuple),
        "runs": st.lists(st.sampled_from(RUNS), max_size=2).map(tuple),
        "models": GLOBS.map(tuple),
        "since": st.integers(0, 1),
        "until": st.integers(2, 3),
        "exclude_deleted": st.booleans(),
        "only": st.lists(st.sampled_from(KINDS), max_size=3).map(tuple),
    },
)


def fill(path, registry):
    """A registry that refers to itself in every way, and here and there to nothing."""
    with closing(sqlite3.connect(path)) as database, database:
        for number, (name, stage) in enumerate(zip(NAMES, registry["stages"], strict=False), 1):
            insert(database, "experiments", experiment_id=number, name=name, workspace="default",
                   lifecycle_stage=stage)  # fmt: skip
        for id_, (experiment, stage, start, parent) in zip(RUNS, registry["runs"], strict=True):
            insert(database, "runs", run_uuid=id_, experiment_id=experiment, start_time=start,
                   lifecycle_stage=stage, artifact_uri=f"/x/{id_}/artifacts")  # fmt: skip
            insert(database, "params", run_uuid=id_, key="k", value="v")
            if parent is not None:
                insert(database, "tags", run_uuid=id_, key="mlflow.parentRunId",
                       value=f"{parent:032x}")  # fmt: skip
        models = zip(MODELS, registry["models"], strict=False)
        for id_, (experiment, stage, run, readers) in models:
            insert(database, "logged_models", model_id=id_, experiment_id=experiment, name="m",
                   artifact_location=f"/x/{id_}", creation_timestamp_ms=1, status=2,
                   last_updated_timestamp_ms=1, lifecycle_stage=stage,
                   source_run_id=None if run is None else f"{run:032x}")  # fmt: skip
            for reader in dict.fromkeys(readers):
                insert(database, "inputs", input_uuid=f"{id_}{reader}"[-36:], step=0,
                       source_type="RUN_INPUT", source_id=RUNS[reader],
                       destination_type="MODEL_INPUT", destination_id=id_)  # fmt: skip
        for id_, (experiment, run, model, time) in zip(TRACES, registry["traces"], strict=False):
            insert(database, "trace_info", request_id=id_, experiment_id=experiment, status="OK",
                   timestamp_ms=time, db_payload_generation=0)  # fmt: skip
            insert(database, "trace_tags", request_id=id_, key="k", value="v")
            if run is not None:
                insert(database, "trace_request_metadata", request_id=id_, key="mlflow.sourceRun",
                       value=RUNS[run])  # fmt: skip
            if model is not None:
                insert(database, "trace_request_metadata", request_id=id_, key="mlflow.modelId",
                       value=MODELS[model])  # fmt: skip
        fill_versions(database, registry["versions"])
        for number, (trace, run) in enumerate(registry["edges"]):
            insert(database, "entity_associations", association_id=str(number), created_time=0,
                   source_type="trace", source_id=TRACES[trace], destination_type="run",
                   destination_id=f"{run:032x}")  # fmt: skip


def fill_versions(database, versions):
    numbers = dict.fromkeys(NAMES, 0)
    for name, stage, run, source, index in versions:
        if not numbers[name]:
            insert(database, "registered_models", workspace="default", name=name)
        numbers[name] += 1
        uri = source and source.format(run=RUNS[index], model=MODELS[index])
        insert(database, "model_versions", workspace="default", name=name, version=numbers[name],
               current_stage=stage, run_id=None if run is None else f"{run:032x}",
               source=uri)  # fmt: skip
        insert(database, "registered_model_aliases", workspace="default", name=name,
               alias=f"v{numbers[name]}", version=numbers[name])  # fmt: skip


def insert(database, table, **values):
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values()))


def wish(words):
    try:
        return Selection(**words)
    except mlporter.MlporterError:
        return None


@settings(max_examples=examples(6), phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(registry=REGISTRY, wishes=st.lists(SELECTION, min_size=1, max_size=8))
def test_any_part_of_any_registry_is_sound(mlflow_sqlite_template, registry, wishes):
    with TemporaryDirectory() as folder:
        path, bundle = Path(folder, "mlflow.db"), str(Path(folder, "bundle"))
        shutil.copy(mlflow_sqlite_template, path)
        fill(path, registry)
        mlporter.export(sqlite_url(path), bundle, artifacts="none")
        with (
            closing(open_source(sqlite_url(path))) as database,
            closing(open_source(bundle)) as exported,
        ):
            for wanted in filter(None, map(wish, wishes)):
                check(database, exported, wanted)


def check(database, exported, wanted):
    part = select(database, wanted, partly=True)
    assert problems(database, part) == []
    assert comparable(part) == comparable(select(exported, wanted, partly=True))
    assert comparable(part) == comparable(select(part, wanted, partly=True))
    with suppress(RefusedError):
        whole = select(database, wanted)
        assert not wanted.names or any(everything_in(whole).values()), "nothing, and no word of it"
