"""Where a target keeps an owner's files below its artifact root: MLflow's own layout.

    R/<experiment id>                                        experiment
    R/<experiment id>/<run id>/artifacts                     run
    R/<experiment id>/models/<model id>/artifacts            logged model
    R/<experiment id>/traces/<trace id>/artifacts            trace
    R/<experiment id>/traces/<trace id>/archive              payload of an archived trace
    R/skills/<name>/<token>                                  version of a skill (MLflow 3.18)
    R/skills/@<organization>/<name>/<token>                  the same, of an organization
    R/registered_models/<name>/<version>                     model version with files of its own
    R/orphans/<folder in the source>                         files that no row points to
    R/other/<table>/<column>/<key>                           what a newer MLflow's row names

In another workspace than ``default``, R is ``R/workspaces/<workspace>``. The last three are ours,
and so is the place of archives: MLflow archives traces wherever it is told to, and has no place
for files of a version, which points at a run's or a logged model's.

Ids and names come from a bundle or a database that nobody vouches for. Each becomes one segment
below R (`quote_name`): MLflow's own ids are that already, and ``../../etc`` leads nowhere.

Sources: `SqlAlchemyStore.create_run`, `.create_logged_model`, `._get_trace_artifact_location_tag`,
`SqlAlchemyWorkspaceStore._get_artifact_location` of MLflow 3.17.2.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path, PureWindowsPath
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from mlporter.artifacts.uris.uri_text import is_windows_path, join
from mlporter.errors import UsageError
from mlporter.redaction import redact

__all__ = [
    "DEFAULT_WORKSPACE",
    "experiment_root",
    "logged_model_root",
    "normalise_root",
    "orphan_root",
    "other_root",
    "owner_root",
    "quote_name",
    "run_root",
    "skill_root",
    "trace_archive_root",
    "trace_root",
    "version_root",
    "windows_root",
    "workspace_root",
]

DEFAULT_WORKSPACE = "default"
"""The workspace that every MLflow has, and whose files lie at the root itself."""
_BUCKETS = ("s3", "gs", "wasbs", "abfss", "r2", "oss", "sftp", "ftp")
_NO_FILES = ("runs", "models", "sqlite", "postgresql", "postgres", "mysql", "mssql")
_LONGEST = 200
"""Characters of a folder's name; file systems take 255."""


def normalise_root(root: str, cwd: Path | None = None) -> str:
    """An artifact root as MLflow stores it (`mlflow.utils.uri.resolve_uri_if_local`).

    ``/srv/x``, ``file:///srv/x``, ``s3://b/x`` are stored as they are; ``./x`` and ``file:x`` are
    made absolute and stay a path or a ``file:`` URI.

    Raises:
        UsageError: it is empty, a ``file:`` URI of another host, or names no place of files.
    """
    if not root.strip():
        raise UsageError("the artifact root is empty")
    if is_windows_path(root) and os.name == "nt":
        return windows_root(root)
    if is_windows_path(root) or root == "databricks":
        return root
    parts = urlsplit(root)
    if parts.scheme not in ("", "file"):
        _check_remote(root, parts)
        return root
    host = parts.hostname if parts.scheme == "file" else None
    if host and host != "." and not host.startswith(("localhost", "127.0.0.1")):
        raise UsageError("a file: URI on another host cannot be an artifact root", subject=root)
    path = unquote(parts.path if parts.scheme == "file" else root)
    if path.startswith("/"):
        return root
    absolute = (cwd or Path.cwd()).joinpath(path).as_posix()
    return _absolute(absolute, parts)


def _absolute(path: str, parts: SplitResult) -> str:
    if is_windows_path(path):
        return windows_root(path)
    if not parts.scheme:
        return path
    return urlunsplit((parts.scheme, "", path, parts.query, parts.fragment))


def windows_root(root: str) -> str:
    r"""A folder of Windows as a ``file:`` URI, to which MLflow can append; a share stays as it is.

    >>> windows_root(r"C:\data\my files"), windows_root("file:///C:/data")
    ('file:///C:/data/my%20files', 'file:///C:/data')

    Raises:
        UsageError: it is relative to where its drive happens to be.
    """
    path = PureWindowsPath(root)
    if root[:5].lower() == "file:" or path.drive.startswith("\\\\"):
        return root
    if not path.is_absolute():
        raise UsageError(
            "is relative to the current folder of its drive",
            subject=root,
            hint=f"{path.drive}\\folder is a full path",
        )
    return path.as_uri()


def _check_remote(root: str, parts: SplitResult) -> None:
    if parts.scheme in _NO_FILES:
        raise UsageError("an artifact root must be a location of files", subject=redact(root))
    if parts.scheme in _BUCKETS and not parts.netloc:
        raise UsageError(
            "the artifact root names no bucket",
            subject=redact(root),
            hint=f"{parts.scheme}://BUCKET/folder",
        )


def workspace_root(root: str, workspace: str = DEFAULT_WORKSPACE) -> str:
    """Where a workspace's experiments lie below the artifact root."""
    return root if workspace == DEFAULT_WORKSPACE else _below(root, "workspaces", workspace)


def experiment_root(root: str, experiment_id: int | str, workspace: str = DEFAULT_WORKSPACE) -> str:
    """The artifact location of an experiment that is given none of its own."""
    return _below(workspace_root(root, workspace), str(experiment_id))


def run_root(experiment: str, run_id: str) -> str:
    """The artifact URI of a run, below its experiment's artifact location."""
    return _below(experiment, run_id, "artifacts")


def logged_model_root(experiment: str, model_id: str) -> str:
    """The artifact location of a logged model, below its experiment's artifact location."""
    return _below(experiment, "models", model_id, "artifacts")


def trace_root(experiment: str, trace_id: str) -> str:
    """The artifact location of a trace, below its experiment's artifact location."""
    return _below(experiment, "traces", trace_id, "artifacts")


def trace_archive_root(experiment: str, trace_id: str) -> str:
    """Where an archived trace's payload lies. MLflow takes any place: the trace's tag names it."""
    return _below(experiment, "traces", trace_id, "archive")


def version_root(
    root: str, name: str, version: int | str, workspace: str = DEFAULT_WORKSPACE
) -> str:
    """The storage location of a model version whose files lie in no run and no logged model."""
    below = workspace_root(root, workspace)
    return _below(below, "registered_models", name, str(version))


def skill_root(
    root: str, organization: str, name: str, folder: str, workspace: str = DEFAULT_WORKSPACE
) -> str:
    """The source of a version of a skill whose files were uploaded."""
    skills = join(workspace_root(root, workspace), "skills")
    above = join(skills, f"@{quote_name(organization)}") if organization else skills
    return _below(above, name, folder)


def orphan_root(root: str, folder: str) -> str:
    """Where files go that no row points to: apart, so that they are in nobody's way."""
    return _below(root, "orphans", *folder.split("/"))


def other_root(root: str, owner: str) -> str:
    """Where files go that a row names which only a newer MLflow knows."""
    return _below(root, "other", *owner.split("/"))


def _below(root: str, *names: str) -> str:
    return join(root, *map(quote_name, names))


def quote_name(name: str) -> str:
    """A name or an id as one path segment, unlike any other's and never empty.

    All but ASCII letters, digits, ``_``, ``-`` and inner dots become ``=XX``, the hexadecimal
    UTF-8 byte. Not ``%XX``: MLflow decodes that in local roots, so that it protects nothing there.
    What is too long for a file system ends in a part of its SHA-256 instead.
    """
    if not name:
        return "="
    text = re.sub(r"[^A-Za-z0-9_.-]", lambda found: _escape(found[0]), name)
    text = f"{_escape('.')}{text[1:]}" if text.startswith(".") else text
    if len(text) <= _LONGEST:
        return text
    return f"{text[:120]}=={hashlib.sha256(name.encode()).hexdigest()[:32]}"


def _escape(char: str) -> str:
    return "".join(f"={byte:02X}" for byte in char.encode())


def owner_root(experiment: str, kind: str, owner_id: str) -> str:
    """Where the files of an owner lie, below its experiment's artifact location.

    Raises:
        KeyError: what is of that kind does not lie in an experiment.
    """
    return _ROOTS[kind](experiment, owner_id)


_ROOTS = {
    "run": run_root,
    "logged_model": logged_model_root,
    "trace": trace_root,
    "trace_archive": trace_archive_root,
}
