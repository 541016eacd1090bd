"""mlporter: move an MLflow registry, and prove that nothing was lost.

Every verb of the command line is a function here, with the same words::

    import mlporter

    mlporter.export("sqlite:///mlflow.db", "backup/")
    mlporter.verify("backup/")
    mlporter.import_("backup/", "postgresql://…/mlflow", artifact_root="/srv/mlartifacts")
    with mlporter.open("backup/") as registry:
        runs = registry.to_pandas("runs")

Names are loaded when first used, so that ``import mlporter`` stays fast and does not import MLflow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str

    from mlporter.compare.report import DiffReport
    from mlporter.errors import (
        AccessDeniedError,
        BundleDamagedError,
        BundleError,
        BundleInUseError,
        BundleUnfinishedError,
        ConflictError,
        ExitCode,
        InterruptedByUserError,
        LeftOut,
        MlporterError,
        NeedsMlflowError,
        OutsideError,
        ReadBackError,
        RefusedError,
        RepositoryInUseError,
        RevisionError,
        RowRefusedError,
        StateInUseError,
        UnreachableError,
        UnsupportedError,
        UsageError,
    )
    from mlporter.execute.plan_files import PlanFile
    from mlporter.execute.result import Result
    from mlporter.progress import ProgressEvent, ProgressEvents, log_progress
    from mlporter.selection import Selection
    from mlporter.verbs.apply import apply, read_plan
    from mlporter.verbs.backups.backup import BackupResult, backup
    from mlporter.verbs.backups.browse import Browsing, browse
    from mlporter.verbs.backups.forget import ForgetResult, forget
    from mlporter.verbs.backups.snapshots import FoundResult, SnapshotList, find, snapshots
    from mlporter.verbs.moving.export import export
    from mlporter.verbs.moving.import_ import copy, import_
    from mlporter.verbs.moving.sync import sync
    from mlporter.verbs.promoting.history import History, history
    from mlporter.verbs.promoting.promote import promote
    from mlporter.verbs.promoting.promotion_result import PromotionResult
    from mlporter.verbs.promoting.undo import undo_promotion
    from mlporter.verbs.reading.diff import diff
    from mlporter.verbs.reading.doctor import doctor
    from mlporter.verbs.reading.inspect import Inventory, inspect
    from mlporter.verbs.reading.inspect_one import (
        ExperimentDetails,
        RunDetails,
        inspect_experiment,
        inspect_run,
    )
    from mlporter.verbs.reading.registry import Registry, open, show  # noqa: A004 -- as `gzip.open`
    from mlporter.verbs.reading.verify import VerifyResult, verify
    from mlporter.verbs.rebuild import rebuild
    from mlporter.verbs.relocate import Relocated, relocate
    from mlporter.verbs.run import ManifestResult, RunResult, run
    from mlporter.verbs.unpack import unpack

__all__ = [
    "AccessDeniedError",
    "BackupResult",
    "Browsing",
    "BundleDamagedError",
    "BundleError",
    "BundleInUseError",
    "BundleUnfinishedError",
    "ConflictError",
    "DiffReport",
    "ExitCode",
    "ExperimentDetails",
    "ForgetResult",
    "FoundResult",
    "History",
    "InterruptedByUserError",
    "Inventory",
    "LeftOut",
    "ManifestResult",
    "MlporterError",
    "NeedsMlflowError",
    "OutsideError",
    "PlanFile",
    "ProgressEvent",
    "ProgressEvents",
    "PromotionResult",
    "ReadBackError",
    "RefusedError",
    "Registry",
    "Relocated",
    "RepositoryInUseError",
    "Result",
    "RevisionError",
    "RowRefusedError",
    "RunDetails",
    "RunResult",
    "Selection",
    "SnapshotList",
    "StateInUseError",
    "UnreachableError",
    "UnsupportedError",
    "UsageError",
    "VerifyResult",
    "__version__",
    "apply",
    "backup",
    "browse",
    "copy",
    "diff",
    "doctor",
    "export",
    "find",
    "forget",
    "history",
    "import_",
    "inspect",
    "inspect_experiment",
    "inspect_run",
    "log_progress",
    "open",
    "promote",
    "read_plan",
    "rebuild",
    "relocate",
    "run",
    "show",
    "snapshots",
    "sync",
    "undo_promotion",
    "unpack",
    "verify",
]

_HOMES = {
    "AccessDeniedError": "mlporter.errors",
    "Browsing": "mlporter.verbs.backups.browse",
    "BundleDamagedError": "mlporter.errors",
    "BundleError": "mlporter.errors",
    "BundleInUseError": "mlporter.errors",
    "BundleUnfinishedError": "mlporter.errors",
    "ConflictError": "mlporter.errors",
    "DiffReport": "mlporter.compare.report",
    "ExitCode": "mlporter.errors",
    "ExperimentDetails": "mlporter.verbs.reading.inspect_one",
    "History": "mlporter.verbs.promoting.history",
    "InterruptedByUserError": "mlporter.errors",
    "Inventory": "mlporter.verbs.reading.inspect",
    "LeftOut": "mlporter.errors",
    "ManifestResult": "mlporter.verbs.run",
    "MlporterError": "mlporter.errors",
    "NeedsMlflowError": "mlporter.errors",
    "OutsideError": "mlporter.errors",
    "PlanFile": "mlporter.execute.plan_files",
    "ProgressEvent": "mlporter.progress",
    "ProgressEvents": "mlporter.progress",
    "PromotionResult": "mlporter.verbs.promoting.promotion_result",
    "ReadBackError": "mlporter.errors",
    "RefusedError": "mlporter.errors",
    "Registry": "mlporter.verbs.reading.registry",
    "Relocated": "mlporter.verbs.relocate",
    "Result": "mlporter.execute.result",
    "RevisionError": "mlporter.errors",
    "RunDetails": "mlporter.verbs.reading.inspect_one",
    "RunResult": "mlporter.verbs.run",
    "Selection": "mlporter.selection",
    "StateInUseError": "mlporter.errors",
    "RowRefusedError": "mlporter.errors",
    "UnreachableError": "mlporter.errors",
    "UnsupportedError": "mlporter.errors",
    "UsageError": "mlporter.errors",
    "VerifyResult": "mlporter.verbs.reading.verify",
    "apply": "mlporter.verbs.apply",
    "browse": "mlporter.verbs.backups.browse",
    "copy": "mlporter.verbs.moving.import_",
    "diff": "mlporter.verbs.reading.diff",
    "doctor": "mlporter.verbs.reading.doctor",
    "export": "mlporter.verbs.moving.export",
    "history": "mlporter.verbs.promoting.history",
    "import_": "mlporter.verbs.moving.import_",
    "inspect": "mlporter.verbs.reading.inspect",
    "inspect_experiment": "mlporter.verbs.reading.inspect_one",
    "inspect_run": "mlporter.verbs.reading.inspect_one",
    "log_progress": "mlporter.progress",
    "open": "mlporter.verbs.reading.registry",
    "promote": "mlporter.verbs.promoting.promote",
    "read_plan": "mlporter.verbs.apply",
    "rebuild": "mlporter.verbs.rebuild",
    "relocate": "mlporter.verbs.relocate",
    "run": "mlporter.verbs.run",
    "show": "mlporter.verbs.reading.registry",
    "sync": "mlporter.verbs.moving.sync",
    "undo_promotion": "mlporter.verbs.promoting.undo",
    "unpack": "mlporter.verbs.unpack",
    "BackupResult": "mlporter.verbs.backups.backup",
    "ForgetResult": "mlporter.verbs.backups.forget",
    "FoundResult": "mlporter.verbs.backups.snapshots",
    "SnapshotList": "mlporter.verbs.backups.snapshots",
    "backup": "mlporter.verbs.backups.backup",
    "forget": "mlporter.verbs.backups.forget",
    "find": "mlporter.verbs.backups.snapshots",
    "snapshots": "mlporter.verbs.backups.snapshots",
    "RepositoryInUseError": "mlporter.errors",
    "verify": "mlporter.verbs.reading.verify",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 -- whatever has that name
    if name == "__version__":
        value = import_module("importlib.metadata").version(__name__)
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
