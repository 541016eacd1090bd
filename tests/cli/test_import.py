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
        "workers": 2,
    }


def test_what_is_missing_is_not_looked_for_in_the_target(mlporter, fake):
    result = incomplete(20, "import")
    fake("import_", result)

    finished = mlporter("import", "backup", "sqlite:///t.db")

    assert finished.code == 3
    assert "…and 5 more: --json names the first thousand" in finished.err


def test_no_target_comes_from_the_environment(mlporter, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///from-environment.db")

    assert mlporter("import", "backup").code == 2


def test_a_real_import(mlporter, plain_sqlite):
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 0

    finished = mlporter("import", "backup", "sqlite:///new.db", "--artifact-root", "files")

    assert finished.code == 0, finished.err
    assert "Next: mlporter diff backup sqlite:///new.db" in finished.err
    again = mlporter("import", "backup", "sqlite:///new.db", "--artifact-root", "other")
    assert again.code == 4
    assert "hint: " in again.err
