"""Where a report is written, and what is never written over; `--html` beside the other options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.reports.page import Page, Verdict
from mlporter.reports.report_file import check_report_file, write_report
from tests.support.mlflow_session import sqlite_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.command_line import Finished
    from tests.support.plain_registry import PlainRegistry

PAGE = Page("diff", "What is different", Verdict("Identical", "good"))


def test_a_report_replaces_a_report_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    for _ in range(2):
        assert check_report_file(file) == file
        write_report(PAGE, file)
    mine = tmp_path / "mlflow.db"
    mine.write_bytes(b"SQLite format 3\0")
    with pytest.raises(mlporter.UsageError, match="is no report"):
        check_report_file(mine)
    with pytest.raises(mlporter.UsageError, match="is no report"):
        check_report_file(tmp_path)
    with pytest.raises(mlporter.UnreachableError, match="no such folder"):
        check_report_file(tmp_path / "none" / "report.html")
    assert sorted(child.name for child in tmp_path.iterdir()) == ["mlflow.db", "report.html"]


def test_through_a_link_its_file_is_written(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    link = tmp_path / "report.html"
    link.symlink_to(tmp_path / "site" / "index.html")
    write_report(PAGE, link)
    assert link.is_symlink()
    assert "Identical" in (tmp_path / "site" / "index.html").read_text()


def test_no_report_goes_into_a_bundle(rich_bundle: Path) -> None:
    for place in (rich_bundle, rich_bundle / "tables"):
        with pytest.raises(mlporter.UsageError, match="into a bundle"):
            mlporter.verify(rich_bundle, html=place / "report.html")
    assert mlporter.verify(rich_bundle, quick=True).exit_code == 0


def test_of_a_repository_and_not_in_it(
    mlflow_sqlite: Path, tmp_path: Path, cli: Callable[..., Finished]
) -> None:
    repository, page = tmp_path / "backups", tmp_path / "report.html"
    assert cli("backup", sqlite_url(mlflow_sqlite), repository).code == 0
    assert cli("verify", repository, "--html", page).code == 0
    assert "Undamaged" in page.read_text()
    beside = ("--against", sqlite_url(mlflow_sqlite), "--html", page)
    assert cli("verify", f"{repository}/@latest", *beside).code == 0
    assert "Undamaged, and identical to the other place" in page.read_text()
    assert cli("inspect", f"{repository}/@latest", "--html", page).code == 0
    assert "It holds 1 experiment." in page.read_text()
    assert cli("verify", repository, "--html", repository / "report.html").code == 2


def test_html_goes_with_json_and_changes_no_exit_code(
    cli: Callable[..., Finished], rich_bundle: Path, mlflow_sqlite: Path, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    done = cli("diff", rich_bundle, sqlite_url(mlflow_sqlite), "--json", "--html", page)
    assert done.code == 1
    assert done.json["identical"] is False
    assert "only in A" in page.read_text()
    done = cli("inspect", rich_bundle, "--json", "--html", page)
    assert done.code == 0
    assert done.json["kind"] == "bundle"
    assert "It holds" in page.read_text()
    done = cli("promote", "--undo", "receipt.yaml", "--html", page)
    assert done.code == 2


def test_where_it_cannot_be_a_report_nothing_is_done(
    cli: Callable[..., Finished], mlflow_sqlite: Path
) -> None:
    before = mlflow_sqlite.read_bytes()
    done = cli("inspect", sqlite_url(mlflow_sqlite), "--html", mlflow_sqlite)
    assert done.code == 2
    assert mlflow_sqlite.read_bytes() == before


def test_a_manifest_asks_for_one(tmp_path: Path, rich_bundle: Path) -> None:
    page = tmp_path / "report.html"
    manifest = tmp_path / "verify.yaml"
    manifest.write_text(f"kind: verify\nbundle: {rich_bundle}\nquick: true\nhtml: {page}\n")
    assert mlporter.run(manifest).exit_code == 0
    assert "Undamaged" in page.read_text()


def test_a_promotion_that_cannot_begin_has_a_report_of_why(tmp_path: Path) -> None:
    page, target = tmp_path / "report.html", sqlite_url(tmp_path / "prod.db")
    nowhere = "http://127.0.0.1:9"
    with pytest.raises(mlporter.UnreachableError):
        mlporter.promote(
            "models:/m/1", nowhere, target, artifact_root="root", retry_time=0, html=page
        )
    assert "Not promoted" in page.read_text()
    assert nowhere in page.read_text()


def test_a_promotion_whose_report_cannot_be_written_is_done_and_says_so(
    plain_sqlite: PlainRegistry, tmp_path: Path
) -> None:
    page, target = tmp_path / "report.html", sqlite_url(tmp_path / "prod.db")

    def in_the_way(*_: object) -> None:
        page.mkdir(exist_ok=True)

    with pytest.raises(mlporter.UnreachableError) as caught:
        mlporter.promote(
            "models:/plain-model/3",
            plain_sqlite.tracking_uri,
            target,
            alias=["champion"],
            artifact_root="root",
            html=page,
            on_progress=in_the_way,
        )
    assert caught.value.reasons == ("the promotion itself is done",)
    (model,) = mlporter.inspect(target).models
    assert model.aliases == {"champion": 1}
