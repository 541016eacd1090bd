import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from mlporter.cli.render.text import (
    cut_middle,
    human_bytes,
    human_seconds,
    iso_time,
    plural,
    visible,
)
from mlporter.redaction import hide_passwords, redact


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
        (5 * 10**15, "5.0 PB"),
        (10**19, "10000.0 PB"),
    ],
)
def test_bytes(number, text):
    assert human_bytes(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 00 s"),
        (125.2, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (12_000, "3 h 20 min"),
    ],
)
def test_seconds(seconds, text):
    assert human_seconds(seconds) == text


def test_plural():
    assert plural(1, "file") == "1 file"
    assert plural(2000, "row or file", "rows or files") == "2,000 rows or files"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 漢字 👩‍🔬", "plain ü 漢字 👩‍🔬"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("one\ntwo\ttabs", "one\\ntwo\\ttabs"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("no\xa0break", "no\xa0break"),
        ("\udc80", "\\udc80"),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


@given(st.text())
def test_visible_is_one_harmless_line(text):
    shown = visible(text)

    assert len(shown.splitlines()) <= 1
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in shown)


PASSWORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\"'<>", exclude_categories=("Z", "C")),
    min_size=9,
    max_size=20,
).filter(lambda password: not password[0].isdigit())


@given(PASSWORDS, st.sampled_from(["postgresql", "mysql+pymysql", "https", "s3"]))
def test_no_password_of_a_url_is_shown(password, scheme):
    text = f"cannot reach {scheme}://user:{password}@host:5432/db?sslmode=require, sorry"

    assert password not in redact(text)
    assert password not in hide_passwords(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:5000/#/models/m@champion",
        "models:/m@champion",
        "sqlite:////srv/mlflow.db",
        "postgresql://user@host/db",
        "max_tokens: 100 → 200",
        "me@example.com",
    ],
)
def test_values_without_passwords_stay(text):
    assert hide_passwords(text) == text


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("short", 5, "short"),
        ("fraud-detector-v2-final", 12, "fraud-…final"),
        ("abcdef", 3, "a…f"),
        ("abcdef", 2, "…"),
        ("\u6a21" * 6, 7, "\u6a21…\u6a21"),
    ],
)
def test_a_long_name_loses_its_middle(text, width, cut):
    assert cut_middle(text, width) == cut
    assert cell_len(cut_middle(text, width)) <= width


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("start_time", 1_700_000_000_000, "2023-11-14T22:13:20Z"),
        ("timestamp", 1, "1970-01-01T00:00:00.001Z"),
        ("last_updated_timestamp_ms", -1, "1969-12-31T23:59:59.999Z"),
        ("start_time_unix_nano", 1_700_000_000_000_000_001, "2023-11-14T22:13:20.000000001Z"),
        ("rmse (timestamp)", 0, "1970-01-01T00:00:00Z"),
        ("execution_time_ms", 5, None),
        ("params.start_time", 5, None),
        ("metrics.time", 5, None),
        ("version", 5, None),
        ("start_time", "5", None),
        ("start_time", 10**18, None),
        ("start_time", True, None),
    ],
)
def test_times(name, value, shown):
    assert iso_time(name, value) == shown
