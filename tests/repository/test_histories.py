"""Whatever happened, every snapshot that is listed restores to exactly what the registry was."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

import mlporter
from mlporter.bundle.storage.local import LocalStorage
from tests.repository.registry import SmallRegistry
from tests.support.databases import dump
from tests.support.examples import examples
from tests.support.mlflow_session import sqlite_url

_RUNS = st.sampled_from([f"{number:032x}" for number in range(1, 7)])
_CONTENTS = st.sampled_from([b"", b"a", b"small", b"other", b"x" * 300_000, b"y" * 300_000])
_PATHS = st.sampled_from(["model/MLmodel", "plot.png", "a/b/c.txt"])

_PLACES = "SELECT artifact_location, experiment_id FROM experiments"


class Killed(BaseException):
    """The machine went away."""


@pytest.mark.timeout(3600)
def test_every_snapshot_restores_what_the_registry_was(mlflow_sqlite_template, tmp_path):  # noqa: C901
    numbers = count()

    class History(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.place = tmp_path / str(next(numbers))
            self.registry = SmallRegistry.make(mlflow_sqlite_template, self.place / "registry")
            self.repository = str(self.place / "repository")
            self.were = {}

        @rule(run=_RUNS, points=st.integers(0, 4), path=_PATHS, content=_CONTENTS)
        def add_or_change_run(self, run, points, path, content):
            if self.registry.sql("SELECT 1 FROM runs WHERE run_uuid = ?", run):
                self.registry.add_points(run, points)
                self.registry.write(run, path, content)
            else:
                self.registry.add_run(run, points, {path: content})

        @rule(run=_RUNS, value=st.sampled_from(["a", "b", "ä\n"]))
        def set_tag(self, run, value):
            if self.registry.sql("SELECT 1 FROM runs WHERE run_uuid = ?", run):
                self.registry.set_tag(run, "team", value)

        @rule(run=_RUNS)
        def purge(self, run):
            self.registry.purge(run)

        @rule()
        def back_up(self):
            result = mlporter.backup(self.registry.url, self.repository)
            assert result.exit_code == 0
            self.were[result.snapshot.name] = (dump(self.registry.url), self.registry.files())

        @rule(after=st.integers(0, 12))
        def back_up_and_be_killed(self, after):
            left = count(after, -1)

            def failing(method):
                def write(storage, path, *values):
                    if not next(left):
                        raise Killed
                    return method(storage, path, *values)

                return write

            with pytest.MonkeyPatch.context() as patch:
                for name in ("put", "put_file"):
                    patch.setattr(LocalStorage, name, failing(getattr(LocalStorage, name)))
                try:
                    result = mlporter.backup(self.registry.url, self.repository)
                except Killed:
                    return
            self.were[result.snapshot.name] = (dump(self.registry.url), self.registry.files())

        @rule(keep=st.integers(1, 3), prune=st.booleans())
        def forget(self, keep, prune):
            if self.were:
                gone = mlporter.forget(
                    self.repository, keep_last=keep, prune_unused=prune, grace=0.001
                )
                for name in gone.forgotten:
                    del self.were[name]

        def teardown(self):
            if not self.were:
                return
            report = mlporter.verify(self.repository)
            assert report.check.problems == []
            listed = mlporter.snapshots(self.repository).snapshots
            assert {one.name for one in listed} == set(self.were)
            for name, (rows, files) in self.were.items():
                self.check(name, rows, files)

        def check(self, name, rows, files):
            place = self.place / "restored" / name
            place.mkdir(parents=True)
            snapshot = f"{self.repository}/@{name}"
            restored = sqlite_url(place / "rows.db")
            root = place / "root"
            assert mlporter.copy(snapshot, restored, artifact_root=str(root)).exit_code == 0
            again = SmallRegistry(place / "rows.db", root / "1")
            assert again.files() == files
            # It says where the files are now; else it is what the registry was.
            moved = str(root / "1"), str(self.registry.folder)
            sql = "UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)"
            again.sql(sql, *moved)
            for known in self.registry.sql(_PLACES):
                sql = "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?"
                again.sql(sql, *known)
            assert dump(restored) == rows

    run_state_machine_as_test(
        History,
        settings=settings(
            max_examples=examples(3),
            stateful_step_count=10,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
