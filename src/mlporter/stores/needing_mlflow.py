"""What needs MLflow's own code, on a machine without it: one error, which says what to do.

Bundles, databases and file stores are read without MLflow. Servers are reached with its credentials
and plug-ins, filters are parsed by its parser, and a new database is made by its migrations.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mlporter.errors import NeedsMlflowError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_mlflow", "needing_mlflow"]

_NAME = "mlflow"


def _is_installed() -> bool:
    """Whether MLflow can be imported; it is not imported for that."""
    try:
        return find_spec(_NAME) is not None
    except ValueError:  # something in its place, which is no module
        return False


@contextmanager
def needing_mlflow(what: str, subject: str | None = None) -> Iterator[None]:
    """Import and run what needs MLflow.

    Args:
        what: What needs it, as the beginning of a sentence.
        subject: The object that it is about.

    Raises:
        NeedsMlflowError: MLflow is not installed, or lacks something that is needed of it.
    """
    try:
        yield
    except ImportError as error:
        lacking = error.name or ""
        if lacking.partition(".")[0] != _NAME:
            raise
        if _is_installed():
            raise NeedsMlflowError(
                f"{what} needs {lacking} of MLflow, which the installed release has not",
                subject=subject,
                hint="mlporter doctor shows what is installed; pip install --upgrade mlflow",
            ) from None
        raise _not_installed(what, subject) from None


def check_mlflow(what: str, subject: str | None = None) -> None:
    """Refuse early what will need MLflow, without importing it.

    Raises:
        NeedsMlflowError: MLflow is not installed.
    """
    if not _is_installed():
        raise _not_installed(what, subject)


def _not_installed(what: str, subject: str | None) -> NeedsMlflowError:
    return NeedsMlflowError(
        f"{what} needs MLflow, which is not installed", subject=subject, hint="pip install mlflow"
    )
