"""No secret shows anywhere: neither its plain value nor the encrypted one."""

import base64
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.databases import execute, rows
from tests.support.engines import build_once
from tests.support.mlflow_session import sqlite_url
from tests.support.plain_registry import from_json, to_json
from tests.support.rich_registry import copy_with_artifacts
from tests.support.rich_rest import GATEWAY_SECRET, WEBHOOK_SECRET


def spellings(value):
    """The ways in which bytes come out of programs."""
    raw = bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
    return {raw, raw.hex().encode(), base64.b64encode(raw), repr(raw)[2:-1].encode()}


_HELD = ("webhooks", "webhook_events", "secrets", "model_definitions")


@pytest.fixture(scope="session")
def lean_template(shared_folder, rich_sqlite_template, plain_sqlite_template):
    """The plain registry, with the secrets of the rich one. Do not touch."""

    def build(folder):
        plain = copy_with_artifacts(plain_sqlite_template, folder)
        statements = [f"INSERT INTO {t} SELECT * FROM rich.{t}" for t in _HELD]
        attach = f"ATTACH '{rich_sqlite_template.database_path}' AS rich"
        with closing(sqlite3.connect(plain.database_path)) as opened, opened:
            opened.execute(attach)
            for statement in statements:
                opened.execute(statement)
        (folder / "plain.json").write_text(to_json(plain), encoding="utf-8")

    folder = build_once(shared_folder / "lean", build)
    return from_json((folder / "plain.json").read_text(encoding="utf-8"))


@pytest.fixture
def lean(lean_template, tmp_path):
    """A small registry with secrets."""
    return copy_with_artifacts(lean_template, tmp_path / "lean")


@pytest.fixture
def secrets(lean):
    """Everything that must not be seen, spelt in every way."""
    stored = [
        value
        for sql in (
            "SELECT secret FROM webhooks WHERE secret IS NOT NULL",
            "SELECT encrypted_value FROM secrets",
            "SELECT wrapped_dek FROM secrets",
        )
        for (value,) in rows(lean.tracking_uri, sql)
    ]
    assert len(stored) == 3
    return {s for value in (GATEWAY_SECRET, WEBHOOK_SECRET, *stored) for s in spellings(value)}


MEDDLE = """CREATE TRIGGER meddle AFTER INSERT ON {table}
    BEGIN UPDATE {table} SET {column} = 'other' WHERE {column} IS NOT NULL; END"""


def test_no_secret_is_ever_shown(mlporter, lean, mlflow_sqlite, tmp_path, secrets):
    url, log = lean.tracking_uri, ("--log-file", "all.log", "-vv", "--json")
    root = ("--artifact-root", "files")
    # What differs is refused, and would be shown if it were no secret.
    meddled = [tmp_path / name for name in ("webhooks.db", "secrets.db")]
    for path, (table, column) in zip(
        meddled, (("webhooks", "secret"), ("secrets", "encrypted_value")), strict=True
    ):
        path.write_bytes(mlflow_sqlite.read_bytes())
        execute(sqlite_url(path), MEDDLE.format(table=table, column=column))
    commands = [
        (0, "export", url, "with", "--include-secrets"),
        (3, "export", url, "without"),
        (0, "import", "with", "sqlite:///with.db", *root, "--include-secrets"),
        (3, "import", "with", "sqlite:///without.db", *root),
        (70, "import", "with", sqlite_url(meddled[0]), *root, "--include-secrets"),
        (70, "import", "with", sqlite_url(meddled[1]), *root, "--include-secrets"),
        (0, "copy", url, "sqlite:///copy.db", *root, "--include-secrets"),
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
    carried = {table["table"]: table["copied"] for table in finished.json["tables"]}
    assert carried["secrets"] == 1


# --- Conflicts, plans and users -------------------------------------------------------------------

_HASH = "scrypt:32768:8:1$planted${}-hash"
_USERS = (
    "CREATE TABLE alembic_version_auth (version_num VARCHAR(32))",
    "INSERT INTO alembic_version_auth VALUES ('f1a2b3c4d5e6')",
    (
        "CREATE TABLE users (id INTEGER PRIMARY KEY, username VARCHAR(255) UNIQUE,"
        " password_hash VARCHAR(255), is_admin BOOLEAN)"
    ),
    (
        "CREATE TABLE roles (id INTEGER PRIMARY KEY, name VARCHAR(255), workspace VARCHAR(63),"
        " description VARCHAR(1024))"
    ),
    (
        "CREATE TABLE role_permissions (id INTEGER PRIMARY KEY, role_id INTEGER,"
        " resource_type VARCHAR(64), resource_pattern VARCHAR(255), permission VARCHAR(255))"
    ),
    "CREATE TABLE user_role_assignments (id INTEGER PRIMARY KEY, user_id INTEGER, role_id INTEGER)",
    "INSERT INTO users VALUES (1, 'ann', '{hash}', {admin})",
    "INSERT INTO users VALUES (2, 'of-{side}', '{hash}', 0)",
)
_OTHERS = (
    # What each side has, and the other has otherwise.
    (
        "UPDATE webhooks SET secret = '{planted}', url = 'https://u:{word}@{side}.example.com/'"
        " WHERE secret IS NOT NULL"
    ),
    "UPDATE secrets SET encrypted_value = x'{hex}', wrapped_dek = x'{hex}'",
    (
        "INSERT INTO jobs (id, creation_time, job_name, params, workspace, status, retry_count,"
        " last_update_time, token_hash) VALUES ('j', 1, 'job', '{{}}', 'default', 0, 0, 1,"
        " '{planted}')"
    ),
    "CREATE TABLE others (id INTEGER PRIMARY KEY, api_token TEXT, word TEXT)",
    "INSERT INTO others VALUES (1, '{planted}', '{side}')",
)


_RUN = "(SELECT min(run_uuid) FROM runs)"
_EXPERIMENT = "(SELECT max(experiment_id) FROM experiments)"
_URIS = (
    "UPDATE runs SET artifact_uri = 's3://u:{word}@b/' || run_uuid WHERE run_uuid = {run}",
    (
        "UPDATE experiments SET artifact_location = 's3://u:{word}@b/1'"
        " WHERE experiment_id = {experiment}"
    ),
)


def planted_in(url, side):
    """Plant secrets that are other ones on each side; returns how they are spelt."""
    planted, hash_ = f"planted-secret-{side}", _HASH.format(side)
    words = {
        "hash": hash_,
        "admin": int(side == "left"),
        "planted": planted,
        "hex": planted.encode().hex(),
        "side": side,
        "word": f"planted-word-{side}",
        "run": _RUN,
        "experiment": _EXPERIMENT,
    }
    guards = rows(url, "SELECT name FROM sqlite_master WHERE type = 'trigger'")
    execute(url, *(f'DROP TRIGGER "{name}"' for (name,) in guards))
    execute(url, *(sql.format(**words) for sql in (*_USERS, *_OTHERS, *_URIS)))
    return {*spellings(planted), *spellings(hash_), *spellings(words["word"])}


def test_no_secret_is_shown_by_any_verb_of_what_differs(mlporter, lean, mlflow_sqlite, tmp_path):
    left, right = lean.tracking_uri, sqlite_url(tmp_path / "right.db")
    (tmp_path / "right.db").write_bytes(lean.database_path.read_bytes())
    planted = planted_in(left, "left") | planted_in(right, "right")
    fresh, root = sqlite_url(mlflow_sqlite), ("--artifacts", "none")
    auth = sqlite_url(tmp_path / "auth.db")
    execute(auth, *(sql.format(hash=_HASH.format("left"), admin=0, side="x") for sql in _USERS))
    every = ("--include-secrets",)
    commands = [
        ("copy", left, right, *root),
        ("copy", left, right, *root, *every),
        ("copy", left, right, *root, *every, "-n"),
        ("copy", left, right, *root, *every, "-n", "--on-conflict", "skip"),
        ("copy", left, right, *root, *every, "-n", "--on-conflict", "rename"),
        ("copy", left, fresh, *root, *every, "-n", "--auth", auth),
        ("copy", left, auth, *root, *every),
        ("export", left, "with", *root, *every),
        ("export", left, "without", *root),
        ("import", "with", right, *root, *every),
        ("import", "with", right, *root, *every, "-n"),
        ("import", "with", fresh, *root, *every, "--target-auth", auth),
        ("diff", left, right),
        ("diff", left, right, "--strict"),
        ("diff", "with", right, "--strict"),
        ("verify", "with", "--against", right),
        ("inspect", left),
        ("inspect", "with"),
        ("inspect", right, "--auth", auth),
        *(("show", place, table) for place in (left, "with") for table in _SHOWN),
        ("show", left, "users", "--auth", auth),
    ]
    commands = [(*words, *how) for words in commands for how in ((), ("--json", "-vv"))]

    said = []
    for words in commands:
        finished = mlporter(*words, "--log-file", "all.log")
        said += [(words, finished.out.encode()), (words, finished.err.encode())]
    said.append((("the log",), Path("all.log").read_bytes()))

    assert any(b"is_admin" in text for _, text in said)
    shown = [(words, secret) for words, text in said for secret in planted if secret in text]
    assert shown == []


_SHOWN = ("users", "webhooks", "secrets", "jobs", "others", "model_definitions", "roles")


def test_no_secret_is_shown_or_kept_by_what_follows_promotes_and_mends(
    mlporter, lean, mlflow_sqlite, tmp_path, monkeypatch
):
    """Nor in what is remembered, in plan files and in receipts."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    left, right = lean.tracking_uri, sqlite_url(tmp_path / "right.db")
    (tmp_path / "right.db").write_bytes(lean.database_path.read_bytes())
    planted = planted_in(left, "left") | planted_in(right, "right")
    fresh, root = sqlite_url(mlflow_sqlite), ("--artifacts", "none")
    every, model = ("--include-secrets",), f"models:/{lean.model_name}"
    Path("transfer.yaml").write_text(
        f"kind: sync\nsource: {left}\ntarget: {right}\nartifacts: none\n"
    )
    to = ("--from", left, "--to", fresh, "--artifact-root", "files")
    commands = [
        ("sync", left, right, *root, *every, "-n", "--plan-out", "one.plan"),
        ("sync", left, right, *root, *every, "--ours", "--plan-out", "two.plan"),
        ("apply", "one.plan"),
        ("apply", "two.plan", "-n"),
        ("sync", left, right, *root, *every, "--ours", "--delete"),
        ("run", "transfer.yaml"),
        ("promote", f"{model}/1", *to, "-n"),
        ("promote", f"{model}/1", *to),
        ("promote", f"{model}/3", *to, "--alias", "champion"),
        ("history", model, "--at", fresh),
        ("relocate", right, "--map-uri", f"s3://u:planted-word-right@b={tmp_path}", "-n"),
        ("doctor", left),
        ("doctor", "postgresql://u:planted-secret-left@127.0.0.1:1/x"),
        ("export", left, "with", *every),
        ("unpack", "with", "unpacked"),
    ]
    commands = [(*words, *how) for words in commands for how in ((), ("--json", "-vv"))]

    codes: dict[str, set[int]] = {}
    said = []
    for words in commands:
        finished = mlporter(*words, "--log-file", "all.log")
        codes.setdefault(words[0], set()).add(finished.code)
        said += [(words, finished.out.encode()), (words, finished.err.encode())]
    kept = [*tmp_path.glob("state/**/*"), *Path().glob("*.plan"), Path("all.log")]
    kept += Path("files").rglob("*.json")
    said += [((str(path),), path.read_bytes()) for path in kept if path.is_file()]

    shown = [(words, secret) for words, text in said for secret in planted if secret in text]
    assert shown == []
    assert {2, 70}.isdisjoint(set().union(*codes.values())), codes
