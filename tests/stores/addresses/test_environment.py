"""What one side of a transfer sees of the environment."""

from __future__ import annotations

import pytest

from mlporter import redaction
from mlporter.errors import UnreachableError, UsageError
from mlporter.redaction import redact
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.addresses.environment import PROCESS, environment_of
from mlporter.stores.artifact_places.places import open_place
from mlporter.stores.rest.access import access_to


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(redaction, "_remembered", {})


def test_a_side_sees_its_own_and_what_is_set_for_all():
    given = {"DEV_MLFLOW_S3_ENDPOINT_URL": "http://dev", "AWS_DEFAULT_REGION": "eu-west-1"}
    side = environment_of("DEV_", given)
    assert side.get("MLFLOW_S3_ENDPOINT_URL") == "http://dev"
    assert side.get("AWS_DEFAULT_REGION") == "eu-west-1"
    assert side.own == {"MLFLOW_S3_ENDPOINT_URL"}
    assert side.named("MLFLOW_S3_ENDPOINT_URL") == "DEV_MLFLOW_S3_ENDPOINT_URL"


@pytest.mark.parametrize(
    ("own", "of_all"),
    [
        ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"),
        ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_TOKEN"),
        ("AWS_PROFILE", "AWS_ACCESS_KEY_ID"),
        ("AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"),
        ("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL"),
        ("PGUSER", "PGPASSWORD"),
    ],
)
def test_a_log_in_is_never_put_together_from_two_sides(own, of_all):
    side = environment_of("DEV_", {f"DEV_{own}": "mine", of_all: "of another"})
    assert side.get(own) == "mine"
    assert side.get(of_all) is None


def test_an_empty_variable_of_its_own_is_none():
    given = {"PROD_MLFLOW_S3_ENDPOINT_URL": "", "MLFLOW_S3_ENDPOINT_URL": "http://minio"}
    assert environment_of("PROD_", given).get("MLFLOW_S3_ENDPOINT_URL") is None


def test_no_prefix_is_the_environment_as_it_is(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "later")
    assert environment_of("") is PROCESS
    assert PROCESS.get("MLFLOW_TRACKING_TOKEN") == "later"
    assert not PROCESS.libpq()


@pytest.mark.parametrize(
    ("prefix", "given", "said"),
    [
        ("DEV_", {"PROD_PGPASSWORD": "x"}, "DEV_MLFLOW_TRACKING_TOKEN"),
        ("DEV_", {"DEV_HOME": "x", "DEV_PGDATA": "x"}, "DEV_PGPASSWORD"),
        ("DEV", {"DEV_PGPASSWORD": "x"}, "did you mean DEV_?"),
        ("a b", {}, "DEV_MLFLOW_TRACKING_TOKEN"),
    ],
)
def test_a_prefix_that_nothing_has_is_said(prefix, given, said):
    with pytest.raises(UsageError) as refused:
        environment_of(prefix, given)
    assert said in str(refused.value.hint)


def test_a_variable_that_no_side_can_have_is_said(caplog):
    environment_of("DEV_", {"DEV_PGUSER": "x", "DEV_MLFLOW_TRACKNG_TOKEN": "x"})
    assert "DEV_MLFLOW_TRACKNG_TOKEN is not used" in caplog.text


def test_the_values_of_secrets_are_hidden_wherever_they_are():
    given = {
        "DEV_MLFLOW_TRACKING_TOKEN": "tok3n-of-dev",
        "DEV_AWS_SECRET_ACCESS_KEY": "abc/def+ghi1",
        "DEV_PGPASSWORD": "pg-pass-1",
        "DEV_PGUSER": "some-user-1",
    }
    side = environment_of("DEV_", given)
    said = redact(" ".join(given.values()))
    assert said == "*** *** *** some-user-1"
    assert not any(value in repr(side) for value in given.values())


def test_postgresql_is_told_what_the_address_does_not_say():
    given = {
        "DEV_PGPASSWORD": "p@ss word",
        "DEV_PGUSER": "me",
        "DEV_PGHOST": "elsewhere",
        "DEV_PGSSLMODE": "require",
        "PGPASSFILE": "of another",
    }
    side = environment_of("DEV_", given)
    address = parse_address("postgresql://ann@db/mlflow?sslmode=disable", side)
    assert address.libpq == (
        "postgresql://ann@db/mlflow?sslmode=disable&password=p%40ss%20word&passfile="
    )
    assert "p%40ss" not in f"{address} {address!r} {address.upgrade_command}"
    bare = parse_address("postgresql:///mlflow", side)
    assert bare.libpq_words == {
        "user": "me",
        "password": "p@ss word",
        "passfile": "",
        "host": "elsewhere",
        "sslmode": "require",
    }
    assert parse_address("postgresql://ann:pw@db/mlflow").libpq == "postgresql://ann:pw@db/mlflow"


@pytest.mark.parametrize(
    ("uri", "variable"),
    [
        ("gs://bucket/x", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("wasbs://c@a.blob.core.windows.net/x", "AZURE_STORAGE_ACCESS_KEY"),
        ("b2://bucket/x", "AWS_ACCESS_KEY_ID"),
        ("http://host/api/2.0/mlflow-artifacts/artifacts/1", "MLFLOW_TRACKING_TOKEN"),
    ],
)
def test_a_store_that_cannot_be_told_is_refused_and_not_reached_as_another(uri, variable):
    side = environment_of("DEV_", {f"DEV_{variable}": "mine-123"})
    with pytest.raises(UnreachableError, match=f"DEV_{variable}"):
        open_place(uri, environment=side)


def test_databricks_has_profiles_of_its_own():
    side = environment_of("DEV_", {"DEV_DATABRICKS_TOKEN": "mine-123"})
    with pytest.raises(UsageError) as refused:
        access_to("databricks", side)
    assert "databricks://PROFILE" in str(refused.value.hint)
