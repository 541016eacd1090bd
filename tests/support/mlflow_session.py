"""Point MLflow at one place, and leave no trace of it in this process afterwards.

MLflow keeps its addresses, the active run and experiment, its stores and their database engines in
module globals and environment variables. Tests run in one process and in random order, so whatever
one of them sets has to be gone before the next one starts.
"""

# ruff: noqa: PLC0415 -- importing MLflow takes seconds, which the many tests without it can save
from __future__ import annotations

import atexit
import os
import shutil
import sys
import sysconfig
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .quick_disks import quick_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: A constant key, so that another process (or a copy of the database) can read webhook secrets:
#: without it MLflow makes up a new one in every process.
WEBHOOK_KEY = "bWxwb3J0ZXItdGVzdHMtd2ViaG9vay1rZXktMDAwMDA="

TRUSTED = ("SSL_CERT_FILE", "SSL_CERT_DIR")
"""Variables that say where the certificates of those lie whom OpenSSL trusts."""

#: What MLflow needs in every test: no network, nothing in the background.
QUIET_ENVIRONMENT: Mapping[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": WEBHOOK_KEY,
    "GIT_PYTHON_REFRESH": "quiet",
    "TQDM_DISABLE": "1",
    # Nobody outside is called, and reading who may be trusted takes 20 ms with each connection to
    # a MySQL server.
    **{name: os.devnull for name in TRUSTED if name not in os.environ},
}

#: Variables that would make a test depend on the machine it runs on.
LEFTOVER_PREFIXES = ("MLFLOW_", "_MLFLOW_", "AWS_", "DATABRICKS_")

_STANDARD = sysconfig.get_path("stdlib")
_COMPILED = f".{sys.implementation.cache_tag}.pyc"
_NEVER_IMPORTED = ("test", "tests", "site-packages")
"""Folders inside of packages, or of the standard library."""


def compile_elsewhere() -> None:
    """Keep compiled Python out of the artifacts of registries, here and in processes started.

    A model made of code is imported where it lies when it is loaded; its ``__pycache__`` would be
    one of the model's files from then on.

    What is compiled already is taken from where it is: MLflow and all below it take five seconds
    to compile, and a hundred processes import them. So they would, each anew, where Python is told
    not to write what it compiles, which is for the sake of folders that nothing is written to here.
    """
    prefix = os.environ.get("PYTHONPYCACHEPREFIX")
    if not prefix:
        prefix = str(quick_folder("mlporter-tests-pycache-"))
        os.environ["PYTHONPYCACHEPREFIX"] = prefix  # of pytest-xdist's workers, too
        atexit.register(shutil.rmtree, prefix, ignore_errors=True)
    sys.pycache_prefix = prefix
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if "PYTEST_XDIST_WORKER" not in os.environ:
        for folder in sys.path:
            if folder == _STANDARD or folder.endswith(("/site-packages", "/dist-packages")):
                _link_compiled(folder, prefix + folder)


def _link_compiled(folder: str, mirror: str) -> None:
    """Have Python find below the mirror what it compiled in a folder and those below it."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False) or entry.name in _NEVER_IMPORTED:
                continue
            if entry.name != "__pycache__":
                _link_compiled(entry.path, f"{mirror}/{entry.name}")
                continue
            Path(mirror).mkdir(parents=True, exist_ok=True)
            for compiled in Path(entry).iterdir():
                if compiled.name.endswith(_COMPILED):
                    with suppress(FileExistsError):
                        Path(mirror, compiled.name).symlink_to(compiled)


def sqlite_url(path: Path) -> str:
    """The address of a SQLite file as MLflow and SQLAlchemy want it: ``sqlite:////abs/olute``."""
    return f"sqlite:///{path.absolute().as_posix()}"


def join_uri(root: Path | str, *parts: str) -> str:
    """``root/part/part`` for a folder or a URI (``s3://bucket/x``, ``file:///x``)."""
    return "/".join([str(root).rstrip("/"), *parts])


def file_uri(path: str) -> str:
    """An absolute path as a ``file://`` URI, percent-encoded; anything with a scheme is kept."""
    return path if "://" in path else "file://" + quote(path)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the length of a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def mlflow_at(tracking_uri: str, *, workspaces: bool = False) -> Iterator[None]:
    """Make ``tracking_uri`` MLflow's tracking *and* registry address for the length of a block.

    Warnings are silenced: these blocks use deprecated calls (stages) and experimental ones
    (scorers, prompts) on purpose, and pytest turns warnings into errors.
    """
    # MLflow's setters write the URIs and the active run to the environment too, for child
    # processes: naming those variables here puts them back.
    values = {**QUIET_ENVIRONMENT, "MLFLOW_TRACKING_URI": tracking_uri}
    values["MLFLOW_REGISTRY_URI"] = tracking_uri
    if workspaces:
        values["MLFLOW_ENABLE_WORKSPACES"] = "true"
    with environment(values), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow

        before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
        mlflow.set_tracking_uri(tracking_uri)
        mlflow.set_registry_uri(tracking_uri)
        try:
            yield
        finally:
            forget_mlflow_state()
            mlflow.set_tracking_uri(before[0])
            mlflow.set_registry_uri(before[1])


def forget_mlflow_state() -> None:
    """End active runs, forget active experiment, model, workspace and addresses; close databases.

    Costs nothing in a test that never imported MLflow.
    """
    if "mlflow" not in sys.modules:
        return
    import mlflow
    from mlflow.tracking import fluent

    while mlflow.active_run() is not None:
        mlflow.end_run()
    fluent._active_experiment_id = None
    mlflow.clear_active_model()
    if "mlflow.tracing" in sys.modules:
        from mlflow.tracing.provider import reset

        reset()
    if "mlflow.utils.workspace_context" in sys.modules:
        # It is in the environment too, and a server that is started with it refuses requests.
        mlflow.set_workspace(None)
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    mlflow.set_registry_uri(None)  # type: ignore[arg-type]
    close_databases()


def close_databases() -> None:
    """Close all connections that MLflow keeps, so that databases can be copied or dropped."""
    for module, name in (
        ("mlflow.store.tracking.sqlalchemy_store", "SqlAlchemyStore"),
        ("mlflow.store.model_registry.sqlalchemy_store", "SqlAlchemyStore"),
        ("mlflow.store.jobs.sqlalchemy_store", "SqlAlchemyJobStore"),
        ("mlflow.store.workspace.sqlalchemy_store", "SqlAlchemyStore"),
    ):
        store = getattr(sys.modules.get(module), name, None)
        for engine in list(getattr(store, "_engine_map", {}).values()):
            if _has_connections(engine.pool):
                engine.dispose()


def _has_connections(pool: Any) -> bool:
    """Whether it may have: engines of all tests are kept, and each disposal makes a new pool."""
    return not hasattr(pool, "checkedin") or pool.checkedin() or pool.checkedout()
