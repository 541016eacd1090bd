"""Secrets stay behind and are listed, or come along and open with the same passphrase.

MLflow's own code decrypts them, in a process of its own: its key for webhooks is read once, when
it is imported.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import closing
from sqlite3 import IntegrityError

import psycopg2
import pytest

import mlporter
from mlporter.bundle.documents.manifest import load_manifest
from mlporter.errors import ExitCode
from tests.support.databases import execute, rows
from tests.support.forks import start
from tests.support.mlflow_session import QUIET_ENVIRONMENT, environment, mlflow_at, sqlite_url
from tests.support.rich_rest import GATEWAY_SECRET, WEBHOOK_SECRET

PASSPHRASE = {"MLFLOW_CRYPTO_KEK_PASSPHRASE": "correct horse battery staple"}
WEBHOOK_KEY = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"
ANOTHER = {
    "MLFLOW_CRYPTO_KEK_PASSPHRASE": "incorrect horse battery staple",
    WEBHOOK_KEY: "YW5vdGhlciBrZXksIGFsc28gb2YgMzIgYnl0ZXMuLi4=",
}

#: Prints what MLflow decrypts, or the kind of error that it raises.
JUDGE = """
import json, sys
from mlflow.exceptions import MlflowException
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
from mlflow.store.model_registry.dbmodels.models import SqlWebhook
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

url, secret, root = sys.argv[1:]

def tried(call):
    try:
        return call()
    except MlflowException as error:
        return type(error.__cause__ or error).__name__

SqlWebhook.__table__.c.secret.type.__init__()  # with the key that this process has

def webhooks():
    with Registry(url).ManagedSessionMaker() as session:
        return sorted(hook.secret for hook in session.query(SqlWebhook) if hook.secret)

gateway = tried(lambda: Tracking(url, root)._get_decrypted_secret(secret))
print(json.dumps([gateway, tried(webhooks)]))
"""


def decrypted(url, secret, root, *settings):
    """What MLflow says with each of the settings; the processes run side by side."""
    words = ["-W", "ignore", "-c", JUDGE, url, secret, str(root)]
    started = [judge(words, setting) for setting in settings]
    return [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]


def judge(words, setting):
    return start(words, environment={**os.environ, **QUIET_ENVIRONMENT, **setting})


def add_secret(url):
    """A gateway secret under a passphrase of its own; returns its id."""
    from mlflow.tracking._tracking_service.utils import _get_store  # noqa: PLC0415 -- seconds

    with environment(PASSPHRASE), mlflow_at(url):
        store = _get_store()
        return store.create_gateway_secret(
            "under a passphrase", {"api_key": GATEWAY_SECRET}, provider="openai"
        ).secret_id


def through_a_bundle(source, target, tmp_path):
    bundle = str(tmp_path / "bundle")
    mlporter.export(source, bundle, include_secrets=True, artifacts="none")
    return mlporter.import_(bundle, target, artifacts="none", include_secrets=True)


def directly(source, target, tmp_path):
    return mlporter.copy(source, target, artifacts="none", include_secrets=True)


WAYS = [
    ("rich_sqlite", "postgresql", through_a_bundle),
    ("rich_postgres", "sqlite", through_a_bundle),
    ("rich_sqlite", "sqlite", directly),
    ("rich_postgres", "postgresql", directly),
]


@pytest.mark.parametrize(("source", "target_url", "carry"), WAYS, indirect=["target_url"])
def test_mlflow_opens_secrets_in_the_target_with_the_same_keys_only(
    request, source, target_url, carry, tmp_path
):
    source = request.getfixturevalue(source).tracking_uri
    secret = add_secret(source)
    result = carry(source, target_url, tmp_path)
    assert "secret" not in {item.reason for item in result.left_out.first}

    same, other = decrypted(target_url, secret, tmp_path / "files", PASSPHRASE, ANOTHER)

    assert same == [{"api_key": GATEWAY_SECRET}, [WEBHOOK_SECRET]]
    assert other == ["MlflowException", "InvalidToken"]
    models = "SELECT model_definition_id, secret_id FROM model_definitions ORDER BY 1"
    assert rows(target_url, models) == rows(source, models)
    # What keeps people from making secrets unreadable is in force.
    with pytest.raises((IntegrityError, psycopg2.Error), match="secret"):
        execute(target_url, f"UPDATE secrets SET secret_name = 'x' WHERE secret_id = '{secret}'")


# --- Bundles with secrets -------------------------------------------------------------------------


@pytest.fixture
def secret_bundle(rich_sqlite_template, tmp_path):
    """The rich registry with its secrets."""
    result = mlporter.export(
        rich_sqlite_template.tracking_uri, str(tmp_path / "secret"), include_secrets=True
    )
    assert {item.reason for item in result.left_out.first if not item.expected} == {"missing"}
    return tmp_path / "secret"


HOLDING = {"secrets": 1, "webhooks.secret": 1, "model_definitions.secret_id": 2}


def test_a_bundle_says_what_secrets_it_holds_and_its_owner_alone_can_read_them(secret_bundle):
    assert load_manifest(secret_bundle).secrets == HOLDING
    private = {
        path.relative_to(secret_bundle).as_posix()
        for path in secret_bundle.rglob("*")
        if not stat.S_IMODE(path.stat().st_mode) & 0o077
    }
    tables = ("secrets", "webhooks", "model_definitions")
    assert private == {f"tables/{name}{part}" for name in tables for part in ("", "/00000.parquet")}
    assert mlporter.verify(str(secret_bundle)).exit_code == 0


def test_a_bundle_without_secrets_says_nothing_of_them(rich_bundle):
    assert load_manifest(rich_bundle).secrets == {}
    assert b"\nsecrets:" not in (rich_bundle / "manifest.yaml").read_bytes()
    assert not [p for p in rich_bundle.rglob("*.parquet") if not p.stat().st_mode & 0o044]


def unexpected(result):
    return {(item.id, item.path) for item in result.left_out.first if not item.expected}


NAMED = {("secrets", ""), ("webhooks", "secret"), ("model_definitions", "secret_id")}


def test_secrets_in_a_bundle_are_left_out_and_listed_unless_asked_for(secret_bundle, mlflow_sqlite):
    url = sqlite_url(mlflow_sqlite)
    result = mlporter.import_(str(secret_bundle), url, artifacts="none")
    assert result.exit_code == ExitCode.INCOMPLETE
    assert unexpected(result) == NAMED
    assert rows(url, "SELECT count(*) FROM secrets") == [(0,)]
    left = "SELECT 1 FROM webhooks WHERE secret IS NOT NULL UNION ALL"
    left += " SELECT 1 FROM model_definitions WHERE secret_id IS NOT NULL"
    assert rows(url, left) == []


def test_secrets_that_the_export_left_out_are_listed_if_asked_for(rich_bundle, mlflow_sqlite):
    result = mlporter.import_(
        str(rich_bundle), sqlite_url(mlflow_sqlite), artifacts="none", include_secrets=True
    )
    assert result.exit_code == ExitCode.INCOMPLETE
    assert unexpected(result) == NAMED


def test_an_export_that_goes_on_without_secrets_leaves_none_behind(
    rich_sqlite_template, secret_bundle
):
    (secret_bundle / "manifest.yaml").unlink()
    (secret_bundle / ".mlporter").mkdir()
    mlporter.export(rich_sqlite_template.tracking_uri, str(secret_bundle), resume=True)
    assert not list((secret_bundle / "tables" / "secrets").iterdir())
    assert load_manifest(secret_bundle).secrets == {}


# --- Tokens and passwords -------------------------------------------------------------------------

JOB = """INSERT INTO jobs (id, creation_time, job_name, params, workspace, status, retry_count,
    last_update_time, token_hash) VALUES ('j', 1, 'job', '{}', 'default', 0, 0, 1, 'tokenhash')"""
USERS = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT)",
    "INSERT INTO users VALUES (1, 'ann', 'pbkdf2-hash-of-ann')",
)


@pytest.mark.parametrize("include_secrets", [False, True])
@pytest.mark.parametrize("target_url", ["sqlite", "postgresql"], indirect=True)
def test_jobs_and_another_programs_passwords_never_move(target_url, tmp_path, include_secrets):
    source, bundle = target_url, tmp_path / "bundle"
    execute(source, JOB, *USERS)
    result = mlporter.export(source, str(bundle), include_secrets=include_secrets)
    left = {item.id: (item.reason, item.expected) for item in result.left_out.first}
    assert left.pop("jobs") == ("transient", True)
    # No sign of MLflow's authentication: another program's table.
    assert left == {"users": ("foreign", True)}
    assert result.exit_code == ExitCode.OK
    assert load_manifest(bundle).secrets == {}
    for path in bundle.rglob("*"):
        assert not path.is_file() or b"tokenhash" not in path.read_bytes()
        assert not path.is_file() or b"pbkdf2" not in path.read_bytes()

    target = tmp_path / "target.db"
    url = sqlite_url(target)
    mlporter.import_(str(bundle), url, artifacts="none", include_secrets=include_secrets)
    # MLflow makes no such table in a new database: its authentication does.
    with closing(mlporter.open(url)) as registry:
        assert "users" not in registry.tables
