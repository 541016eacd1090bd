"""Databases whose password is a variable of one side only."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.databases import rows

PASSWORD = "p@ss: w/rd%41#1"


@contextmanager
def guarded(postgres):
    """A role of PostgreSQL that needs its password, on a server that trusts all others."""
    role, rules = f"r{uuid4().hex}", postgres.folder / "pg_hba.conf"
    before = rules.read_text()
    postgres._run(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
    rules.write_text(f"local all {role} scram-sha-256\n{before}")
    postgres._run("SELECT pg_reload_conf()")
    try:
        yield role
    finally:
        rules.write_text(before)
        postgres._run("SELECT pg_reload_conf()")
        postgres._run(f"DROP OWNED BY {role}")


@pytest.fixture
def role(postgres):
    with guarded(postgres) as name:
        yield name


@pytest.fixture
def user(mariadb):
    name = f"u{uuid4().hex[:16]}"
    mariadb.run(
        f"CREATE USER {name}@localhost IDENTIFIED BY '{PASSWORD}'",
        f"GRANT ALL ON *.* TO {name}@localhost",
    )
    yield name
    mariadb.run(f"DROP USER {name}@localhost")


def set_variables(monkeypatch):
    """One side has its password; what is set for all opens nothing."""
    for name in ("PGPASSWORD", "MYSQL_PWD"):
        monkeypatch.setenv(f"DEV_{name}", PASSWORD)
        monkeypatch.setenv(f"PROD_{name}", PASSWORD)
        monkeypatch.setenv(name, "wrong-for-both")


def as_role(url, role):
    return url.replace("postgres:@", f"{role}@")


def check(cli, monkeypatch, source, target):
    """Read from one and write into the other, with the schema that it lacks; and the refusals."""
    # Not before the databases are made: MariaDB's programs read MYSQL_PWD, too.
    set_variables(monkeypatch)
    log = Path("log")
    said = []

    def run(*words):
        done = cli(*words, "-vv", "--log-file", log)
        said.extend((done.out, done.err))
        return done

    denied = run("inspect", source)
    assert denied.code == 6
    both = ("--source-env", "DEV_", "--target-env", "PROD_")
    copied = run("copy", source, target, "--artifacts", "none", *both)
    assert copied.code == 0, copied.err
    same = run("diff", source, target, "--artifacts", "none", *both)
    assert same.code == 0, same.err
    half = run("diff", source, target, "--artifacts", "none", "--source-env", "DEV_")
    assert half.code == 6
    for text in (*said, log.read_text()):
        assert PASSWORD not in text
        assert "w/rd" not in text


def test_postgresql(cli, monkeypatch, role, mlflow_postgres_url, empty_postgres_url):
    check(
        cli,
        monkeypatch,
        as_role(mlflow_postgres_url, role),
        as_role(empty_postgres_url, role),
    )
    assert rows(empty_postgres_url, "SELECT count(*) FROM alembic_version") == [(1,)]


def test_mysql(cli, monkeypatch, user, mlflow_mysql_url, empty_mysql_url):
    as_user = [url.replace("root@", f"{user}@") for url in (mlflow_mysql_url, empty_mysql_url)]
    check(cli, monkeypatch, *as_user)
    assert rows(empty_mysql_url, "SELECT count(*) FROM alembic_version") == [(1,)]


def test_everything_but_the_scheme_may_be_a_variable(cli, monkeypatch, mlflow_postgres_url):
    place, _, query = mlflow_postgres_url.partition("?")
    monkeypatch.setenv("DEV_PGHOST", query.removeprefix("host="))
    monkeypatch.setenv("DEV_PGDATABASE", place.rpartition("/")[2])
    monkeypatch.setenv("DEV_PGUSER", "postgres")
    monkeypatch.setenv("PGDATABASE", "of-another")
    done = cli("inspect", "postgresql://", "--source-env", "DEV_")
    assert done.code == 0, done.err


def test_a_password_for_all_works_without_a_prefix(cli, monkeypatch, user, mlflow_mysql_url):
    monkeypatch.setenv("MYSQL_PWD", PASSWORD)
    assert cli("inspect", mlflow_mysql_url.replace("root@", f"{user}@")).code == 0
