"""Files that S3 copies itself: what is proved, what is streamed, and what is never overwritten."""

from __future__ import annotations

import hashlib
from contextlib import closing

import pytest

import mlporter
from tests.repository.registry import SmallRegistry
from tests.support.engines import copy_sqlite
from tests.support.mlflow_session import sqlite_url

RUN = f"{1:032x}"


def test_first(s3, mlflow_sqlite_template, tmp_path):
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    made.add_run(RUN, 1, {"a/small.txt": b"small", "a/ü ?#%41&+.bin": b"l" * 300_000})
    stored = sqlite_url(tmp_path / "stored.db")
    copy_sqlite(mlflow_sqlite_template, tmp_path / "stored.db")
    r = mlporter.copy(made.url, stored, artifact_root=s3.new_bucket() + "/x")
    print(r.files)
    copy_sqlite(mlflow_sqlite_template, tmp_path / "again.db")
    r = mlporter.copy(
        stored, sqlite_url(tmp_path / "again.db"), artifact_root=s3.new_bucket() + "/y/"
    )
    print(r.files)
    assert mlporter.diff(made.url, sqlite_url(tmp_path / "again.db")).identical
    r = mlporter.export(stored, b := s3.new_bucket() + "/bundle")
    copy_sqlite(mlflow_sqlite_template, tmp_path / "b.db")
    r = mlporter.import_(b, sqlite_url(tmp_path / "b.db"), artifact_root=s3.new_bucket() + "/y/")
    print(r.files)
    assert 0
