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
    from mlporter.selection import Selection
    from mlporter.verbs.browse import Browsing, browse
    from mlporter.verbs.moving.apply import apply, read_plan
    from mlporter.verbs.moving.backup import BackupResult, backup
    from mlporter.verbs.moving.export import export
    from mlporter.verbs.moving.forget import ForgetResult, forget
    from mlporter.verbs.moving.import_ import copy, import_
    from mlporter.verbs.moving.promote import PromotionResult, promote
    from mlporter.verbs.moving.run import ManifestResult, RunResult, run
    from mlporter.verbs.moving.sync import sync
    from mlporter.verbs.moving.undo import undo_promotion
    from mlporter.verbs.reading.diff import diff
    from mlporter.verbs.reading.doctor import doctor
    from mlporter.verbs.reading.history import History, history
    from mlporter.verbs.reading.inspect import Inventory, inspect
    from mlporter.verbs.reading.inspect_one import (
        ExperimentDetails,
        RunDetails,
        inspect_experiment,
        inspect_run,
    )
    from mlporter.verbs.reading.registry import Registry, open, show  # noqa: A004 -- as `gzip.open`
    from mlporter.verbs.reading.snapshots import FoundResult, SnapshotList, find, snapshots
    from mlporter.verbs.reading.verify import VerifyResult, verify
    from mlporter.verbs.rebuild import rebuild
    from mlporter.verbs.relocate import Relocated, relocate
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
    "Browsing": "mlporter.verbs.browse",
    "BundleDamagedError": "mlporter.errors",
    "BundleError": "mlporter.errors",
    "BundleInUseError": "mlporter.errors",
    "BundleUnfinishedError": "mlporter.errors",
    "ConflictError": "mlporter.errors",
    "DiffReport": "mlporter.compare.report",
    "ExitCode": "mlporter.errors",
    "ExperimentDetails": "mlporter.verbs.reading.inspect_one",
    "History": "mlporter.verbs.reading.history",
    "InterruptedByUserError": "mlporter.errors",
    "Inventory": "mlporter.verbs.reading.inspect",
    "LeftOut": "mlporter.errors",
    "ManifestResult": "mlporter.verbs.moving.run",
    "MlporterError": "mlporter.errors",
    "NeedsMlflowError": "mlporter.errors",
    "OutsideError": "mlporter.errors",
    "PlanFile": "mlporter.execute.plan_files",
    "PromotionResult": "mlporter.verbs.moving.promote",
    "ReadBackError": "mlporter.errors",
    "RefusedError": "mlporter.errors",
    "Registry": "mlporter.verbs.reading.registry",
    "Relocated": "mlporter.verbs.relocate",
    "Result": "mlporter.execute.result",
    "RevisionError": "mlporter.errors",
    "RunDetails": "mlporter.verbs.reading.inspect_one",
    "RunResult": "mlporter.verbs.moving.run",
    "Selection": "mlporter.selection",
    "StateInUseError": "mlporter.errors",
    "RowRefusedError": "mlporter.errors",
    "UnreachableError": "mlporter.errors",
    "UnsupportedError": "mlporter.errors",
    "UsageError": "mlporter.errors",
    "VerifyResult": "mlporter.verbs.reading.verify",
    "apply": "mlporter.verbs.moving.apply",
    "browse": "mlporter.verbs.browse",
    "copy": "mlporter.verbs.moving.import_",
    "diff": "mlporter.verbs.reading.diff",
    "doctor": "mlporter.verbs.reading.doctor",
    "export": "mlporter.verbs.moving.export",
    "history": "mlporter.verbs.reading.history",
    "import_": "mlporter.verbs.moving.import_",
    "inspect": "mlporter.verbs.reading.inspect",
    "inspect_experiment": "mlporter.verbs.reading.inspect_one",
    "inspect_run": "mlporter.verbs.reading.inspect_one",
    "open": "mlporter.verbs.reading.registry",
    "promote": "mlporter.verbs.moving.promote",
    "read_plan": "mlporter.verbs.moving.apply",
    "rebuild": "mlporter.verbs.rebuild",
    "relocate": "mlporter.verbs.relocate",
    "run": "mlporter.verbs.moving.run",
    "show": "mlporter.verbs.reading.registry",
    "sync": "mlporter.verbs.moving.sync",
    "undo_promotion": "mlporter.verbs.moving.undo",
    "unpack": "mlporter.verbs.unpack",
    "BackupResult": "mlporter.verbs.moving.backup",
    "ForgetResult": "mlporter.verbs.moving.forget",
    "FoundResult": "mlporter.verbs.reading.snapshots",
    "SnapshotList": "mlporter.verbs.reading.snapshots",
    "backup": "mlporter.verbs.moving.backup",
    "forget": "mlporter.verbs.moving.forget",
    "find": "mlporter.verbs.reading.snapshots",
    "snapshots": "mlporter.verbs.reading.snapshots",
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
