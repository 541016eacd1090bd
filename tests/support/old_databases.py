"""The small databases that older MLflows wrote themselves; see ``tests/data/old-databases``."""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "data" / "old-databases"

OLD = {path.stem.removeprefix("mlflow-"): path for path in sorted(FOLDER.glob("mlflow-*.db"))}
"""By version of MLflow. Do not touch."""


def copy_old(version: str, folder: Path) -> Path:
    """A copy of one, of the test's own."""
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(OLD[version], folder / "mlflow.db"))
