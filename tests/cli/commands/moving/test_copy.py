from tests.cli.examples import COMPLETE


def test_with_one_argument_that_is_the_target(mlporter, fake, monkeypatch):
    calls = fake("copy", COMPLETE)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///from-environment.db")

    mlporter("copy", "sqlite:///target.db", "--artifacts", "reference")

    ((args, options),) = calls
    assert args == ("sqlite:///from-environment.db", "sqlite:///target.db")
    assert options["artifacts"] == "reference"
    assert options["artifact_root"] is None


def test_a_real_copy_is_identical(mlporter, plain_sqlite):
    finished = mlporter(
        "copy", plain_sqlite.tracking_uri, "sqlite:///new.db", "--artifact-root", "files"
    )

    assert finished.code == 0, finished.err
    assert mlporter("diff", plain_sqlite.tracking_uri, "sqlite:///new.db").code == 0
