"""One place has many spellings."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from mlporter.stores.addresses.address import parse_address
from mlporter.stores.addresses.same_place import is_same_place

SAME = [
    ("http://h", "http://h/"),
    ("http://h", "http://h:80"),
    ("https://H.example/", "HTTPS://h.example:443"),
    ("http://me:pw@h/mlflow", "http://h/mlflow/"),
    ("http://localhost:5000", "http://127.0.0.1:5000/"),
    ("http://[::1]:5000", "http://localhost:5000"),
    ("http://h:5000/#/experiments/1", "http://h:5000"),
    ("postgresql://me@h/db", "postgresql+psycopg2://me:pw@h:5432/db?sslmode=require"),
    ("postgres://me@localhost/db", "postgresql://me@127.0.0.1/db"),
    ("postgresql://me@/db?host=/tmp/s", "postgresql://me@/db?host=/tmp/s&application_name=x"),
    ("mysql://me@h/db", "mysql+pymysql://you:pw@h:3306/db"),
    ("databricks://a", "databricks://a"),
]
OTHERS = [
    ("http://h", "https://h"),
    ("http://h/a", "http://h/b"),
    ("http://h:5000", "http://h:5001"),
    ("postgresql://me@h/a", "postgresql://me@h/b"),
    ("postgresql://me@h/a", "postgresql://you@h/a"),
    ("postgresql://me@h/a", "postgresql://me@h/a?options=-csearch_path%3Dx"),
    ("postgresql://me@h/a", "mysql://me@h/a"),
    ("mysql://me@h/a", "mysql://me@h:3307/a"),
    ("databricks://a", "databricks://b"),
    ("postgresql://me@h:port/a", "postgresql://me@h:5432/a"),
    ("postgresql://me@[h/a", "postgresql://me@h/a"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_place(one, other):
    assert is_same_place(parse_address(one), parse_address(other))


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_two_places(one, other):
    assert not is_same_place(parse_address(one), parse_address(other))


def test_a_file_by_any_path_is_one():
    Path("a").mkdir()
    Path("a/m.db").touch()
    os.link("a/m.db", "linked.db")
    Path("soft.db").symlink_to("a/m.db")
    one = parse_address("sqlite:///a/m.db")
    for other in (f"sqlite:///{Path('a/m.db').absolute()}", "sqlite:///linked.db",
                  "sqlite:///soft.db", "sqlite:///a/../a/m.db"):  # fmt: skip
        assert is_same_place(one, parse_address(other))
    assert not is_same_place(one, parse_address("sqlite:///none.db"))


@pytest.mark.parametrize(("one", "other"), [("http://h", "http://h:80/"), *SAME[7:8], *SAME[10:11]])
def test_a_place_is_not_copied_onto_itself(cli, one, other):
    done = cli("copy", one, other, "--artifacts", "none", "--run", "a" * 32)
    assert done.code == 2
    assert "source and target are the same" in done.err


def test_the_way_round_works(cli, plain_sqlite):
    """What the hint says, with a folder in the place of DIR, makes the copy."""
    url = plain_sqlite.tracking_uri
    done = cli("copy", url, url, "--rename", "plain=copied", "--artifacts", "none", "--json")
    hint = done.json["error"]["hint"].replace(" DIR", " files")
    assert "--rename plain=copied" in hint
    for command in hint.partition(": ")[2].split(" && "):
        followed = cli(*shlex.split(command)[1:])
        assert followed.code == 0, (command, followed.err)
