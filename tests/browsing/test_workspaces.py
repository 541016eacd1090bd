"""`browse` of a registry with workspaces: each is shown as itself."""

from __future__ import annotations

import mlporter
from tests.support.rich_models import champion_predictions


def test_each_workspace_is_shown(rich_sqlite_workspaces, tmp_path, quick_uis):
    mlporter.export(rich_sqlite_workspaces.tracking_uri, tmp_path / "bundle")
    names = ("default", "team-b")
    really = [champion_predictions(rich_sqlite_workspaces.tracking_uri, name) for name in names]
    with mlporter.browse(tmp_path / "bundle") as ui:
        assert [champion_predictions(ui.url, name) for name in names] == really
