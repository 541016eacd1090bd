"""Environments of other MLflows, each made once and kept in the user's cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

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
LOWEST = "2.18.0"
"""The oldest MLflow beside which mlporter can be installed; see pyproject.toml."""
NEWEST = "3.18.0"
"""The newest one that the catalogue knows."""
_LATER_NEEDS = {"3.18.0": ("python-multipart",)}
"""What a release needs that those before it did without."""


def python_of(release: str) -> Path:
    """The interpreter of an environment with a release of MLflow, made if it is not there yet."""
    wanted = (f"mlflow=={release}", *NEEDS[release])
    return _made(f"mlflow-{release}", lambda python: _pip(python, "install", *wanted))


def beside_lowest() -> Path:
    """The interpreter of an environment with mlporter and the oldest MLflow that it works with."""
    return _made(
        f"lowest-{LOWEST}",
        lambda python: _pip(
            python, "install", f"mlflow=={LOWEST}", *NEEDS["2.22.1"], "--editable", str(_CHECKOUT)
        ),
    )


def beside_newest() -> Path:
    """The interpreter of an environment with mlporter, its tests, and the newest known MLflow.

    The wheel of MLflow alone, before all that is installed here: its companions may not be out yet.
    """

    def fill(python: Path) -> None:
        site = Path(sysconfig.get_path("purelib", vars={"base": str(python.parents[1])}))
        here = [str(_CHECKOUT / "src"), *(p for p in sys.path if p.endswith("-packages"))]
        (site / "here.pth").write_text("\n".join(here) + "\n", encoding="utf-8")
        wanted = (f"mlflow=={NEWEST}", *_LATER_NEEDS[NEWEST])
        _pip(Path(sys.executable), "install", "--no-deps", "--target", str(site), *wanted)

    return _made(f"newest-{NEWEST}", fill, with_pip=False)


_CHECKOUT = Path(__file__).parents[2]


def _pip(python: Path, command: str, *words: str) -> None:
    # Most of what is installed is never imported; what is, Python compiles if it may keep that.
    quick = () if sys.dont_write_bytecode else ("--no-compile",)
    subprocess.run([python, "-m", "pip", command, "--quiet", *quick, *words], check=True)


def _made(name: str, fill: Callable[[Path], None], *, with_pip: bool = True) -> Path:
    """The interpreter of an environment, made and filled if it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    root = cache / "mlporter-tests" / f"{name}-python-{version}"
    python = root / "bin" / "python"
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{root}.lock"):
        if not (root / "ready").exists():
            venv.create(root, clear=True, with_pip=with_pip)
            fill(python)
            (root / "ready").touch()
    return python
