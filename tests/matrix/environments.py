"""Environments of older MLflows, each made once and kept in the user's cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

import mlporter

if TYPE_CHECKING:
    from collections.abc import Callable

#: What else a release needs to run. MLflow 2 does not start with SQLAlchemy 2.1, and imports
#: pkg_resources, which setuptools 81 took out; 2.9 knows no newer Flask-SQLAlchemy-free werkzeug.
NEEDS = {
    "2.9.2": ("sqlalchemy<2.1", "setuptools<80", "numpy<2", "pyarrow<15", "pandas<3"),
    "2.22.1": ("sqlalchemy<2.1", "setuptools<80", "pandas<3"),
    "3.1.4": ("sqlalchemy<2.1", "pandas<3"),
    "3.10.0": ("sqlalchemy<2.1",),
}


#: A release that is newer than the one that is installed here, as a rule.
NEWEST = "3.18.0"


def python_of(release: str) -> Path:
    """The interpreter of an environment with a release of MLflow, made if it is not there yet."""

    def fill(root: Path) -> None:
        venv.create(root, clear=True, with_pip=True)
        words = ("install", "--quiet", f"mlflow=={release}", *NEEDS[release])
        subprocess.run([root / "bin" / "python", "-m", "pip", *words], check=True)

    return _made(f"mlflow-{release}", fill)


def python_with_wheel(release: str) -> Path:
    """An interpreter with mlporter and all that is installed here, and the wheel of another MLflow.

    So where the companions of a release (`mlflow-skinny`, `mlflow-tracing`) are not to be had: the
    wheel alone holds all modules.
    """

    def fill(root: Path) -> None:
        venv.create(root, clear=True, with_pip=False)
        (site,) = root.glob("lib/python*/site-packages")
        words = ("install", "--quiet", "--no-deps", "--target", str(site), f"mlflow=={release}")
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)
        own = str(Path(mlporter.__file__).parents[1])
        here = [own, *(path for path in sys.path if path.endswith("site-packages"))]
        (site / "here.pth").write_text("\n".join(here), encoding="utf-8")

    return _made(f"mlflow-{release}-wheel-{zlib.crc32(mlporter.__file__.encode()):08x}", fill)


def _made(name: str, fill: Callable[[Path], None]) -> Path:
    """The interpreter of an environment, filled if it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    root = cache / "mlporter-tests" / f"{name}-python-{version}"
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{root}.lock"):
        if not (root / "ready").exists():
            fill(root)
            (root / "ready").touch()
    return root / "bin" / "python"
