"""Where a target keeps an owner's files below its artifact root: MLflow's own layout.

    R/<experiment id>                                        experiment
    R/<experiment id>/<run id>/artifacts                     run
    R/<experiment id>/models/<model id>/artifacts            logged model
    R/<experiment id>/traces/<trace id>/artifacts            trace
    R/<experiment id>/traces/<trace id>/archive              payload of an archived trace
    R/registered_models/<name>/<version>                     model version with files of its own

In another workspace than ``default``, R is ``R/workspaces/<workspace>``. The last two are ours:
MLflow archives traces wherever it is told to, and has no place for files of a version, which
points at a run's or a logged model's.

Sources: `SqlAlchemyStore.create_run`, `.create_logged_model`, `._get_trace_artifact_location_tag`,
`SqlAlchemyWorkspaceStore._get_artifact_location` of MLflow 3.17.2.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from mlporter.artifacts.uris import is_windows_path, join
from mlporter.errors import UsageError

__all__ = [
    "DEFAULT_WORKSPACE",
    "experiment_root",
    "logged_model_root",
    "normalise_root",
    "quote_name",
    "run_root",
    "trace_archive_root",
    "trace_root",
    "version_root",
    "workspace_root",
]

DEFAULT_WORKSPACE = "default"
"""The workspace that every MLflow has, and whose files lie at the root itself."""


def normalise_root(root: str, cwd: Path | None = None) -> str:
    """An artifact root as MLflow stores it (`mlflow.utils.uri.resolve_uri_if_local`).

    ``/srv/x``, ``file:///srv/x``, ``s3://b/x`` are stored as they are; ``./x`` and ``file:x`` are
    made absolute and stay a path or a ``file:`` URI.

    Raises:
        UsageError: it is empty, or a ``file:`` URI of another host.
    """
    if not root.strip():
        raise UsageError("the artifact root is empty")
    if is_windows_path(root) or root == "databricks":
        return root
    parts = urlsplit(root)
    if parts.scheme not in ("", "file"):
        return root
    host = parts.hostname if parts.scheme == "file" else None
    if host and host != "." and not host.startswith(("localhost", "127.0.0.1")):
        raise UsageError("a file: URI of another host cannot be an artifact root", subject=root)
    path = unquote(parts.path if parts.scheme == "file" else root)
    if path.startswith("/"):
        return root
    absolute = (cwd or Path.cwd()).joinpath(path).as_posix()
    if not parts.scheme:
        return absolute
    return urlunsplit((parts.scheme, "", absolute, parts.query, parts.fragment))


def workspace_root(root: str, workspace: str = DEFAULT_WORKSPACE) -> str:
    """Where a workspace's experiments lie below the artifact root."""
    return root if workspace == DEFAULT_WORKSPACE else join(root, "workspaces", workspace)


def experiment_root(root: str, experiment_id: int | str, workspace: str = DEFAULT_WORKSPACE) -> str:
    """The artifact location of an experiment that is given none of its own."""
    return join(workspace_root(root, workspace), str(experiment_id))


def run_root(experiment: str, run_id: str) -> str:
    """The artifact URI of a run, below its experiment's artifact location."""
    return join(experiment, run_id, "artifacts")


def logged_model_root(experiment: str, model_id: str) -> str:
    """The artifact location of a logged model, below its experiment's artifact location."""
    return join(experiment, "models", model_id, "artifacts")


def trace_root(experiment: str, trace_id: str) -> str:
    """The artifact location of a trace, below its experiment's artifact location."""
    return join(experiment, "traces", trace_id, "artifacts")


def trace_archive_root(experiment: str, trace_id: str) -> str:
    """Where an archived trace's payload lies. MLflow takes any place: the trace's tag names it."""
    return join(experiment, "traces", trace_id, "archive")


def version_root(
    root: str, name: str, version: int | str, workspace: str = DEFAULT_WORKSPACE
) -> str:
    """The storage location of a model version whose files lie in no run and no logged model."""
    below = workspace_root(root, workspace)
    return join(below, "registered_models", quote_name(name), str(version))


def quote_name(name: str) -> str:
    """A registered model's name as one path segment, unlike any other name's.

    All but ASCII letters, digits, ``_``, ``-`` and inner dots become ``=XX``, the hexadecimal
    UTF-8 byte. Not ``%XX``: MLflow decodes that in local roots, so that it protects nothing there.
    """
    text = re.sub(r"[^A-Za-z0-9_.-]", lambda found: _escape(found[0]), name)
    return f"{_escape('.')}{text[1:]}" if text.startswith(".") else text


def _escape(char: str) -> str:
    return "".join(f"={byte:02X}" for byte in char.encode())
