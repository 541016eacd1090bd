"""What people type in place of an address."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlporter.errors import MlporterError, UsageError
from mlporter.stores.addresses.address import AddressKind, parse_address


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("host:5000", "http://host:5000"),
        ("localhost:5000/mlflow", "http://localhost:5000/mlflow"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("[::1]:5000", "http://[::1]:5000"),
        ("me:s3cret@host:5000", "http://me:***@host:5000"),
        ("me:s3/cr@et@db:5432/x", "postgresql://me:***@db:5432/x"),
        ("http:host:5000", "http://host:5000"),
        ("http:/host", "http://host"),
        ("HTTPS:/host", "https://host"),
        ("postgresql:/me@host/db", "postgresql://me@host/db"),
        ("mysql+pymysql:me:s3cret@host/db", "mysql+pymysql://me:***@host/db"),
        ("sqlite:mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite:/srv/mlflow.db", "sqlite:////srv/mlflow.db"),
        ("sqlite://mlflow.db", "sqlite:///mlflow.db"),
        ("sqlite://srv/x/mlflow.db", "sqlite:///srv/x/mlflow.db"),
        ("new.db", "sqlite:///new.db"),
        ("data/new.sqlite3", "sqlite:///data/new.sqlite3"),
        ("runs:/abc/model", "--run"),
        ("models:/m/1", "--model"),
        ("hdfs://bucket/root", "mlporter rebuild hdfs://bucket/root TARGET"),
        ("http://host:port", "http://host:5000"),
        ("http://host:99999", "http://host:5000"),
        ("http:///x", "http://host:5000"),
    ],
)
def test_the_hint_is_what_was_meant(typed, meant):
    with pytest.raises(MlporterError) as refused:
        parse_address(typed)
    assert meant in str(refused.value.hint)
    said = f"{refused.value} {refused.value.hint}"
    assert not any(part in said for part in ("s3cret", "s3/cr", "cr@et"))


@pytest.mark.parametrize("name", ["backup", "b.2026-11-28", "a:b", "C:5", "x@y", "host:5000/"])
def test_a_folder_is_one_whatever_it_is_called(name):
    Path(name).mkdir(parents=True)
    assert parse_address(name).kind is AddressKind.BUNDLE


@pytest.mark.parametrize("margin", [" {}", "{} ", "{}\n", "\t{}\r\n"])
@pytest.mark.parametrize("address", ["http://host:5000", "sqlite:///mlflow.db", "backup"])
def test_white_space_around_an_address_is_of_the_clipboard(margin, address):
    assert parse_address(margin.format(address)).text == address


def database(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE t (a)")
        made.commit()


def test_a_file_that_is_a_database_says_its_address():
    database(Path("registry"))
    Path("text").write_text("no database")
    for typed, hint in (("registry", "sqlite:///registry"), ("text", "a folder, a database")):
        with pytest.raises(UsageError) as refused:
            parse_address(typed)
        assert hint in str(refused.value.hint)


def test_a_folder_that_holds_places_names_them(cli):
    database(Path("project/mlflow.db"))
    run = Path("project/mlruns/1/" + "a" * 32)
    run.mkdir(parents=True)
    (run / "meta.yaml").write_text("run_id: " + "a" * 32)
    for words in (
        ("inspect", "project"),
        ("export", "project", "b"),
        ("copy", "project", "sqlite:///x.db", "--artifacts", "none"),
        ("verify", "project"),
        ("unpack", "project", "out"),
        ("diff", "project", "project"),
        ("inspect", "sqlite:///project"),
        ("inspect", f"file://{Path('project').absolute()}"),
        ("import", "project", "sqlite:///x.db", "--artifacts", "none"),
        ("copy", "sqlite:///project/mlflow.db", "project"),
    ):
        done = cli(*words, "--json")
        hint = done.json["error"]["hint"]
        assert "sqlite:///" in hint, words
        assert "project/mlflow.db" in hint, words
        assert "project/mlruns" in hint, words
    assert not Path("b").exists()


@pytest.mark.parametrize("name", ["localhost", "mlflow.example.com", "10.0.0.1", "me@host.example"])
def test_a_name_of_a_host_says_that_it_has_no_scheme(cli, name):
    done = cli("inspect", name, "--json")
    assert done.code == 6
    assert f"http://{name}" in done.json["error"]["hint"]


def test_a_folder_that_is_not_there_is_only_that(cli):
    done = cli("inspect", "nothing", "--json")
    assert (done.code, done.json["error"]["hint"]) == (6, None)
