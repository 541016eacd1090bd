"""No secret shows anywhere: neither its plain value nor the encrypted one."""

import base64
import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.databases import execute, rows
from tests.support.mlflow_session import sqlite_url
from tests.support.rich_rest import GATEWAY_SECRET, WEBHOOK_SECRET


def spellings(value):
    """The ways in which bytes come out of programs."""
    raw = bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
    return {raw, raw.hex().encode(), base64.b64encode(raw), repr(raw)[2:-1].encode()}


@pytest.fixture
def secrets(rich_sqlite):
    """Everything that must not be seen, spelt in every way."""
    stored = [
        value
        for sql in (
            "SELECT secret FROM webhooks WHERE secret IS NOT NULL",
            "SELECT encrypted_value FROM secrets",
            "SELECT wrapped_dek FROM secrets",
        )
        for (value,) in rows(rich_sqlite.tracking_uri, sql)
    ]
    assert len(stored) == 3
    return {s for value in (GATEWAY_SECRET, WEBHOOK_SECRET, *stored) for s in spellings(value)}


MEDDLE = """CREATE TRIGGER meddle AFTER INSERT ON {table}
    BEGIN UPDATE {table} SET {column} = 'other' WHERE {column} IS NOT NULL; END"""


def test_no_secret_is_ever_shown(mlporter, rich_sqlite, mlflow_sqlite, tmp_path, secrets):
    url, log = rich_sqlite.tracking_uri, ("--log-file", "all.log", "-vv", "--json")
    root = ("--artifact-root", "files")
    # What differs is refused, and would be shown if it were no secret.
    meddled = [tmp_path / name for name in ("webhooks.db", "secrets.db")]
    for path, (table, column) in zip(
        meddled, (("webhooks", "secret"), ("secrets", "encrypted_value")), strict=True
    ):
        path.write_bytes(mlflow_sqlite.read_bytes())
        execute(sqlite_url(path), MEDDLE.format(table=table, column=column))
    commands = [
        (3, "export", url, "with", "--include-secrets"),
        (3, "export", url, "without"),
        (0, "import", "with", "sqlite:///with.db", *root, "--include-secrets"),
        (3, "import", "with", "sqlite:///without.db", *root),
        (70, "import", "with", sqlite_url(meddled[0]), *root, "--include-secrets"),
        (70, "import", "with", sqlite_url(meddled[1]), *root, "--include-secrets"),
        (3, "copy", url, "sqlite:///copy.db", *root, "--include-secrets"),
        (0, "diff", "with", "sqlite:///without.db"),
        (1, "diff", "with", "sqlite:///without.db", "--strict"),
        (0, "verify", "with", "--against", url),
        (0, "inspect", "with"),
        (2, "show", "with", "secrets"),
        (0, "show", "with", "webhooks"),
        (0, "show", url, "model_definitions"),
    ]

    said = []
    for code, *words in commands:
        finished = mlporter(*words, *log)
        assert finished.code == code, (words, finished.out, finished.err)
        said += [finished.out, finished.err]

    told = [text.encode() for text in said]
    told += [path.read_bytes() for path in Path().glob("*.log")]
    for name in ("manifest.yaml", "experiments.yaml", "models.yaml", "SHA256SUMS"):
        told += [Path("with", name).read_bytes(), Path("without", name).read_bytes()]
    parts = list(Path("without").rglob("*.parquet"))
    parts += [p for p in Path("with").rglob("*.parquet") if stat.S_IMODE(p.stat().st_mode) & 0o077]
    told += [repr(pq.read_table(path).to_pylist()).encode() for path in parts]
    for secret in secrets:
        assert not any(secret in text for text in told)


def test_what_is_carried_is_counted_and_nothing_is_said_to_be_left_out(mlporter, rich_sqlite):
    finished = mlporter("export", rich_sqlite.tracking_uri, "with", "--include-secrets", "--json")

    left = finished.json["left_out"]["first"]
    assert {item["reason"] for item in left if not item["expected"]} == {"missing"}
    carried = {table["table"]: table["carried"] for table in finished.json["tables"]}
    assert carried["secrets"] == 1
