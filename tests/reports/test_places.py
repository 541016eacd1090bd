"""A report reads any kind of place: it shows the same of one registry wherever that lies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

import mlporter
from tests.reports.test_pages import words

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.plain_registry import PlainRegistry


def said(file: Path) -> str:
    return words(file.read_text(encoding="utf-8"))


def place(kind: str, plain: PlainRegistry, request: pytest.FixtureRequest, folder: Path) -> str:
    """The plain registry in another kind of place."""
    if kind == "bundle":
        mlporter.export(plain.tracking_uri, folder / "bundle")
        return str(folder / "bundle")
    if kind == "server":
        address = str(request.getfixturevalue("server").address)
        mlporter.copy(plain.tracking_uri, address)
        return address
    address = str(request.getfixturevalue("empty_postgres_url"))
    mlporter.copy(plain.tracking_uri, address, artifact_root=folder / "root")
    return address


@pytest.mark.parametrize("kind", ["bundle", "server", "postgresql"])
def test_the_same_is_shown_of_the_same(
    kind: str, plain_sqlite: PlainRegistry, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    here, there = tmp_path / "here.html", tmp_path / "there.html"
    address = place(kind, plain_sqlite, request, tmp_path)
    mlporter.inspect(plain_sqlite.tracking_uri, html=here)
    mlporter.inspect(address, html=there)
    # Ids of runs are a server's own.
    parts = [
        re.search("Experiments and their sizes .* The newest runs", said(f)) for f in (here, there)
    ]
    assert parts[0] is not None
    assert parts[1] is not None
    assert parts[1][0] == parts[0][0]
    run = "run 2 plain FINISHED 2020-09-13 12:28 UTC 30.0 s metric 0 2.02, metric 1 2.12"
    assert run in said(here)
    assert run in said(there)


def test_a_copy_on_a_server_differs_under_the_ids_of_the_first(
    plain_sqlite: PlainRegistry, server: object, tmp_path: Path
) -> None:
    address = place("server", plain_sqlite, _Known(server), tmp_path)  # type: ignore[arg-type]
    with mlporter.open(address) as registry:
        runs = registry.to_pandas("runs")
    (copied,) = runs[runs["name"] == "run 1"]["run_uuid"]
    client = plain_sqlite.client()
    client.set_tag(plain_sqlite.run_ids[0], "reviewed", "yes")
    client.log_metric(plain_sqlite.run_ids[1], "metric 0", 9.5, step=3, timestamp=1)
    mlporter.diff(plain_sqlite.tracking_uri, address, html=tmp_path / "diff.html")
    text = said(tmp_path / "diff.html")
    assert "2 differences in 2 runs" in text
    assert "tags reviewed only in A yes not there" in text
    assert "Run run 1" in text
    assert "3 1970-01-01 00:00 UTC 9.5 not there" in text
    assert "A: from 1 to 9.5" in text
    assert "B: from 1 to 1.02" in text
    assert copied != plain_sqlite.run_ids[1]


class _Known:
    """What `place` asks a request for."""

    def __init__(self, server: object) -> None:
        self._server = server

    def getfixturevalue(self, _name: str) -> object:
        return self._server
