"""Passwords in addresses, escaped as they should be or not, are never shown."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter import redaction
from mlporter.errors import MlporterError, UsageError
from mlporter.redaction import (
    has_password,
    needs_encoding,
    redact,
    redact_address,
    redact_argument,
    remember_password,
)
from mlporter.stores.addresses.address import parse_address
from mlporter.stores.addresses.environment import environment_of


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(redaction, "_remembered", {})


# Words that no address and no message holds, so that finding one is a leak.
WORDS = st.text("QXZ0123456789", min_size=5, max_size=9).map(lambda text: f"Q{text}Z")
PASSWORDS = st.lists(WORDS, min_size=1, max_size=4).flatmap(
    lambda words: st.lists(
        st.sampled_from(["@", "/", "#", ":", "%", "?", "%4", "://", "@/"]),
        min_size=len(words),
        max_size=len(words),
    ).map(lambda signs: (words, "".join(map("".join, zip(words, signs, strict=True))) + "QendZ"))
)
SCHEMES = st.sampled_from(["postgresql", "postgresql+psycopg2", "mysql", "mysql+pymysql", "https"])


@given(SCHEMES, PASSWORDS, st.sampled_from(["me", "me@corp.example", "m%40e"]))
def test_no_part_of_any_password_is_shown(scheme, made, user):
    words, password = made
    redaction._remembered.clear()
    address = f"{scheme}://{user}:{password}@db.example:5432/mlflow"
    try:
        said = f"{parse_address(address)!r} {parse_address(address)}"
    except MlporterError as error:
        said = f"{error} {error.hint} {error.subject}"
    for text in (said, redact_address(address), redact(address)):
        assert not [word for word in (*words, "QendZ") if word in text], text


@given(SCHEMES, PASSWORDS)
def test_an_encoded_password_is_accepted_and_hidden(scheme, made):
    words, password = made
    redaction._remembered.clear()
    address = f"{scheme}://me:{quote(password, safe='')}@db.example:5432/mlflow?options=a@b"
    assert not needs_encoding(address)
    shown = str(parse_address(address))
    assert not [word for word in words if word in shown or word in redact(f"failed: {password}")]


@pytest.mark.parametrize("sign", ["@", "/", "#", "?", "%", " "])
def test_what_must_be_encoded_is_refused_with_how(sign):
    with pytest.raises(UsageError) as refused:
        parse_address(f"postgresql://me:secret{sign}word99@db/mlflow")
    assert quote(sign, safe="") in str(refused.value.hint)
    assert "word99" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://host:5000/path@alias",
        "s3://bucket/repo@latest",
        "postgresql+psycopg2://postgres:@/db?host=/tmp/a@b",
        "postgresql://me@host/db",
        "postgresql://host:5432/db",
        "postgresql://host:5432/db?options=a@b",
        "https://me:pass@host/prefix",
        "https://me:pass@host/prefix?x=a@b",
        "sqlite:////srv/a@b:c/mlflow.db",
        "postgresql://me:pass@[::1]:5432/db",
    ],
)
def test_ordinary_addresses_need_no_encoding(address):
    assert not needs_encoding(address)


@pytest.mark.parametrize("password", ["mlflow", "password", "abc"])
def test_words_stay_in_messages_though_they_are_somebody_s_password(password):
    remember_password(f"postgresql://{password}:{password}@host/db")
    assert redact(f"{password} of host") == f"{password} of host"


def test_a_password_with_spaces_and_quotes_is_hidden_too():
    address = """postgresql://me:it's "my <secret> word"@host/db"""
    assert redact_address(address) == "postgresql://me:***@host/db"
    with pytest.raises(UsageError) as refused:
        parse_address(address)
    assert "secret" not in f"{refused.value}{refused.value.hint}"


@pytest.mark.parametrize("password", ["Qp@ss/w0rdZ", "Qa b'c\"dZ", "Q1/2@3Z", "1/Q@Z"])
def test_no_output_of_the_command_line_shows_it(password, cli, tmp_path):
    address, log = f"postgresql://me:{password}@localhost:1/mlflow", tmp_path / "log"
    for words in (
        ("export", address, tmp_path / "b"),
        ("copy", address, "sqlite:///x.db", "--json"),
        ("diff", "sqlite:///x.db", address),
        ("inspect", address),
        ("show", address, "runs"),
        ("doctor", address),
        ("import", tmp_path, address),
        ("relocate", address, "--map-uri", "a=b"),
    ):
        done = cli(*words, "-vv", "--log-file", log)
        assert done.code != 0
        for text in (done.out, done.err, log.read_text()):
            assert password not in text
            assert not any(len(p) > 2 and p in text for p in password.replace("@", "/").split("/"))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me@host/db?password=Q1sec",
        "postgresql://me@host/db?sslmode=require&sslpassword=Q1sec&x=1",
        "postgresql://me@host/db?password=Q1sec#Q2&x=1",
        "postgresql://me@host/db?password=Q1sec'Q2 Q3\"",
        "postgresql://host/db?user=me&password=Q1sec%26Q2",
        "mysql://me@host/db?ssl_key_password=Q1sec",
        "https://host/x?token=Q1sec",
        "https://Q1sec-that-is-long-enough@host/x",
        "s3://key:Q1sec/Q2+Q3@bucket/x",
        "wasbs://c@account.blob.core.windows.net/x?sig=Q1sec%2F",
    ],
)
def test_secrets_anywhere_in_an_address_are_hidden(address):
    assert has_password(address)
    assert "Q1sec" not in redact_address(address)
    for part in ("Q2", "Q3"):
        assert part not in redact_address(address)
    with contextlib.suppress(MlporterError):
        assert "Q1sec" not in f"{parse_address(address)!r}"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me@host:5432/db?sslmode=require&options=-csearch_path%3Dml",
        "https://host/prefix",
        "http://me@host/x",
        "sqlite:////srv/a@b:c/mlflow.db",
        "s3://bucket/repo@latest",
        "backup",
    ],
)
def test_what_is_no_secret_stays(address):
    assert not has_password(address)
    assert redact_address(address) == address


@pytest.mark.parametrize(
    "said",
    [
        "connection failed: host=h user=u password='Q1 Q2' dbname=d",
        'connection failed: password="Q1 Q2" dbname=d',
        r"password='Q1\'Q2' dbname=d",
        "password=Q1Q2 dbname=d",
    ],
)
def test_a_password_that_a_driver_quotes_is_hidden_whole(said):
    text = redact(said)
    assert "Q1" not in text
    assert "Q2" not in text
    assert text.endswith("dbname=d")


def test_a_password_in_a_parameter_is_hidden_where_it_is_decoded():
    remember_password("postgresql://me@host/db?password=Q1%2FQ2%26Q3")
    assert redact("refused Q1/Q2&Q3") == "refused ***"


def test_no_option_of_the_command_line_shows_its_secrets(cli, plain_sqlite, tmp_path, monkeypatch):
    """Addresses of users, roots and maps of URIs, and variables of one side."""
    url, log = plain_sqlite.tracking_uri, tmp_path / "log"
    monkeypatch.setenv("DEV_PGPASSWORD", "s3cret-w-of-dev")
    users = "postgresql://me:s3cret-w@localhost:1/users?sslpassword=s3cret-w"
    root = "s3://key:s3cret-w@bucket/x"
    env = ("--source-env", "DEV_")
    for words in (
        ("inspect", url, "--auth", users, *env),
        ("show", url, "runs", "--auth", users, *env),
        ("export", url, "b", "--auth", users, *env),
        ("copy", url, "sqlite:///x.db", "--target-auth", users, "--artifacts", "none", *env),
        ("copy", url, "sqlite:///x.db", "--artifact-root", root, "-n", "--json", *env),
        ("relocate", url, "--map-uri", f"/x={root}", *env),
        ("rebuild", root, "sqlite:///x.db", *env),
        ("inspect", "postgresql://localhost:1/db", *env),
        ("inspect", "postgresql://localhost:1/db?password=s3cret-w", *env),
        ("inspect", "me:s3cret-w@localhost:1"),
        ("inspect", "https:me:s3cret-w@localhost:1"),
    ):
        done = cli(*words, "-vv", "--log-file", log)
        for text in (done.out, done.err, log.read_text()):
            assert "s3cret-w" not in text, words


@pytest.mark.parametrize(
    "argument",
    [
        "me:s3cret-w@host:5000",
        "http:me:s3cret-w@host",
        "https:/me:s3/cret-w@host/x",
        "--auth=me:s3cret-w@host/db",
        "--auth=postgresql://me:s3@cret/w@host/db",
        "--map-uri=/x=s3://key:s3cret-w@bucket",
        "s3://key:s3cret-w@bucket=/x",
    ],
)
def test_half_an_address_on_the_command_line_is_hidden(argument):
    shown = redact_argument(argument)
    assert not any(part in shown for part in ("s3cret", "cret-w", "s3/", "cret/"))
    assert "host" in shown or "bucket" in shown


@pytest.mark.parametrize(
    "argument", ["--experiment", "a:b", "me@host", "--rename=a=b@c", "x@latest"]
)
def test_other_arguments_stay(argument):
    assert redact_argument(argument) == argument


def test_secrets_of_the_process_are_hidden_too(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken-of-all")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws/s3cret")
    environment_of("")
    assert redact("it said t0ken-of-all, aws/s3cret") == "it said ***, ***"
