"""Two sides, each with a log-in, keys and an endpoint of its own, in one process."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest
from mlflow import MlflowClient

from mlporter.cli.app import run
from mlporter.stores.addresses.environment import environment_of
from mlporter.stores.rest.access import access_to
from tests.support import basic_auth
from tests.support.engines import copy_sqlite
from tests.support.guarded_s3 import GuardedS3, guarded_s3
from tests.support.mlflow_session import sqlite_url
from tests.support.processes import mlflow_server

SIDES = ("DEV_", "PROD_")
WORDS = ("--source-env", "DEV_", "--target-env", "PROD_")


@dataclass(frozen=True)
class Side:
    """A server and an S3, which nobody reaches without this side's variables."""

    prefix: str
    address: str
    database: str
    s3: GuardedS3
    admin: tuple[str, str]

    @property
    def variables(self):
        login = {
            f"{self.prefix}MLFLOW_TRACKING_USERNAME": self.admin[0],
            f"{self.prefix}MLFLOW_TRACKING_PASSWORD": self.admin[1],
        }
        return login | self.s3.variables(self.prefix)

    @property
    def secrets(self):
        return (self.admin[1], self.s3.secret)


@pytest.fixture(scope="module")
def sides(mlflow_sqlite_template, tmp_path_factory):
    """Two of them, running; the first has a run with a file in its bucket."""
    with ExitStack() as stack:
        made = []
        for prefix in SIDES:
            folder, name = tmp_path_factory.mktemp(prefix), prefix.strip("_").lower()
            s3 = stack.enter_context(guarded_s3(f"bucket-{name}", folder / "s3.log"))
            admin = (f"admin-{name}", f"{name}-pass-word-12")
            copy_sqlite(mlflow_sqlite_template, folder / "mlflow.db")
            url = sqlite_url(folder / "mlflow.db")
            root = ("--no-serve-artifacts", "--default-artifact-root", f"s3://{s3.bucket}/root")
            address = stack.enter_context(
                mlflow_server(
                    url,
                    folder / "files",
                    *basic_auth.OPTIONS,
                    *root,
                    **basic_auth.settings(folder, admin),
                )
            )
            basic_auth.hash_quickly(folder, admin)
            made.append(Side(prefix, address, url, s3, admin))
        _fill(made[0])
        yield made


def _fill(side, name="e", number=1):
    """A run, written into the database behind the server, and its file into the bucket."""
    client = MlflowClient(side.database, side.database)
    experiment = client.create_experiment(name, f"s3://{side.s3.bucket}/root/{number}")
    run_ = client.create_run(experiment, run_name="r")
    client.log_param(run_.info.run_id, "p", "1")
    client.set_terminated(run_.info.run_id)
    key = run_.info.artifact_uri.partition(side.s3.bucket)[2].strip("/")
    with closing(side.s3.client()) as bucket:
        bucket.put_object(Bucket=side.s3.bucket, Key=f"{key}/a.txt", Body=b"the file")


@pytest.fixture
def variables(sides, monkeypatch):
    """What a user has set: each side's own, and others that fit neither."""
    for side in sides:
        for name, value in side.variables.items():
            monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_TOKEN", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                 "AWS_SESSION_TOKEN"):  # fmt: skip
        monkeypatch.setenv(name, "of-neither-side")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    return sides


def seen():
    """The variables of this process that say how a place is reached."""
    return {
        name: value for name, value in os.environ.items() if "MLFLOW_" in name or "AWS_" in name
    }


def test_from_server_to_server_with_a_bucket_each(variables, cli):
    source, target = variables
    _fill(source, "not there yet", 2)
    part = ("--experiment", "not there yet")
    before, stored = seen(), set(target.s3.stored())
    done = cli("copy", source.address, target.address, *WORDS, *part, "-vv")
    assert done.code == 0, done.err
    assert seen() == before
    (key,) = set(target.s3.stored()) - stored
    assert key.endswith("/a.txt")
    assert not any(secret in done.out + done.err for s in variables for secret in s.secrets)

    same = cli("diff", source.address, target.address, *WORDS, *part)
    assert same.code == 0, same.out + same.err


def test_the_config_file_gives_each_side_its_log_in(variables, cli, tmp_path, monkeypatch):
    lines = []
    for side in variables:
        user, password = side.admin
        s3 = {name: f'"{value}"' for name, value in side.s3.variables("").items()}
        for name, value in (
            ("AWS_SECRET_ACCESS_KEY", side.s3.secret),
            ("MLFLOW_TRACKING_PASSWORD", password),
        ):
            s3[name] = f'{{command = ["echo", "{value}"]}}'
        lines += [f"[places.{side.prefix.strip('_').lower()}]", f'address = "{side.address}"']
        said = {"MLFLOW_TRACKING_USERNAME": f'"{user}"', **s3}
        lines.append("variables = {" + ", ".join(f"{n} = {v}" for n, v in said.items()) + "}")
        for name in side.variables:
            monkeypatch.delenv(name)
    config = tmp_path / "config/mlporter/config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("\n".join(lines))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    done = cli("copy", "dev", "prod", "--experiment", "e", "-vv")
    assert done.code == 0, done.err
    assert not any(secret in done.out + done.err for s in variables for secret in s.secrets)


def test_from_database_to_database_with_a_bucket_each(variables, cli, mlflow_sqlite):
    source, target = variables
    root = f"s3://{target.s3.bucket}/from-database"
    words = (source.database, sqlite_url(mlflow_sqlite), *WORDS, "--experiment", "e")
    done = cli("copy", *words, "--artifact-root", root, "--json")
    assert done.code == 0, done.err
    assert done.json["files"]["files"] == 1
    (key,) = [key for key in target.s3.stored() if key.startswith("from-database/")]
    with closing(target.s3.client()) as bucket:
        assert bucket.get_object(Bucket=target.s3.bucket, Key=key)["Body"].read() == b"the file"
    assert cli("diff", *words).code == 0


def test_the_other_side_s_variables_open_nothing(variables, cli, tmp_path):
    source, _ = variables
    refused = cli("export", source.address, tmp_path / "b", "--source-env", "PROD_")
    assert refused.code == 6
    assert "401" in refused.err
    assert "login was refused" in refused.err
    missing = cli("export", source.database, tmp_path / "c", "--source-env", "PROD_", "--json")
    assert missing.code == 3
    assert missing.json["files"]["files"] == 0


def test_every_verb_reaches_a_guarded_side(variables, cli, tmp_path, monkeypatch):
    source, _ = variables
    monkeypatch.setenv("DEV_MLFLOW_TRACKING_URI", source.address)
    mine = ("--source-env", "DEV_")
    for words in (
        ("export", tmp_path / "b", *mine),
        ("verify", tmp_path / "b", "--against", source.address, *mine),
        ("show", source.address, "runs", *mine),
        ("relocate", source.database, "--map-uri", "s3://a=s3://b", *mine),
        ("rebuild", f"s3://{source.s3.bucket}/root", "sqlite:///rebuilt.db", *mine),
    ):
        done = cli(*words)
        assert done.code in (0, 3), (words, done.err)
        assert "401" not in done.err


def test_a_token_in_the_place_of_a_user(variables, monkeypatch):
    """A side with a token asks with it, whatever user and password the process has."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "of-neither-side")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "of-neither-side")
    monkeypatch.setenv("TOK_MLFLOW_TRACKING_TOKEN", "t0ken-of-side")
    access = access_to("http://h", environment_of("TOK_"))
    assert access.headers()["Authorization"] == "Bearer t0ken-of-side"
    assert "t0ken" not in repr(access)


def test_a_profile_goes_before_the_keys_of_the_process(variables, tmp_path, monkeypatch, capsys):
    source, _ = variables
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"DEV_{name}")
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[mine]\naws_access_key_id = {source.s3.key}\naws_secret_access_key = {source.s3.secret}\n"
    )
    monkeypatch.setenv("DEV_AWS_PROFILE", "mine")
    monkeypatch.setenv("DEV_AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    code = run(["export", source.database, str(tmp_path / "b"), "--source-env", "DEV_"])
    assert code == 0, capsys.readouterr().err
