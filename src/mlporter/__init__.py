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
        OutsideError,
        ReadBackError,
        RefusedError,
        RevisionError,
        RowRefusedError,
        UnreachableError,
        UnsupportedError,
        UsageError,
    )
    from mlporter.transfer.doctor import doctor
    from mlporter.transfer.export import export
    from mlporter.transfer.import_ import copy, import_
    from mlporter.transfer.inventory import Inventory, inspect
    from mlporter.transfer.proof import diff
    from mlporter.transfer.rebuild import rebuild
    from mlporter.transfer.registry import Registry, open, show  # noqa: A004 -- as `gzip.open`
    from mlporter.transfer.relocate import Relocated, relocate
    from mlporter.transfer.result import Result
    from mlporter.transfer.selection import Selection
    from mlporter.transfer.unpack import unpack
    from mlporter.transfer.verify import VerifyResult, verify

__all__ = [
    "AccessDeniedError",
    "BundleDamagedError",
    "BundleError",
    "BundleInUseError",
    "BundleUnfinishedError",
    "ConflictError",
    "DiffReport",
    "ExitCode",
    "InterruptedByUserError",
    "Inventory",
    "LeftOut",
    "MlporterError",
    "OutsideError",
    "ReadBackError",
    "RefusedError",
    "Registry",
    "Relocated",
    "Result",
    "RevisionError",
    "RowRefusedError",
    "Selection",
    "UnreachableError",
    "UnsupportedError",
    "UsageError",
    "VerifyResult",
    "__version__",
    "copy",
    "diff",
    "doctor",
    "export",
    "import_",
    "inspect",
    "open",
    "rebuild",
    "relocate",
    "show",
    "unpack",
    "verify",
]

_HOMES = {
    "AccessDeniedError": "mlporter.errors",
    "BundleDamagedError": "mlporter.errors",
    "BundleError": "mlporter.errors",
    "BundleInUseError": "mlporter.errors",
    "BundleUnfinishedError": "mlporter.errors",
    "ConflictError": "mlporter.errors",
    "DiffReport": "mlporter.compare.report",
    "ExitCode": "mlporter.errors",
    "InterruptedByUserError": "mlporter.errors",
    "Inventory": "mlporter.transfer.inventory",
    "LeftOut": "mlporter.errors",
    "MlporterError": "mlporter.errors",
    "OutsideError": "mlporter.errors",
    "ReadBackError": "mlporter.errors",
    "RefusedError": "mlporter.errors",
    "Registry": "mlporter.transfer.registry",
    "Relocated": "mlporter.transfer.relocate",
    "Result": "mlporter.transfer.result",
    "RevisionError": "mlporter.errors",
    "Selection": "mlporter.transfer.selection",
    "RowRefusedError": "mlporter.errors",
    "UnreachableError": "mlporter.errors",
    "UnsupportedError": "mlporter.errors",
    "UsageError": "mlporter.errors",
    "VerifyResult": "mlporter.transfer.verify",
    "copy": "mlporter.transfer.import_",
    "diff": "mlporter.transfer.proof",
    "doctor": "mlporter.transfer.doctor",
    "export": "mlporter.transfer.export",
    "import_": "mlporter.transfer.import_",
    "inspect": "mlporter.transfer.inventory",
    "open": "mlporter.transfer.registry",
    "rebuild": "mlporter.transfer.rebuild",
    "relocate": "mlporter.transfer.relocate",
    "show": "mlporter.transfer.registry",
    "unpack": "mlporter.transfer.unpack",
    "verify": "mlporter.transfer.verify",
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
