"""`mlporter show PLAN`: a plan file, as people review it; and that each command writes one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlporter.errors import LeftOut
from mlporter.execute import plan_files
from mlporter.execute.plan_files import write_plan
from mlporter.execute.result import FilesResult, LeftOutSummary, Result
from mlporter.plan.policy import Conflict
from mlporter.plan.three_sides.actions import Action, ActionBook, ActionKind, Change

RUN = "0123456789abcdef" * 2
HEAD = {"source": "http://dev:5000", "target": "http://prod:5000"}
PROMOTION = {
    **HEAD,
    "verb": "promote",
    "arguments": {"model": "models:/churn@candidate", "alias": ["champion"], "workers": 4},
}
PROMOTED = (
    Action(
        ActionKind.CHECK,
        "model_versions",
        "default/churn/7",
        (Change("metric rmse better than @champion", "< 0.19", "0.15"),),
    ),
    Action(ActionKind.CREATE, "runs", RUN),
    Action(
        ActionKind.CREATE,
        "model_versions",
        "default/churn/3",
        (
            Change("source", None, "models:/churn/7"),
            Change("metrics.rmse", None, 0.15),
            Change("files", None, 5),
        ),
    ),
    Action(
        ActionKind.MOVE,
        "model_versions",
        "default/churn/2",
        (Change("current_stage", "Production", "Archived"),),
    ),
    Action(
        ActionKind.MOVE,
        "registered_model_aliases",
        "default/churn/champion",
        (Change("version", 2, 3), Change("metrics.rmse", 0.19, 0.15)),
    ),
)
HOSTILE = "`</details>` | @everyone\n# a heading\x1b[31m <script>"
SYNC = {**HEAD, "verb": "sync", "arguments": {"delete": True, "selection": {"model": ["churn*"]}}}
SYNCED = (
    Action(ActionKind.UPDATE, "runs", RUN, (Change("tags.team", "a", HOSTILE),)),
    Action(ActionKind.DELETE, "registered_model_aliases", "default/churn/old"),
    Action(
        ActionKind.KEEP,
        "runs",
        RUN,
        (Change("name", "renamed in prod", "train-1"),),
        why="edited at the target",
    ),
    Action(
        ActionKind.CONFLICT,
        "runs",
        RUN,
        (Change("tags.both", "theirs", "ours", "before"),),
        why="both sides changed it",
    ),
)
LEFT_OUT = LeftOut("artifact", RUN, "model/MLmodel", "missing", "it is not there")


@pytest.fixture
def write(monkeypatch):
    """Write a plan file with these actions into the working folder."""

    class Then(plan_files.datetime):
        @classmethod
        def now(cls, zone=None):
            return cls(2026, 1, 31, 3, 0, tzinfo=zone)

    monkeypatch.setattr(plan_files, "datetime", Then)
    monkeypatch.setattr(plan_files, "version", lambda _: "1.2.3")

    def written(head, actions, **found):
        book = ActionBook()
        for action in actions:
            book.add(action)
        files = FilesResult("copy", 5, 1_234_567)
        result = Result(head["verb"], head["source"], head["target"], (), files, **found)
        write_plan("plan.json", head, book, [result])
        book.close()
        return "plan.json"

    return written


@pytest.mark.parametrize("how", ["table", "markdown"])
def test_how_a_promotion_looks(mlporter, golden, write, how):
    done = mlporter("show", write(PROMOTION, PROMOTED), "--format", how)
    assert (done.code, done.err) == (0, "")
    golden(f"plan-file-promote-{how}{'-lines' if how == 'markdown' else ''}", done.out)


@pytest.mark.parametrize("how", ["table", "markdown"])
def test_how_a_sync_looks(mlporter, golden, write, how):
    left = LeftOutSummary(1, 1, (LEFT_OUT,))
    file = write(SYNC, SYNCED, left_out=left, notes=("A note | with a pipe.",))
    done = mlporter("show", file, "--format", how)
    assert done.code == 0
    golden(f"plan-file-sync-{how}{'-lines' if how == 'markdown' else ''}", done.out)


def test_in_markdown_nothing_of_a_registry_is_markup(mlporter, write):
    out = mlporter("show", write(SYNC, SYNCED), "--format", "markdown").out
    assert "\x1b" not in out
    # All of it is on one line, in a code span whose fence is longer than any of its own ticks.
    (line,) = [line for line in out.splitlines() if "@everyone" in line]
    assert "`` tags.team: a → `</details>` | @everyone" in line or "``tags.team: a →" in line
    assert out.count("</details>") == out.count("<details") + 1  # the one in the code span


def test_in_json_all_is_said(mlporter, write):
    file = write(SYNC, SYNCED)
    said = mlporter("show", file, "--json").json
    assert (said["verb"], said["format"]) == ("sync", "mlporter-plan")
    assert said["counts"] == {
        "registered_model_aliases": {"delete": 1},
        "runs": {"update": 1, "keep": 1, "conflict": 1},
    }
    assert [one["action"] for one in said["first"]] == ["update", "delete", "keep", "conflict"]
    assert json.loads(mlporter("show", file, "--format", "json").out) == said


def test_what_would_be_refused_is_said_first(mlporter, write):
    conflict = Conflict("runs", RUN, "the target has another one")
    found = {"conflicts": (conflict,), "misfits": ("too long",), "unreadable": ("run/file",)}
    out = mlporter("show", write(SYNC, (), **found)).out
    for why in ("the target has another one", "too long", "run/file"):
        assert f"! {why}" in out or f": {why}" in out
    assert out.rstrip().endswith("Would be refused (exit 4).")
    assert "mlporter apply" not in out


def test_an_empty_plan_says_that_there_is_nothing_to_do(mlporter, write):
    file = write(SYNC, ())
    assert "Nothing to do" in mlporter("show", file).out
    assert "Nothing to do" in mlporter("show", file, "--format", "markdown").out


def test_of_many_things_the_first_are_named_and_all_counted(mlporter, write):
    many = [Action(ActionKind.CREATE, "runs", f"{number:032x}") for number in range(1200)]
    file = write(SYNC, many)
    for how in ("table", "markdown"):
        out = mlporter("show", file, "--format", how).out
        assert "1,200" in out
        assert "…and 1,150 more" in out
    assert len(out) < 65_536  # GitHub's longest comment
    assert mlporter("show", file, "--json").json["counts"] == {"runs": {"create": 1200}}


@pytest.mark.parametrize(
    "options",
    [["plan.json", "--format", "csv"], ["backup"], ["backup", "runs", "--format", "markdown"]],
)
def test_what_cannot_be_shown_is_wrong_usage(mlporter, write, options):
    write(SYNC, ())
    assert mlporter("show", *options).code == 2


def test_a_plan_that_was_cut_is_not_shown(mlporter, write):
    path = Path(write(SYNC, SYNCED))
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:-1]), encoding="utf-8")
    done = mlporter("show", path)
    assert (done.code, done.out) == (2, "")
    assert "cut or edited" in done.err


def test_commands_write_plans_and_apply_carries_them_out(mlporter, plain_sqlite):
    source = plain_sqlite.tracking_uri
    done = mlporter("export", source, "backup", "--plan-out", "export.json")
    assert (done.code, "Next: mlporter apply export.json" in done.out) == (0, True)
    options = ("--from", source, "--to", "sqlite:///prod.db", "--artifact-root", "files")
    done = mlporter("promote", "models:/plain-model/3", *options, "--plan-out", "promote.json")
    assert (done.code, "Next: mlporter apply promote.json" in done.out) == (0, True)
    assert not Path("backup").exists()
    assert not Path("prod.db").exists()
    assert mlporter("apply", "export.json").code == 0
    done = mlporter("apply", "promote.json")
    assert (done.code, "To undo: mlporter promote --undo" in done.out) == (0, True)
    refused = mlporter("apply", "promote.json", "--dry-run", "--json").json["error"]
    assert (refused["exit_code"], "model_versions" in refused["reasons"][0]) == (4, True)
    assert mlporter("promote", "--undo", "r.yaml", "--plan-out", "x.json").code == 2
