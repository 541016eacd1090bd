"""Environments of other MLflows, each made once and kept in the user's cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from tests.support.mlflow_session import TRUSTED

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
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The Python of these tests."""


def python_of(release: str) -> Path:
    """The interpreter of an environment with a release of MLflow, made if it is not there yet."""
    wanted = (f"mlflow=={release}", *NEEDS[release])
    return _made(f"mlflow-{release}", lambda python: _install(python, *wanted))


def beside_lowest(version: str = HERE) -> Path:
    """The interpreter of an environment with mlporter and the oldest MLflow that it works with."""
    wanted = (f"mlflow=={LOWEST}", *NEEDS["2.22.1"], "--editable", str(_CHECKOUT))
    return _made(f"lowest-{LOWEST}", lambda python: _install(python, *wanted), version)


def beside_newest(version: str = HERE) -> Path:
    """The interpreter of an environment with mlporter and the newest known MLflow.

    The wheel of MLflow alone, before all that the release before it needs: its companions may not
    be out yet. With the Python of these tests, all that is installed for them is there, too.
    """

    def fill(python: Path) -> None:
        if version == HERE:
            site = Path(sysconfig.get_path("purelib", vars={"base": str(python.parents[1])}))
            here = [str(_CHECKOUT / "src"), *(p for p in sys.path if p.endswith("-packages"))]
            (site / "here.pth").write_text("\n".join(here) + "\n", encoding="utf-8")
        else:
            _install(python, "mlflow", "--editable", str(_CHECKOUT))
        _install(python, "--no-deps", f"mlflow=={NEWEST}", *_LATER_NEEDS[NEWEST])

    return _made(f"newest-{NEWEST}", fill, version)


_CHECKOUT = Path(__file__).parents[2]


def _install(python: Path, *words: str) -> None:
    _uv("pip", "install", "--python", str(python), *words).check_returncode()


def _uv(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *words],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        # An environment that is active is not the one that is meant, and a test that calls nobody
        # outside trusts nobody.
        env={
            name: value
            for name, value in os.environ.items()
            if name != "VIRTUAL_ENV" and (name not in TRUSTED or value != os.devnull)
        },
    )


def _made(name: str, fill: Callable[[Path], None], version: str = HERE) -> Path:
    """The interpreter of an environment, made and filled if it is not there yet."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = cache / "mlporter-tests" / f"{name}-python-{version}"
    python = root / "bin" / "python"
    root.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{root}.lock"):
        if not (root / "ready").exists():
            shutil.rmtree(root, ignore_errors=True)
            _uv("venv", "--python", _interpreter(version), str(root)).check_returncode()
            fill(python)
            (root / "ready").touch()
    return python


def _interpreter(version: str) -> str:
    """A Python of a version: this one, one of this machine, or one that uv downloads.

    Skips the test where none can be had.
    """
    if version == HERE:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    named = [shutil.which(f"python{version}"), *pyenv.glob(f"versions/{version}.*/bin/python")]
    found = [str(path) for path in named if path and _is_python(path)]
    if not found and _uv("python", "install", version).returncode:
        pytest.skip(f"no Python {version} here, and uv could not download one")
    return found[0] if found else version


def _is_python(path: str | Path) -> bool:
    """Whether it runs; what pyenv puts on the PATH need not."""
    done = subprocess.run([path, "-c", ""], check=False, stderr=subprocess.DEVNULL)
    return done.returncode == 0
