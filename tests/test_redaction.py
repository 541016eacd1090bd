"""Passwords in addresses, escaped as they should be or not, are never shown."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlporter import redaction
from mlporter.errors import MlporterError, UsageError
from mlporter.redaction import needs_encoding, redact, redact_address, remember_password
from mlporter.stores.address import parse_address


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
