"""Users and permissions go by name. MLflow's own authentication made them, and is asked after."""

from __future__ import annotations

import shutil
import warnings
from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.errors import ConflictError, ExitCode, RevisionError, UsageError
from mlporter.plan.matching.users import decide_users
from tests.support.databases import dump, execute, rows
from tests.support.engines import build_once
from tests.support.mlflow_session import mlflow_at, sqlite_url

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("flask_wtf", reason="MLflow's authentication needs mlflow[auth]")

from tests.support.users import PASSWORD, add_users, authentication, hashes, may

BOBS = {
    ("bob", "MANAGE", "experiment", "shared"),
    ("bob", "EDIT", "scorer", "shared/a%2Fb"),
    ("bob", "READ", "registered_model", "m"),
}
ALL = {*BOBS, ("ann", "USE", "workspace", "*"), ("bob", "USE", "workspace", "*")}
STALE = "role_permissions", "unmapped"


def make_registry(url: str, experiment: str) -> str:
    """An experiment and a registered model; returns the experiment's id."""
    with mlflow_at(url):
        import mlflow  # noqa: PLC0415 -- seconds

        mlflow.MlflowClient().create_registered_model("m")
        id_: str = mlflow.create_experiment(experiment)
        return id_


def grant(auth: str, experiment: str) -> None:
    """Two users in a role, and one with rights of his own, one of them on what is not there."""
    with authentication(auth) as store:
        store.create_experiment_permission(experiment, "bob", "MANAGE")
        store.create_experiment_permission("99", "bob", "MANAGE")
        store.create_scorer_permission(experiment, "a/b", "bob", "EDIT")
        store.create_registered_model_permission("m", "bob", "READ")
        role = store.create_role("members", "default", "who may come in")
        store.add_role_permission(role.id, "workspace", "*", "USE")
        for name in ("ann", "bob"):
            store.assign_role_to_user(store.get_user(name).id, role.id)


@pytest.fixture(scope="session")
def old_template(shared_folder: Path, mlflow_sqlite_template: Path) -> Path:
    """A registry with its users in it; made once."""

    def build(folder: Path) -> None:
        url = sqlite_url(shutil.copy(mlflow_sqlite_template, folder / "old.db"))
        add_users(url, "admin", "bob", "ann")
        grant(url, make_registry(url, "shared"))

    return build_once(shared_folder / "users", build) / "old.db"


@pytest.fixture
def old(old_template: Path, tmp_path: Path) -> str:
    """The same, for one test."""
    return sqlite_url(shutil.copy(old_template, tmp_path / "old.db"))


def use(url: str) -> None:
    """Let the same numbers be somebody and something else."""
    add_users(url, "admin", "zoe")
    make_registry(url, "salaries")


@pytest.fixture(scope="session")
def used_template(shared_folder: Path, mlflow_sqlite_template: Path) -> Path:
    """A registry in SQLite in which they are; made once."""

    def build(folder: Path) -> None:
        use(sqlite_url(shutil.copy(mlflow_sqlite_template, folder / "used.db")))

    return build_once(shared_folder / "registry-with-zoe", build) / "used.db"


@pytest.fixture
def in_use(target_url: str, used_template: Path) -> str:
    """A registry in which the same numbers are somebody and something else."""
    if target_url.startswith("sqlite"):
        shutil.copy(used_template, target_url.removeprefix("sqlite:///"))
    else:
        use(target_url)
    return target_url


ENGINES = pytest.mark.parametrize("target_url", ["sqlite", "postgresql", "mysql"], indirect=True)
SQLITE = pytest.mark.parametrize("target_url", ["sqlite"], indirect=True)


def left(result: mlporter.Result) -> set[tuple[str, str]]:
    return {(item.kind, item.reason) for item in result.left_out.first if not item.expected}


@ENGINES
def test_everybody_may_do_there_what_they_may_here_and_nobody_else(old, in_use):
    planned = mlporter.copy(old, in_use, artifacts="none", include_secrets=True, dry_run=True)
    result = mlporter.copy(old, in_use, artifacts="none", include_secrets=True)

    assert may(in_use) == ALL
    assert left(result) == left(planned) == {STALE}
    assert "MANAGE on experiment 99" in next(
        item.id for item in result.left_out.first if item.kind == "role_permissions"
    )
    assert result.exit_code == ExitCode.INCOMPLETE
    assert result.tables == planned.tables
    with authentication(in_use) as store:
        assert store.authenticate_user("bob", PASSWORD.format("bob"))
        assert store.authenticate_user("zoe", PASSWORD.format("zoe"))
        # What MLflow makes next has numbers of its own, and finds what it made for bob.
        store.create_user("new", PASSWORD.format("new"))
        ((shared,),) = rows(in_use, "SELECT experiment_id FROM experiments WHERE name = 'shared'")
        assert store.get_experiment_permission(str(shared), "bob").permission == "MANAGE"

    found = mlporter.diff(old, in_use, artifacts="none")
    tables = {"role_permissions", "roles", "user_role_assignments", "users"}
    only_here = {
        (d.table, *d.key.values())
        for d in found.differences
        if d.table in tables and d.sigil == "+"
    }
    assert only_here == {
        ("role_permissions", "default", "__user:bob__", "experiment", "99"),
    }
    assert found.tables["role_permissions"].same == 4

    again = mlporter.copy(old, in_use, artifacts="none", include_secrets=True)
    assert again.rows == 0
    users = {t.table: t for t in again.tables}
    assert (users["users"].already_there, users["role_permissions"].skipped) == (3, 1)


@SQLITE
@pytest.mark.parametrize("secrets", [True, False])
def test_through_a_bundle(old, in_use, tmp_path, secrets):
    bundle = str(tmp_path / "bundle")
    mlporter.export(old, bundle, include_secrets=True)
    result = mlporter.import_(bundle, in_use, artifacts="none", include_secrets=secrets)

    assert mlporter.verify(bundle).exit_code == ExitCode.OK
    assert may(in_use) == (ALL if secrets else set())
    assert (STALE in left(result)) is True


@SQLITE
def test_who_comes_without_a_password_is_left_out_by_name_and_who_is_there_is_not(old, in_use):
    add_users(in_use, "bob")
    before = hashes(in_use)

    result = mlporter.copy(old, in_use, artifacts="none")

    named = {item.id for item in result.left_out.first if item.kind == "users"}
    assert named == {"ann"}
    assert result.exit_code == ExitCode.INCOMPLETE
    assert may(in_use) == {*BOBS, ("bob", "USE", "workspace", "*")}
    assert hashes(in_use) == before


@SQLITE
def test_what_is_renamed_is_followed(old, in_use):
    result = mlporter.copy(
        old,
        in_use,
        artifacts="none",
        include_secrets=True,
        rename=("shared=common", "m=n"),
    )
    assert {r.new for r in result.renamed} >= {"common", "n"}
    assert may(in_use) == {
        ("bob", "MANAGE", "experiment", "common"),
        ("bob", "EDIT", "scorer", "common/a%2Fb"),
        ("bob", "READ", "registered_model", "n"),
        ("ann", "USE", "workspace", "*"),
        ("bob", "USE", "workspace", "*"),
    }


@SQLITE
def test_nobody_becomes_an_administrator_in_silence(old, in_use):
    add_users(in_use, "ann", admins=("ann",))
    before = dump(in_use)

    with pytest.raises(ConflictError, match="is_admin"):
        mlporter.copy(old, in_use, artifacts="none", include_secrets=True)
    assert dump(in_use) == before

    result = mlporter.copy(old, in_use, artifacts="none", include_secrets=True, on_conflict="skip")
    assert ("users", "conflict") in left(result)
    assert rows(in_use, "SELECT is_admin FROM users WHERE username = 'ann'") == [(1,)]


@SQLITE
def test_a_target_without_users_says_how_it_gets_them(old, target_url):
    result = mlporter.copy(old, target_url, artifacts="none", include_secrets=True)

    assert result.exit_code == ExitCode.INCOMPLETE
    assert any("mlflow.server.auth db upgrade" in i.detail for i in result.left_out.first)


def test_a_part_of_a_registry_comes_without_users(old, tmp_path):
    part = mlporter.Selection(experiments=("shared",))
    result = mlporter.export(old, str(tmp_path / "bundle"), selection=part, include_secrets=True)

    assert "users" not in {table.table for table in result.tables}
    assert ("users", "not-requested") in {(i.id, i.reason) for i in result.left_out.first}


# --- A database of their own ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def apart_template(shared_folder: Path, mlflow_sqlite_template: Path) -> Path:
    """A folder with a registry, and its users beside it; made once."""

    def build(folder: Path) -> None:
        registry = sqlite_url(shutil.copy(mlflow_sqlite_template, folder / "registry.db"))
        auth = sqlite_url(folder / "basic_auth.db")
        add_users(auth, "admin", "bob", "ann")
        grant(auth, make_registry(registry, "shared"))

    return build_once(shared_folder / "users-apart", build)


@pytest.fixture
def apart(tmp_path: Path, apart_template: Path) -> tuple[str, str]:
    """A registry, and its users elsewhere."""
    names = ("registry.db", "basic_auth.db")
    registry, auth = (shutil.copy(apart_template / name, tmp_path / name) for name in names)
    return sqlite_url(registry), sqlite_url(auth)


@SQLITE
def test_users_may_have_a_database_of_their_own_on_both_sides(apart, in_use, tmp_path):
    registry, auth = apart
    other = sqlite_url(tmp_path / "other_auth.db")
    add_users(other, "admin", "zoe")
    wish = {"auth": auth, "target_auth": other, "artifacts": "none", "include_secrets": True}
    before = hashes(in_use)

    planned = mlporter.copy(registry, in_use, dry_run=True, **wish)
    result = mlporter.copy(registry, in_use, **wish)

    assert may(other, in_use) == ALL
    assert hashes(in_use) == before
    assert result.tables == planned.tables
    assert any(auth in note for note in result.notes)
    both = {"auth": auth, "target_auth": other}
    found = mlporter.diff(registry, in_use, artifacts="none", **both)
    assert (found.tables["users"].same, found.tables["users"].only_right) == (3, 1)  # zoe
    here = [d for d in found.differences if d.table == "role_permissions" and d.sigil == "+"]
    assert all("99" in d.key.values() for d in here)  # a grant on what is not there
    counted = {table.name: table.rows for table in mlporter.inspect(registry, auth=auth).tables}
    assert counted["users"] == 3
    names = mlporter.show(registry, "users", columns=("username", "password_hash"), auth=auth)
    assert names.read_all().to_pydict() == {
        "username": ["admin", "ann", "bob"],
        "password_hash": [None] * 3,
    }


@SQLITE
def test_an_interrupted_copy_leaves_neither_database_changed(apart, in_use, tmp_path, monkeypatch):
    registry, auth = apart
    other = sqlite_url(tmp_path / "other_auth.db")
    add_users(other, "admin")
    before = dump(other), dump(in_use)
    monkeypatch.setattr(
        "mlporter.execute.database.reading_back.ReadingBack.read",
        lambda _: (_ for _ in ()).throw(KeyboardInterrupt),
    )

    with pytest.raises(KeyboardInterrupt):
        mlporter.copy(
            registry, in_use, auth=auth, target_auth=other, artifacts="none", include_secrets=True
        )
    assert (dump(other), dump(in_use)) == before


@SQLITE
def test_what_is_no_database_of_users_is_refused(apart, target_url):
    registry, auth = apart
    with pytest.raises(mlporter.errors.RefusedError, match="not a database of MLflow's users"):
        mlporter.copy(registry, target_url, auth=registry, artifacts="none")
    with pytest.raises(UsageError, match="the target itself"):
        mlporter.copy(registry, target_url, auth=auth, target_auth=target_url, artifacts="none")
    with pytest.raises(mlporter.errors.RefusedError) as refused:
        mlporter.inspect(auth)
    assert "--auth" in str(refused.value.hint)


# --- Older than roles -----------------------------------------------------------------------------

_MODEL = "INSERT INTO registered_model_permissions (id, name, user_id, permission) VALUES ({})"
LEGACY = (
    "INSERT INTO users (id, username, password_hash, is_admin) VALUES (1, 'admin', 'h', 1)",
    "INSERT INTO users (id, username, password_hash, is_admin) VALUES (2, 'bob', 'i', 0)",
    "INSERT INTO experiment_permissions VALUES (1, '1', 2, 'MANAGE')",
    "INSERT INTO experiment_permissions VALUES (2, '0', 2, 'NO_PERMISSIONS')",
    _MODEL.format("1, 'm', 2, 'READ'"),
    _MODEL.format("2, 'p', 2, 'EDIT'"),
    "INSERT INTO scorer_permissions VALUES (1, '1', 'a/b', 2, 'USE')",
    "INSERT INTO gateway_endpoint_permissions VALUES (1, 'e', 2, 'USE')",
    "INSERT INTO workspace_permissions VALUES ('default', 2, 'EDIT')",
    "INSERT INTO workspace_permissions VALUES ('default', 1, 'READ')",
)


def migrate(url: str, revision: str) -> None:
    """Let MLflow's own code bring users to a revision."""
    from mlflow.server.auth.db import utils  # noqa: PLC0415 -- seconds
    from sqlalchemy import create_engine  # noqa: PLC0415

    engine = create_engine(url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        utils.migrate(engine, revision)
    engine.dispose()


@pytest.mark.parametrize("revision", ["2ed73881770d", "c3d4e5f6a7b8", "e5f6a7b8c9d0"])
def test_older_permissions_read_as_mlflow_upgrades_them(mlflow_sqlite, tmp_path, revision):
    url = sqlite_url(mlflow_sqlite)
    make_registry(url, "shared")
    execute(
        url,
        "INSERT INTO registered_models (workspace, name) VALUES ('default', 'p')",
        "INSERT INTO registered_model_tags (workspace, name, key, value)"
        " VALUES ('default', 'p', 'mlflow.prompt.is_prompt', 'true')",
    )
    migrate(url, "2ed73881770d")
    execute(url, *LEGACY)
    migrate(url, revision)
    upgraded = sqlite_url(shutil.copy(mlflow_sqlite, tmp_path / "upgraded.db"))
    migrate(upgraded, "head")

    names = ("users", "roles", "role_permissions", "user_role_assignments")
    read = {
        place: {
            name: mlporter.show(place, name).read_all().drop_columns(
                ["password_hash"] if name == "users" else []
            ).to_pylist()
            for name in names
        }
        for place in (url, upgraded)
    }  # fmt: skip
    assert read[url] == read[upgraded]
    assert read[url]["role_permissions"]


@SQLITE
def test_a_right_that_was_taken_away_is_not_given_again_in_silence(old, in_use):
    wanted = {"artifacts": "none", "include_secrets": True}
    mlporter.sync(old, in_use, **wanted)
    with authentication(in_use) as store:
        store.delete_registered_model_permission("m", "bob")
        store.delete_user("ann")
    there = may(in_use)
    plan = mlporter.sync(old, in_use, **wanted, dry_run=True)
    done = mlporter.sync(old, in_use, **wanted)
    assert may(in_use) == there
    kept = {(a.unit, a.why) for a in done.actions.first if a.kind.value == "keep"}
    assert {unit for unit, _ in kept} >= {"users", "role_permissions", "user_role_assignments"}
    assert all("was removed at the target" in why for _, why in kept)
    assert plan.actions == done.actions

    again = mlporter.copy(old, in_use, **wanted)
    told = {(a.unit, a.id) for a in again.actions.first if "put back" in a.why}
    assert ("users", "ann") in told
    assert may(in_use) == ALL


@SQLITE
def test_what_users_differ_in_does_not_hold_up_a_sync(old, in_use):
    execute(in_use, "UPDATE users SET is_admin = 1 WHERE username = 'zoe'")
    execute(old, "UPDATE users SET username = 'zoe' WHERE username = 'ann'")
    done = mlporter.sync(old, in_use, artifacts="none")
    assert done.exit_code == ExitCode.INCOMPLETE
    assert ("users", "conflict") in left(done)
    assert rows(in_use, "SELECT count(*) FROM experiments WHERE name = 'shared'") == [(1,)]


@SQLITE
def test_roles_are_not_written_where_mlflow_has_none(old, target_url, tmp_path):
    older = sqlite_url(tmp_path / "older_auth.db")
    migrate(older, "2ed73881770d")
    with pytest.raises(RevisionError, match="older MLflow"):
        mlporter.copy(old, target_url, target_auth=older, artifacts="none")


# --- Decisions ------------------------------------------------------------------------------------


def decided(mine, there, **wish):
    wish = {"workspace": str, "resource": lambda *known: known[2], "stays": "", **wish}
    return decide_users(mine, there, **wish)


def test_another_permission_on_the_same_thing_is_a_conflict():
    row = {"workspace": "w", "role": "r", "resource_type": "prompt", "resource_pattern": "p"}
    mine = {"role_permissions": [{**row, "permission": "MANAGE"}]}
    there = {"role_permissions": [{**row, "permission": "READ"}]}

    assert [c.why for c in decided(mine, there).conflicts] == [
        "permission is 'MANAGE' at the source and 'READ' at the target"
    ]
    assert decided(mine, there, stays="it stays").skipped == {"role_permissions": 1}


def test_what_refers_to_nobody_is_left_out():
    hash_ = {"password_hash": "h", "is_admin": False}
    mine = {
        "users": [{"username": "ann", **hash_}],
        "roles": [
            {"workspace": "w", "name": name, "description": None}
            for name in ("__user:ann__", "__user:ghost__")
        ],
        "user_role_assignments": [
            {"username": user, "workspace": "w", "role": role}
            for user, role in (
                ("ann", "__user:ann__"),
                ("ghost", "__user:ann__"),
                ("ann", "__user:ghost__"),
                ("ann", "nowhere"),
            )
        ],
    }
    found = decided(mine, {})

    assert {table: len(rows) for table, rows in found.new.items()} == {
        "users": 1,
        "roles": 1,
        "role_permissions": 0,
        "user_role_assignments": 1,
    }
    assert found.skipped == {"roles": 1, "user_role_assignments": 3}


def test_another_programs_users_are_none_of_mlflows(mlflow_sqlite):
    url = sqlite_url(mlflow_sqlite)
    execute(
        url,
        "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT,"
        " is_admin BOOLEAN)",
        "INSERT INTO users VALUES (1, 'ann', 'a-planted-hash', 1)",
    )
    kinds = {table.name: table.kind for table in mlporter.inspect(url).tables}
    assert kinds.get("users", "unknown") == "unknown"


def test_values_that_do_not_fit_are_named_and_make_nobody_an_administrator(old, tmp_path):
    execute(
        old,
        "PRAGMA ignore_check_constraints = ON",
        "UPDATE users SET is_admin = 'yes' WHERE username = 'ann'",
        "UPDATE users SET username = CAST(x'ff' AS TEXT) WHERE username = 'bob'",
        "UPDATE role_permissions SET permission = CAST(x'fe' AS TEXT)"
        " WHERE id = (SELECT min(id) FROM role_permissions)",
        "UPDATE user_role_assignments SET role_id = 'word'"
        " WHERE id = (SELECT min(id) FROM user_role_assignments)",
    )
    result = mlporter.export(old, tmp_path / "bundle", include_secrets=True)
    assert result.exit_code == ExitCode.INCOMPLETE
    assert {("users", "wrong-type"), ("users", "unreadable")} <= left(result)
    assert {("role_permissions", "wrong-type"), ("user_role_assignments", "wrong-type")} <= left(
        result
    )
    with mlporter.open(tmp_path / "bundle") as bundle:
        names = [row["username"] for row in bundle.read("users").read_all().to_pylist()]
    assert names == ["admin"]
    assert mlporter.verify(tmp_path / "bundle").exit_code == 0
