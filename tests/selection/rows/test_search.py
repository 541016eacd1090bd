"""Filters: MLflow's own search on the same database is the judge."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from mlporter.selection import Selection
from mlporter.selection.rows.runs import find_runs
from mlporter.stores.opening import open_source
from tests.support.databases import execute
from tests.support.mlflow_session import forget_mlflow_state, sqlite_url
from tests.verbs.test_random_registries import fill

FILTERS = (
    "metrics.m = 1",
    "metrics.m = 1.0 and attributes.status = 'FINISHED'",
    "metrics.history = 0.4",
    "metrics.history < 0.5",
    "metrics.history != 0.4",
    "metrics.nan = 0",
    "metrics.nan != 0",
    "metrics.nan >= 0",
    "metrics.inf > 1e300",
    "metrics.`-inf` < 0",
    "metrics.denormal > 0",
    "metrics.sum = 0.30000000000000004",
    "metrics.sum > 0.3",
    'metrics."eval/f1.score: test" >= 1',
    "metrics.métrique <= -1.5",
    "metrics.nowhere = 1",
    "params.plain = '0.1'",
    "params.plain != '0.2'",
    "params.empty = ''",
    "params.awkward LIKE '🦆%'",
    "params.awkward LIKE '%line%end_'",
    "params.`Case` = 'upper'",
    "params.`case` = 'upper'",
    "params.`case` LIKE 'LOW%'",
    "params.`case` ILIKE 'LOW%'",
    "params.`case` LIKE 'l_wer'",
    "params.`trailing space ` = 'key ends in a space'",
    "params.plain IS NULL",
    "params.plain IS NOT NULL",
    "tags.`Case` = 'upper'",
    "tags.`mlflow.user` = 'zoë'",
    "tags.`mlflow.user` ILIKE 'Z%'",
    "tags.`mlflow.user` != 'zoë'",
    "tags.`mlflow.note.content` LIKE '%table%'",
    "tags.`mlflow.parentRunId` IS NOT NULL",
    "tags.nothing IS NULL and metrics.m > 0",
    "tags.`etikett/ünïcode` = 'ja'",
    "attributes.run_name = 'child 1'",
    "run_name LIKE 'child%'",
    "`run name` ILIKE 'CHILD%'",
    "run_name != 'parent'",
    "attributes.status = 'RUNNING'",
    "status = 'KILLED'",
    "attributes.status != 'FINISHED'",
    "attributes.start_time > 1000000000000",
    "start_time = 1000000000000",
    "start_time >= 999999999999.5",
    "end_time <= 1000000000002",
    "created < 2000000000000 AND end_time != 1000000000001",
    "attributes.user_id = 'nobody'",
    "user_id != 'nobody'",
    "artifact_uri LIKE '%artifacts'",
    "artifact_uri ILIKE '%ARTIFACTS'",
    "dataset.name = 'shared'",
    "dataset.name != 'shared'",
    "datasets.name LIKE '%ü'",
    "dataset.digest IN ('0', 'd1gest')",
    "dataset.name NOT IN ('shared')",
    "dataset.context = 'training'",
    "dataset.context != 'training'",
    "dataset.context LIKE 'eval%' and dataset.name = 'shared'",
)


#: What the engines leave to themselves: letters beyond ASCII without case, and backslashes.
TEXT = st.text(st.sampled_from("abAB_% é0'"), max_size=3)
KEY = st.sampled_from(["a", "A", "b c", "mlflow.runName"])
NUMBER = st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e300, 5e-324]) | st.integers(-2, 2).map(float)
POINTS = st.lists(
    st.tuples(KEY, NUMBER, st.integers(0, 2), st.integers(-1, 1), st.booleans()),
    max_size=6,
    unique_by=lambda p: (p[0], p[2], p[3], p[1], p[4]),
)
RUN = st.fixed_dictionaries(
    {
        "name": TEXT,
        "user": st.none() | TEXT,
        "start": st.none() | st.integers(-3, 3),
        "stage": st.sampled_from(["active", "deleted"]),
        "params": st.dictionaries(KEY, TEXT, max_size=3),
        "tags": st.dictionaries(KEY, st.none() | TEXT, max_size=3),
        "metrics": POINTS.map(
            lambda ps: sorted({(k, 0.0 if n else v, t, s, n) for k, v, t, s, n in ps})
        ),
    }
)


def quoted(text):
    return "'" + text.replace("'", "") + "'"


WORDS = TEXT.map(quoted)
CLAUSE = st.one_of(
    st.builds(
        lambda k, c, v: f"metrics.`{k}` {c} {v!r}",
        KEY,
        st.sampled_from([">", ">=", "!=", "=", "<", "<="]),
        NUMBER,
    ),
    st.builds(
        lambda t, k, c, v: f"{t}.`{k}` {c} {v}",
        st.sampled_from(["params", "tags"]),
        KEY,
        st.sampled_from(["=", "!=", "LIKE", "ILIKE", "like"]),
        WORDS,
    ),
    st.builds(
        lambda t, k, c: f"{t}.`{k}` {c}",
        st.sampled_from(["params", "tags"]),
        KEY,
        st.sampled_from(["IS NULL", "IS NOT NULL"]),
    ),
    st.builds(
        lambda k, c, v: f"attributes.{k} {c} {v}",
        st.sampled_from(["user_id", "run_name", "status"]),
        st.sampled_from(["=", "!=", "LIKE", "ILIKE"]),
        WORDS,
    ),
    st.builds(
        lambda c, v: f"start_time {c} {v}",
        st.sampled_from([">", ">=", "!=", "=", "<", "<="]),
        st.integers(0, 3),
    ),
)
FILTER = st.lists(CLAUSE, min_size=1, max_size=3).map(" AND ".join)


def searched(url, texts):
    """The runs that MLflow finds, deleted ones and those of deleted experiments included.

    By filter; without those that it does not take.
    """
    client = MlflowClient(url, url)
    experiments = [e.experiment_id for e in client.search_experiments(ViewType.ALL)]
    judged = {}
    for text in texts:
        with suppress(MlflowException):
            runs = client.search_runs(experiments, text, ViewType.ALL, max_results=10_000)
            judged[text] = {run.info.run_id for run in runs}
    return judged


def found(address, texts):
    """The runs that we find, by filter."""
    source = open_source(address)
    try:
        return {text: find_runs(source, Selection(filter=text), None)[0] for text in texts}
    finally:
        source.close()


def test_filters_find_what_mlflow_finds(rich_sqlite, rich_bundle):
    url = rich_sqlite.tracking_uri
    judged = searched(url, ("", *FILTERS))
    everything = len(judged.pop(""))
    assert len(judged) == len(FILTERS)
    assert found(url, FILTERS) == judged
    assert found(str(rich_bundle), FILTERS) == judged
    # Filters that find everything or nothing would prove nothing.
    assert sum(0 < len(runs) < everything for runs in judged.values()) > len(FILTERS) * 0.6


def test_filters_find_the_same_on_postgresql(rich_postgres):
    url = rich_postgres.tracking_uri
    judged = searched(url, FILTERS)
    assert len(judged) == len(FILTERS)
    assert found(url, FILTERS) == judged


@settings(max_examples=15, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(runs=st.lists(RUN, min_size=1, max_size=5), texts=st.lists(FILTER, min_size=1, max_size=8))
def test_any_filter_finds_what_mlflow_finds(mlflow_sqlite_template, runs, texts):
    with TemporaryDirectory() as folder:
        path = Path(folder, "mlflow.db")
        shutil.copy(mlflow_sqlite_template, path)
        fill(path, [("e", {}, runs)])
        url = sqlite_url(path)
        execute(url, LATEST)
        judged = searched(url, texts)
        forget_mlflow_state()
        assert found(url, judged) == judged


LATEST = """
INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)
SELECT run_uuid, key, value, timestamp, step, is_nan FROM (
    SELECT *, row_number() OVER (
        PARTITION BY run_uuid, key ORDER BY step DESC, timestamp DESC, value DESC, is_nan DESC
    ) AS place FROM metrics
) WHERE place = 1
"""
