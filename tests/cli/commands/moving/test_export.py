import pytest

import mlporter as api
from mlporter.errors import BundleInUseError
from tests.cli.examples import COMPLETE, incomplete


def test_the_final_table(mlporter, fake, golden):
    fake("export", COMPLETE)

    finished = mlporter("export", "sqlite:///mlflow.db", "backup")

    assert (finished.code, finished.out) == (0, "")
    golden("export", finished.err)


def test_of_what_was_left_out_for_one_reason_three_are_named(mlporter, fake, golden):
    fake("export", incomplete(1200))

    finished = mlporter("export", "sqlite:///mlflow.db", "backup")

    assert finished.code == 3
    assert "…and 1,197 more: mlporter show backup left_out" in finished.err
    golden("export-incomplete", finished.err)


def test_quiet_still_names_what_is_missing(mlporter, fake):
    fake("export", incomplete(1))

    finished = mlporter("export", "sqlite:///mlflow.db", "backup", "-q")

    assert finished.code == 3
    assert "plots/0.png: missing" in finished.err
    assert "Exported" not in finished.err


def test_quiet_says_nothing_of_success(mlporter, fake):
    fake("export", COMPLETE)

    finished = mlporter("export", "sqlite:///mlflow.db", "backup", "-q")

    assert (finished.code, finished.out, finished.err) == (0, "", "")


def test_json_is_the_result(mlporter, fake):
    fake("export", incomplete(2))

    finished = mlporter("export", "sqlite:///mlflow.db", "backup", "--json")

    assert finished.err == ""
    assert finished.json["exit_code"] == finished.code == 3
    assert finished.json["left_out"]["first"][0]["path"] == "plots/0.png"


def test_options_reach_the_function(mlporter, fake):
    calls = fake("export", COMPLETE)

    mlporter(
        "export",
        "a",
        "b",
        "--artifacts",
        "none",
        "--map-uri",
        "s3://x=/y",
        "--map-uri",
        "c=d=e",
        "--allow-root",
        "/srv/one",
        "--allow-root",
        "/srv/two",
        "--workers",
        9,
        "--resume",
        "--strict-artifacts",
        "--include-secrets",
        "--orphans",
        "--dry-run",
        "--auth",
        "sqlite:///basic_auth.db",
        "--registry",
        "sqlite:///models.db",
        "--sign",
        "key.pem",
    )

    ((args, options),) = calls
    assert args == ("a", "b")
    assert options.pop("on_progress")
    assert options == {
        "artifacts": "none",
        "uri_map": ("s3://x=/y", "c=d=e"),
        "allow_root": ("/srv/one", "/srv/two"),
        "include_tables": (),
        "dask": None,
        "jobs": None,
        "processes": None,
        "source_env": None,
        "workers": 9,
        "retry_time": 120.0,
        "resume": True,
        "restart": False,
        "strict_artifacts": True,
        "include_secrets": True,
        "auth": "sqlite:///basic_auth.db",
        "registry": "sqlite:///models.db",
        "sign": "key.pem",
        "orphans": True,
        "plan_out": None,
        "dry_run": True,
        "selection": None,
    }


def test_the_source_may_come_from_the_environment(mlporter, fake, monkeypatch):
    calls = fake("export", COMPLETE)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///from-environment.db")

    assert mlporter("export", "backup").code == 0
    assert calls[0][0] == ("sqlite:///from-environment.db", "backup")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("backup",),
        ("a", "b", "c"),
        ("a", "b", "--resume", "--restart"),
        ("a", "b", "--workers", "0"),
        ("a", "b", "--map-uri", "nonsense"),
        ("a", "b", "--artifacts", "some"),
        ("a", "b", "--include-secret", "x"),
    ],
)
def test_wrong_usage(mlporter, fake, arguments):
    calls = fake("export", COMPLETE)

    finished = mlporter("export", *arguments)

    assert finished.code == 2
    assert finished.err.startswith("mlporter: error: ")
    assert finished.err.endswith("hint: mlporter export --help\n")
    assert calls == []


def test_an_address_in_place_of_a_bundle_is_not_quoted_with_its_password(mlporter):
    finished = mlporter("export", "a", "postgresql://me:geheim@host/db")

    assert finished.code == 2
    assert "geheim" not in finished.err


def test_an_error_has_its_exit_code_subject_hint_and_reasons(mlporter, monkeypatch):
    def busy(*args, **options):
        raise BundleInUseError(
            "is in use", subject="backup", hint="wait for it", reasons=("by process 7", "on host")
        )

    monkeypatch.setattr(api, "export", busy, raising=False)

    finished = mlporter("export", "a", "backup")

    assert finished.code == 7
    assert finished.err == (
        "mlporter: error: backup: is in use\n  - by process 7\n  - on host\nhint: wait for it\n"
    )


def test_a_real_export(mlporter, plain_sqlite):
    finished = mlporter("export", plain_sqlite.tracking_uri, "backup", "--json")

    assert finished.code == 0
    assert finished.json["verb"] == "export"
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 4
    assert mlporter("export", plain_sqlite.tracking_uri, "backup", "--restart").code == 0
