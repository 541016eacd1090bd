"""What `--dry-run` prints, and that a real one says what the import then does."""

import hashlib
import shlex
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mlporter.catalogue import BY_NAME
from mlporter.cli.render import counts
from mlporter.cli.render.transfers.plan import MOVABLE
from mlporter.plan.policy import Conflict
from mlporter.plan.units import ENTITIES, MATCHED, REIDENTIFIED, ROWWISE
from tests.cli.examples import (
    IN_STEP,
    NOTHING_DONE,
    PLAN_FRESH,
    PLAN_IN_CONFLICT,
    PLAN_IN_STEP,
    PLAN_IN_USE,
    PLAN_MISFITS,
    PLAN_NOTHING,
    PLAN_RENAMED,
    PLAN_SKIPPED,
    PLAN_UPDATE_IN_CONFLICT,
)

COPY = ("copy", "sqlite:///dev.db", "sqlite:///prod.db")


@pytest.mark.parametrize(
    ("name", "planned"),
    [
        ("plan-fresh", (PLAN_FRESH, 0)),
        ("plan-in-use", (PLAN_IN_USE, 0)),
        ("plan-conflicts", (PLAN_IN_CONFLICT, 4)),
        ("plan-misfits", (PLAN_MISFITS, 4)),
        ("plan-skip", (PLAN_SKIPPED, 3)),
        ("plan-rename", (PLAN_RENAMED, 0)),
        ("plan-nothing", (PLAN_NOTHING, 0)),
        ("plan-update-conflicts", (PLAN_UPDATE_IN_CONFLICT, 4)),
    ],
)
def test_how_a_plan_looks(mlporter, fake, golden, name, planned):
    result, code = planned
    calls = fake("copy", result)

    finished = mlporter(*COPY, "--dry-run")

    assert calls[0][1]["dry_run"] is True
    assert finished.code == code
    assert finished.err == ""
    golden(name, finished.out)


@pytest.mark.parametrize("result", [PLAN_IN_STEP, IN_STEP], ids=["plan-in-step", "in-step"])
def test_how_a_target_that_follows_looks(mlporter, fake, golden, request, result):
    fake("sync", result)

    finished = mlporter("sync", *COPY[1:], *(["--dry-run"] if result.dry_run else []))

    assert finished.code == 3
    golden(request.node.callspec.id, finished.out + finished.err)


def test_quiet_says_only_what_is_wrong(mlporter, fake):
    fake("copy", PLAN_IN_CONFLICT)
    finished = mlporter(*COPY, "-nq")
    assert finished.out.startswith("In conflict with the target: 19 things\n")
    assert finished.out.endswith("Would be refused (exit 4): 19 things in conflict.\n")

    fake("copy", PLAN_IN_USE)
    assert mlporter(*COPY, "-n", "-q").out == ""


def test_an_import_with_nothing_to_do_says_so(mlporter, fake):
    fake("copy", NOTHING_DONE)

    finished = mlporter(*COPY)

    assert finished.code == 0
    assert "Nothing to do: all of it was already there." in finished.err


def test_what_can_never_be_renamed_is_not_promised(mlporter, fake):
    webhook = Conflict("webhooks", "w1", "something else in the target has this id")
    fake("copy", replace(PLAN_IN_CONFLICT, conflicts=(webhook,)))
    assert "rename copies what can be renamed under" in mlporter(*COPY, "-n").out

    fake("copy", replace(PLAN_IN_CONFLICT, conflicts=(webhook,), on_conflict="rename"))
    finished = mlporter(*COPY, "-n")
    assert "--on-conflict skip" in finished.out
    assert "--on-conflict rename" not in finished.out


def test_json_names_the_first_thousand(mlporter, fake):
    fake("copy", PLAN_RENAMED)

    told = mlporter(*COPY, "-n", "--json").json

    assert told["dry_run"] is True
    assert told["renamed"]["total"] == 2004
    assert len(told["renamed"]["first"]) == 1000
    assert told["renamed"]["first"][0] == {
        "kind": "experiment",
        "old": "fraud",
        "new": "fraud-restored",
    }
    assert told["conflicts"] == {"total": 0, "first": []}
    assert told["on_conflict"] == "rename"
    assert told["exit_code"] == 0


def test_every_kind_of_thing_has_a_line():
    known = {*ENTITIES, *MATCHED, *ROWWISE, "datasets"}
    assert set(counts.THINGS) == known
    assert {*MATCHED, *ROWWISE} - {"workspaces"} == counts.COUNTED_AS_THERE
    renamed = {name for name in REIDENTIFIED if not BY_NAME[name].unique}
    movable = renamed | {"model_versions"} | counts.COUNTED_AS_THERE
    assert movable.issuperset(MOVABLE)


# --- Real ones ------------------------------------------------------------------------------------


def sums(folder):
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def in_use(mlporter, plain_sqlite):
    """Addresses of a registry and of a copy of it, in which an alias was moved since."""
    source, target = plain_sqlite.tracking_uri, "sqlite:///target.db"
    assert mlporter("copy", source, target, "--artifact-root", "files").code == 0
    with closing(sqlite3.connect("target.db")) as target_db, target_db:
        target_db.execute("UPDATE registered_model_aliases SET version = 1 - version")
    return source, target, "--artifact-root", "files"


def test_a_dry_run_writes_nothing_at_all(mlporter, plain_sqlite):
    options = ("--artifact-root", "files")
    before = sums(".")

    finished = mlporter("copy", plain_sqlite.tracking_uri, "sqlite:///new.db", *options, "-n")

    assert finished.code == 0, finished.err
    assert "(empty)" in finished.out
    assert finished.out.endswith("sqlite:///new.db --artifact-root files\n")
    assert sums(".") == before
    assert not Path("files").exists()


def test_a_conflict_is_planned_and_refused_alike(mlporter, in_use):
    before = sums(".")

    planned = mlporter("copy", *in_use, "--dry-run")
    refused = mlporter("copy", *in_use)

    assert (planned.code, refused.code) == (4, 4)
    assert "! alias plain-model/" in planned.out
    assert "alias plain-model/" in refused.err
    assert "Next:" not in planned.out
    assert sums(".") == before


@pytest.mark.parametrize("policy", ["skip", "rename"])
def test_what_was_planned_is_done_and_then_there(mlporter, in_use, policy):
    options = ("--on-conflict", policy, "--json")

    planned = mlporter("copy", *in_use, *options, "-n").json
    done = mlporter("copy", *in_use, *options).json
    again = mlporter("copy", *in_use, *options).json

    code = {"skip": 3, "rename": 0}[policy]
    assert [r["exit_code"] for r in (planned, done, again)] == [code, code, code]
    for key in ("tables", "units", "renamed", "conflicts", "rows", "fresh"):
        assert planned[key] == done[key], key
    assert planned["files"]["files"] == done["files"]["files"]
    assert planned["files"]["bytes"] == done["files"]["bytes"]
    assert again["rows"] == 0


def test_the_command_of_a_plan_carries_it_out(mlporter, in_use):
    asked = ("--on-conflict", "skip", "--rename", "plain=a new name", "--workers", 2)
    planned = mlporter("copy", *in_use, *asked, "-n", "--json").json

    words = shlex.split(planned["next_command"])

    assert words[0] == "mlporter"
    assert words[4:] == [*in_use[2:], *map(str, asked)]
    assert mlporter(*words[1:]).code == 3


def test_no_password_is_in_the_command(mlporter, in_use):
    options = ("--map-uri", "s3://key:geheim@bucket/=files", "-n", "--on-conflict", "skip")
    finished = mlporter("copy", *in_use, *options)

    assert finished.code == 3
    assert "key:***@bucket" in finished.out
    assert "geheim" not in finished.out
