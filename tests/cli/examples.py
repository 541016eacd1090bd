"""Results as the public functions return them, made by hand, with everything that can be shown."""

from __future__ import annotations

from dataclasses import replace

from mlporter.bundle.checks.findings import VerifyReport
from mlporter.compare.report import Difference, DiffReport, TableCounts
from mlporter.errors import LeftOut
from mlporter.execute.result import ActionsResult, FilesResult, LeftOutSummary, Result, TableResult
from mlporter.plan.policy import Conflict, Renamed, UnitCount
from mlporter.plan.three_sides.actions import Action, ActionKind, Change
from mlporter.stores.protocols import Description
from mlporter.verbs.reading.doctor import Check, DoctorReport
from mlporter.verbs.reading.inspect import (
    ExperimentInfo,
    FilesInfo,
    Inventory,
    ModelInfo,
    TableInfo,
    VersionInfo,
)
from mlporter.verbs.reading.verify import VerifyResult

RUN = "0123456789abcdef0123456789abcdef"
MISSING = LeftOut("artifact", RUN, "plots/a.png", "missing", "The file is not where its URI says.")
BY_RULE = LeftOut("table", "job_locks", "", "transient", "True of one server only.", expected=True)

COMPLETE = Result(
    verb="export",
    source="sqlite:///mlflow.db",
    target="backup",
    tables=(
        TableResult("workspaces", 1),
        TableResult("experiments", 12),
        TableResult("experiment_tags", 0),
        TableResult("runs", 10_000),
        TableResult("metrics", 5_000_000),
        TableResult("latest_metrics", 0, skipped=200_000),
        TableResult("model_versions", 40),
        TableResult("registered_models", 3),
    ),
    files=FilesResult("copy", 52_000, 12_345_678_900, 0, 9_100, 2_345_678_900),
    left_out=LeftOutSummary(1, 0, (BY_RULE,)),
    seconds=125.2,
    next_command="mlporter verify backup",
)

_REMOVED = "it was removed at the target"


def incomplete(count, verb="export"):
    """A result with so many files that could not be carried (at most 1,000 by name)."""
    entries = tuple(
        LeftOut("artifact", RUN, f"plots/{n}.png", "missing", "The file is not where its URI says.")
        for n in range(min(count, 1000))
    )
    return Result(
        verb=verb,
        source="sqlite:///mlflow.db",
        target="backup",
        tables=(TableResult("runs", 8, already_there=1, failed=2),),
        files=FilesResult("copy", 5, 500, 2, 3, 300),
        left_out=LeftOutSummary(count, count, entries),
        notes=("The target keeps no times of creation, so that these are of today.",),
        seconds=3.21,
        next_command="",
    )


NEXT = "mlporter copy sqlite:///dev.db sqlite:///prod.db"

PLAN_FRESH = Result(
    verb="copy",
    source="sqlite:///dev.db",
    target="sqlite:///prod.db",
    tables=(
        TableResult("workspaces", 1),
        TableResult("experiments", 12),
        TableResult("experiment_tags", 0),
        TableResult("runs", 10_000),
        TableResult("metrics", 5_000_000),
        TableResult("registered_models", 3),
        TableResult("model_versions", 40),
        TableResult("latest_metrics", 0, skipped=200_000),
    ),
    files=FilesResult("copy", 52_000, 12_345_678_900),
    left_out=LeftOutSummary(1, 0, (BY_RULE,)),
    next_command=NEXT,
    dry_run=True,
)

_IN_USE = {
    "tables": (
        TableResult("workspaces", 0, 1),
        TableResult("experiments", 1, 11),
        TableResult("experiment_tags", 2, 3),
        TableResult("runs", 9_000, 1_000),
        TableResult("metrics", 4_000_000, 1_000_000),
        TableResult("registered_models", 0, 3),
        TableResult("model_versions", 20, 20),
        TableResult("registered_model_aliases", 0, 3),
        TableResult("latest_metrics", 0, skipped=200_000),
    ),
    "units": (UnitCount("runs", 9_000, 1_000), UnitCount("model_versions", 20, 20)),
    "fresh": False,
}

PLAN_IN_USE = replace(PLAN_FRESH, **_IN_USE)

ANOTHER = "status is 'FAILED' at the source and 'FINISHED' at the target"
PLAN_IN_CONFLICT = replace(
    PLAN_IN_USE,
    conflicts=(
        *(Conflict("runs", f"{n:032x}", ANOTHER)
          for n in range(17)),
        Conflict("experiments", "fraud", "it is active in the target, and deleted in the source"),
        Conflict("experiments", "fraud", "its tag is different in the target: 'team'"),
        Conflict("registered_model_aliases", "default/fraud/champion",
                 "version is 3 at the source and 2 at the target"),
    ),
    next_command="",
)  # fmt: skip

PLAN_MISFITS = replace(
    PLAN_FRESH,
    misfits=tuple(f"params.value of run {n:032x}: 9000 characters, and 8000 fit" for n in range(2)),
    next_command="",
)

PLAN_SKIPPED = replace(
    PLAN_IN_USE,
    tables=(TableResult("runs", 8_999, 1_000, 1), TableResult("metrics", 4_000_000, 999_000, 7)),
    left_out=LeftOutSummary(
        2,
        1,
        (
            LeftOut(
                "runs",
                RUN,
                "",
                "conflict",
                ANOTHER,
            ),
            BY_RULE,
        ),
    ),
    on_conflict="skip",
    next_command=f"{NEXT} --on-conflict skip",
)

PLAN_RENAMED = replace(
    PLAN_IN_USE,
    renamed=(
        Renamed("experiment", "fraud", "fraud-restored"),
        Renamed("experiment id", "7", "12"),
        Renamed("registered model", "fraud", "fraud-\x1b[31mred"),
        Renamed("trace_info", "tr-1", "tr-2"),
        *(Renamed("runs", f"{n:032x}", f"{n + 4096:032x}") for n in range(2_000)),
    ),
    notes=("New ids for 3 rows of assessments, whose own are taken there.",),
    on_conflict="rename",
    next_command=f"{NEXT} --on-conflict rename",
)

PLAN_NOTHING = replace(
    PLAN_IN_USE,
    tables=(TableResult("runs", 0, 10_000), TableResult("metrics", 0, 5_000_000)),
    files=FilesResult("copy"),
    left_out=LeftOutSummary(),
)

NOTHING_DONE = replace(
    PLAN_NOTHING, dry_run=False, next_command="mlporter diff sqlite:///dev.db sqlite:///prod.db"
)

_OTHER_RUN = RUN[::-1]
ACTIONS = ActionsResult(
    counts={
        "runs": {"create": 2, "update": 3, "keep": 18, "conflict": 1},
        "registered_models": {"conflict": 1},
        "registered_model_aliases": {"create": 1, "move": 1, "keep": 1},
        "model_versions": {"move": 1, "delete": 1, "keep": 1},
    },
    first=(
        Action(ActionKind.UPDATE, "runs", RUN,
               (Change("status", "RUNNING", "FINISHED"),
                Change("end_time", None, 1_700_000_000_000))),
        Action(ActionKind.UPDATE, "runs", _OTHER_RUN,
               (Change("tags.team", "a", "b" * 80),), "edited at the target"),
        Action(ActionKind.UPDATE, "runs", RUN, (Change("metrics", None, "+3 points"),)),
        Action(ActionKind.MOVE, "registered_model_aliases", "default/fraud/champion",
               (Change("version", 2, 3),)),
        Action(ActionKind.MOVE, "model_versions", "team-b/fraud/3",
               (Change("current_stage", "None", "Production"),
                Change("last_updated_time", 1, 2))),
        Action(ActionKind.DELETE, "model_versions", "default/fraud/1"),
        Action(ActionKind.CREATE, "registered_model_aliases", "default/fraud/old",
               (Change("registered_model_aliases", None, 1),),
               "it was removed at the target, and is put back"),
        Action(ActionKind.KEEP, "runs", _OTHER_RUN,
               (Change("name", "renamed \x1b[31min prod", "train-1"),), "edited at the target"),
        Action(ActionKind.KEEP, "runs", _OTHER_RUN,
               (Change("tags.mlflow.runName", "renamed in prod", "train-1"),),
               "edited at the target"),
        Action(ActionKind.KEEP, "model_versions", "default/fraud/2",
               (Change("description", "recalled", None),), "edited at the target"),
        Action(ActionKind.KEEP, "registered_model_aliases", "default/fraud/fresh",
               (Change("registered_model_aliases", 4, None),),
               "it is gone from the source; --delete removes it"),
        Action(ActionKind.KEEP, "runs", RUN, (Change("tags.reviewed", "yes", None),),
               "it is only in the target"),
        *(Action(ActionKind.KEEP, "runs", f"{n:02x}{n:030x}", (), _REMOVED) for n in range(15)),
        Action(ActionKind.CONFLICT, "registered_models", "default/fraud",
               (Change("description", "theirs", "ours"),),
               "changed at the source, and edited at the target"),
    ),
    digest="0" * 64,
)  # fmt: skip

PLAN_IN_STEP = replace(
    PLAN_IN_USE,
    verb="sync",
    tables=(
        TableResult("runs", 2, 998, changed=2),
        TableResult("registered_models", 0, 3),
        TableResult("model_versions", 0, 38, changed=2),
        TableResult("registered_model_aliases", 1, 2, changed=1),
        TableResult("metrics", 3, 1_000_000),
    ),
    files=FilesResult("copy", 4, 2_048, 2),
    left_out=LeftOutSummary(
        1,
        1,
        (
            LeftOut("registered_models", "default/fraud", "", "conflict",
                    "description is 'ours' at the source and 'theirs' at the target: changed at "
                    "the source, and edited at the target; the target keeps its own"),
        ),
    ),
    on_conflict="update",
    actions=ACTIONS,
    next_command="mlporter sync sqlite:///dev.db sqlite:///prod.db",
)  # fmt: skip

IN_STEP = replace(
    PLAN_IN_STEP,
    dry_run=False,
    next_command="mlporter diff sqlite:///dev.db sqlite:///prod.db",
    seconds=0.6,
)

PLAN_UPDATE_IN_CONFLICT = replace(PLAN_IN_CONFLICT, on_conflict="update", tables=())

A = Description("sqlite:///dev.db", "sqlite", "dc11669786a5", "snapshot")
B = Description("backup", "bundle", "dc11669786a5", "snapshot", bundle_id="b-1")

IDENTICAL = DiffReport(
    A,
    B,
    {"runs": TableCounts(3), "metrics": TableCounts(1000), "artifacts": TableCounts(24)},
    [],
    ignored=["What a server does not show: runs.a, runs.b.", "Secrets: webhooks.secret."],
    not_compared={"fields that a server does not show": 2, "secrets": 1, "files of C": 0},
)

DIFFERENT = DiffReport(
    A,
    B,
    {
        "runs": TableCounts(3, 1, 1, 0),
        "model_versions": TableCounts(1, 0, 0, 1, 0),
        "spans": TableCounts(),
        "artifacts": TableCounts(9, 0, 0, 0, 1),
    },
    [
        Difference("runs", "+", {"run_uuid": RUN}),
        Difference("runs", "-", {"run_uuid": "f" * 32}),
        Difference(
            "model_versions",
            "*",
            {"workspace": "default", "name": "rf_regressor", "version": 2},
            {
                "current_stage": ("Staging", "Production"),
                "description": ("", None),
                "source": ("s3://key:geheim@bucket/a b", "\x1b[31mred\n"),
            },
        ),
        Difference(
            "artifacts",
            "!",
            {"owner_kind": "run", "owner_id": RUN, "path": "a/b.txt"},
            detail="B: permission denied",
        ),
    ],
    truncated=2,
    ignored=["Locations of files, rather than the files: runs.artifact_uri."],
    left_out_left=[MISSING],
    left_out_truncated=3,
    not_given=(4, 0),
)

INVENTORY = Inventory(
    address="backup",
    kind="bundle",
    revision="dc11669786a5",
    mlflow_release="3.17.0",
    consistency="snapshot",
    workspaces=("default",),
    tables=(
        TableInfo("experiments", "kept", 2),
        TableInfo("runs", "kept", 12_345),
        TableInfo("latest_metrics", "derived", 7),
        TableInfo("spans", "kept", 0),
    ),
    experiments=(
        ExperimentInfo("default", 0, "Default", "active", 0, 0, 0, 0),
        ExperimentInfo("default", 7, "\x1b[2Jrf " + "long " * 20, "deleted", 12_345, 3, 4, 5),
    ),
    models=(
        ModelInfo(
            "default",
            "rf_regressor",
            is_prompt=False,
            aliases={"champion": 2},
            versions=(
                VersionInfo(1, "Archived", "READY", RUN, (), "models:/m-1"),
                VersionInfo(2, "Production", "READY", None, ("champion", "live"), None),
            ),
        ),
        ModelInfo("default", "empty", is_prompt=False, aliases={}, versions=()),
        ModelInfo(
            "default",
            "greeting",
            is_prompt=True,
            aliases={},
            versions=(VersionInfo(1, "None", "READY", None, (), None),),
        ),
    ),
    artifacts=FilesInfo("copy", 42, 1_234_567),
    left_out=3,
    bundle_id="37f9c18c-a913-4c45-8e7e-94280b689f84",
    created="2026-11-21T10:53:56Z",
)

CHECKS = DoctorReport(
    (
        Check("python", "3.11.7"),
        Check("pyarrow", "not installed", ok=False, hint="pip install pyarrow"),
    )
)


def verified(*problems, diff=None):
    """The result of a verification with these problems: (path, what, detail)."""
    report = VerifyReport("backup", "full", bundle_id="b-1")
    report.tables, report.parts, report.rows = 57, 18, 1091
    report.files, report.blobs, report.blobs_read, report.bytes_read = 24, 14, 14, 1_500_000
    for problem in problems:
        report.add(*problem)
    return VerifyResult(report, diff)
