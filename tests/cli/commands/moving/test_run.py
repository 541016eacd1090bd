"""`mlporter run`: several manifests, in order, dry or not, and what stops them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mlporter as api
from mlporter.errors import ConflictError
from mlporter.verbs import run as run_module


@pytest.fixture
def write(tmp_path):
    """Write a manifest into the working folder: ``write("a", kind="copy", source="x")``."""

    def written(name, **said):
        lines = [f"{key}: {json.dumps(value)}\n" for key, value in said.items()]
        Path(f"{name}.yaml").write_text("".join(lines), encoding="utf-8")
        return f"{name}.yaml"

    return written


def test_one_after_the_other_and_each_says_what_it_did(mlporter, write, plain_sqlite):
    source = plain_sqlite.tracking_uri
    files = [
        write("export", kind="export", source=source, bundle="backup"),
        write("verify", kind="verify", bundle="backup", against=source),
        write("diff", kind="diff", a="backup", b=source),
    ]
    done = mlporter("run", *files)
    assert done.code == 0
    heads = [done.out.index(f"{name}.yaml: {name}") for name in ("export", "verify", "diff")]
    assert heads == sorted(heads)
    assert "Undamaged" in done.out
    again = mlporter("run", *files[1:], "--json").json
    assert (again["exit_code"], again["not_run"]) == (0, [])
    assert [one["kind"] for one in again["manifests"]] == ["verify", "diff"]
    assert again["manifests"][0]["result"]["diff"]["identical"]
    assert again["manifests"][1]["result"]["identical"]


def test_what_does_not_end_well_stops_the_rest_which_is_named(mlporter, write, plain_sqlite):
    files = [
        write("damaged", kind="verify", bundle="not-there"),
        write("export", kind="export", source=plain_sqlite.tracking_uri, bundle="backup"),
    ]
    done = mlporter("run", *files)
    assert done.code not in (0, 70)
    assert "not-there" in done.err
    assert "export.yaml" in done.out
    assert not Path("backup").exists()
    said = mlporter("run", *files, "--json").json
    assert said["exit_code"] == done.code
    assert said["manifests"][0]["error"]["subject"] == "not-there"
    assert said["not_run"] == ["export.yaml"]


def test_all_are_checked_before_the_first_is_carried_out(mlporter, write, plain_sqlite):
    files = [
        write("export", kind="export", source=plain_sqlite.tracking_uri, bundle="backup"),
        write("wrong", kind="verify", bundel="backup"),
    ]
    done = mlporter("run", *files)
    assert done.code == 2
    assert "wrong.yaml" in done.err
    assert "the nearest is 'bundle'" in done.err
    assert not Path("backup").exists()
    assert mlporter("run", *files, "--json").json["error"]["exit_code"] == 2


def test_a_dry_run_writes_nothing_and_looks_at_all(mlporter, write, plain_sqlite):
    source = plain_sqlite.tracking_uri
    files = [
        write("copy", kind="copy", source="sqlite:///none.db", target="sqlite:///new.db"),
        write("export", kind="export", source=source, bundle="backup"),
        write("sync", kind="sync", source=source, target="sqlite:///new.db", artifact_root="f"),
    ]
    done = mlporter("run", *files, "--dry-run")
    assert done.code == 6
    assert "none.db" in done.err
    assert done.out.count("Would be done") == 2
    assert sorted(path.name for path in Path().iterdir()) == [
        "copy.yaml",
        "export.yaml",
        "plain",
        "sync.yaml",
    ]
    said = mlporter("run", *files, "--dry-run", "--json").json
    assert [one["exit_code"] for one in said["manifests"]] == [6, 0, 0]
    assert said["manifests"][1]["result"]["files"]["files"] > 0
    assert (said["dry_run"], said["not_run"]) == (True, [])


def test_a_plan_is_written_of_one_manifest_that_moves_something(mlporter, write, plain_sqlite):
    source = plain_sqlite.tracking_uri
    copy = write("copy", kind="copy", source=source, target="sqlite:///new.db", artifact_root="f")
    export = write("export", kind="export", source=source, bundle="backup")
    assert mlporter("run", copy, export, "--plan-out", "plan.json").code == 2
    for kind, said in (("diff", {"a": source, "b": "backup"}), ("verify", {"bundle": "backup"})):
        refused = mlporter("run", write(kind, kind=kind, **said), "--plan-out", "plan.json")
        assert (refused.code, f"{kind} only reads" in refused.err) == (2, True)
    assert not Path("plan.json").exists()
    assert mlporter("run", copy, "--plan-out", "plan.json").code == 0
    assert not Path("new.db").exists()
    assert mlporter("apply", "plan.json").code == 0
    assert api.diff(source, "sqlite:///new.db").identical
    assert mlporter("run", export, "--plan-out", "plan.json").code == 0
    assert not Path("backup").exists()
    assert mlporter("apply", "plan.json").code == 0
    assert api.diff(source, "backup").identical


def test_set_is_for_all_and_repeated_for_a_list(mlporter, write, fake):
    calls = fake("run", api.RunResult(()))
    options = ("--set", "alias=a", "--set", "alias=b", "--set", "require=metrics.x=1")
    assert mlporter("run", "a.yaml", "b.yaml", *options).code == 0
    ((files,), given) = calls[0]
    assert files == ("a.yaml", "b.yaml")
    assert given["set_"] == {"alias": ["a", "b"], "require": "metrics.x=1"}
    assert mlporter("run", "a.yaml", "--set", "alias").code == 2


def test_from_python_a_failure_is_an_entry(write, plain_sqlite):
    source = plain_sqlite.tracking_uri
    first = write("a", kind="copy", source=source, target="sqlite:///new.db", artifact_root="f")
    seen = []
    assert api.run(Path(first), on_done=seen.append).exit_code == 0
    assert [one.kind for one in seen] == ["copy"]
    client = plain_sqlite.client()
    client.set_tag(plain_sqlite.run_ids[0], "team", "b")
    result = api.run([first, first])
    assert isinstance(result.manifests[0].error, ConflictError)
    assert (result.exit_code, result.not_run) == (4, (first,))
    with pytest.raises(api.UsageError):
        api.run([])


def test_a_password_of_a_variable_is_shown_nowhere(mlporter, write, plain_sqlite, monkeypatch):
    monkeypatch.setenv("PROD", "postgresql://me:s3cr3t-word@127.0.0.1:1/db")
    said = {"source": plain_sqlite.tracking_uri, "target": "${PROD}", "artifact_root": "f"}
    copy = write("copy", kind="copy", **said)
    wrong = write("wrong", kind="copy", on_conflict="${PROD}", stage="${PROD}", **said)
    for options in ((copy,), (copy, "--json"), (copy, "-vv"), (wrong,), (wrong, "--json")):
        done = mlporter("run", *options)
        assert done.code in {2, 6}
        assert "s3cr3t" not in done.out + done.err


def test_an_interrupt_ends_all_and_is_no_entry(mlporter, write, monkeypatch):
    def interrupted(*_, **__):
        raise api.InterruptedByUserError("stopped")

    monkeypatch.setitem(run_module._VERBS, "verify", interrupted)
    file = write("verify", kind="verify", bundle="backup")
    assert mlporter("run", file, file).code == 143
    assert "resume: true" in mlporter("run", file).err
