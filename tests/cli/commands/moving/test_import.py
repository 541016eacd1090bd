import pytest

from tests.cli.examples import COMPLETE, incomplete


def test_options_reach_the_function(mlporter, fake):
    calls = fake("import_", COMPLETE)

    mlporter("import", "backup", "sqlite:///t.db", "--artifact-root", "s3://b/x", "--workers", 2)

    ((args, options),) = calls
    assert args == ("backup", "sqlite:///t.db")
    assert options.pop("on_progress")
    assert options == {
        "artifact_root": "s3://b/x",
        "artifacts": "copy",
        "uri_map": (),
        "include_tables": (),
        "target_env": None,
        "dask": None,
        "processes": None,
        "workers": 2,
        "jobs": None,
        "retry_time": 120.0,
        "rename_prefix": "",
        "include_secrets": False,
        "target_auth": None,
        "strict_artifacts": False,
        "selection": None,
        "dry_run": False,
        "on_conflict": "fail",
        "undelete": False,
        "rename": (),
        "to_workspace": None,
        "state": None,
        "force": False,
        "rebase": False,
        "plan_out": None,
        "require_signature": None,
        "drop_unknown": False,
    }


def test_options_of_a_merge_reach_the_function(mlporter, fake):
    calls = fake("import_", COMPLETE)
    options = ("-n", "--on-conflict", "rename", "--rename", "a=b", "--rename", "c d=e")

    mlporter("import", "backup", "sqlite:///t.db", *options, "--to-workspace", "team-b")

    ((_, options),) = calls
    assert options["dry_run"] is True
    assert options["on_conflict"] == "rename"
    assert options["rename"] == ("a=b", "c d=e")
    assert options["to_workspace"] == "team-b"


@pytest.mark.parametrize("wrong", [("--rename", "a"), ("--rename", "=b"), ("--on-conflict", "no")])
def test_what_makes_no_sense_is_refused(mlporter, fake, wrong):
    calls = fake("import_", COMPLETE)

    assert mlporter("import", "backup", "sqlite:///t.db", *wrong).code == 2
    assert calls == []


def test_what_is_missing_is_not_looked_for_in_the_target(mlporter, fake):
    result = incomplete(20, "import")
    fake("import_", result)

    finished = mlporter("import", "backup", "sqlite:///t.db")

    assert finished.code == 3
    assert "…and 17 more: -v names more" in finished.err


def test_no_target_comes_from_the_environment(mlporter, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///from-environment.db")

    assert mlporter("import", "backup").code == 2


def test_a_real_import(mlporter, plain_sqlite):
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 0

    finished = mlporter("import", "backup", "sqlite:///new.db", "--artifact-root", "files")

    assert finished.code == 0, finished.err
    assert "Next: mlporter diff backup sqlite:///new.db" in finished.err
    again = mlporter("import", "backup", "sqlite:///new.db", "--artifact-root", "files")
    assert again.code == 0, again.err
    assert "Nothing to do: all of it was already there." in again.err
    assert mlporter("diff", "backup", "sqlite:///new.db").code == 0
