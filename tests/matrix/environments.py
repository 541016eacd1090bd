"""Environments of older MLflows, each made once and kept in the user's cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from filelock import FileLock

#: What else a release needs to run. MLflow 2 does not start with SQLAlchemy 2.1, and imports
#: pkg_resources, which setuptools 81 took out; 2.9 knows no newer Flask-SQLAlchemy-free werkzeug.
NEEDS = {
    "2.9.2": ("sqlalchemy<2.1", "setuptools<80", "numpy<2", "pyarrow<15", "pandas<3"),
    "2.22.1": ("sqlalchemy<2.1", "setuptools<80", "pandas<3"),
    "3.1.4": ("sqlalchemy<2.1", "pandas<3"),
    "3.10.0": ("sqlalchemy<2.1",),
}


def python_of(release: str) -> Path:
    """The interpreter of an environment with a release of MLflow, made if it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    root = cache / "mlporter-tests" / f"mlflow-{release}-python-{version}"
    python = root / "bin" / "python"
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{root}.lock"):
        if not (root / "ready").exists():
            venv.create(root, clear=True, with_pip=True)
            words = ("install", "--quiet", f"mlflow=={release}", *NEEDS[release])
            subprocess.run([python, "-m", "pip", *words], check=True)
            (root / "ready").touch()
    return python
