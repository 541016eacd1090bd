"""Stores that were moved: the URIs in them go on naming the old place."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from .databases import execute
from .rich_registry import URI_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    from .plain_registry import PlainRegistry

RECORDED = {
    "windows": "file:///C:/Users/zoë/project/mlruns",
    "backslashes": "C:\\Users\\zoë\\project\\mlruns",
    "another home": "/home/somebody else/project/mlruns",
    "file": "file:///home/somebody/project/mlruns",
    "relative": "./elsewhere/mlruns",
    "server": "mlflow-artifacts:",
}
"""Places that nobody has here."""


def record_elsewhere(registry: PlainRegistry, root: str) -> None:
    """Change every place in the database to one below ``root``; of the files nothing."""
    old, new = f"{registry.artifact_root}/plain", f"{root}/{registry.experiment_id}"
    for table, column in URI_COLUMNS:
        changed = f"{column} = REPLACE({column}, '{old}', '{new}')"
        execute(registry.tracking_uri, f"UPDATE {table} SET {changed}")


def move_files(registry: PlainRegistry, folder: str) -> Path:
    """Move the files into a folder beside the database, laid out as MLflow does."""
    new = registry.database_path.parent / folder / registry.experiment_id
    new.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(f"{registry.artifact_root}/plain", new)
    return new
