"""MLflow's users, roles and permissions, made and asked for by MLflow's own authentication."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.support.databases import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "password-of-{}"


@contextmanager
def authentication(url: str) -> Iterator[Any]:
    """MLflow's own store of users in a database; its tables are made or upgraded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mlflow.server.auth.sqlalchemy_store import (  # noqa: PLC0415 -- may be missing
            SqlAlchemyStore,
        )

        if url.startswith("mysql"):
            _make_tables(url)
        store = SqlAlchemyStore()
        store.init_db(url)
        try:
            yield store
        finally:
            store.engine.dispose()


def add_users(url: str, *names: str, admins: tuple[str, ...] = ("admin",)) -> None:
    """Make users, in this order, so that their numbers are those of the order."""
    with authentication(url) as store:
        for name in names:
            store.create_user(name, PASSWORD.format(name), is_admin=name in admins)


def may(url: str, registry: str | None = None) -> set[tuple[str, ...]]:
    """Who may do what: user, permission, resource type, and the experiment's name or pattern."""
    names = {
        str(id_): name
        for id_, name in rows(registry or url, "SELECT experiment_id, name FROM experiments")
    }
    found = rows(
        url,
        "SELECT u.username, p.permission, p.resource_type, p.resource_pattern"
        " FROM role_permissions p JOIN user_role_assignments a ON a.role_id = p.role_id"
        " JOIN users u ON u.id = a.user_id",
    )
    said = set()
    for user, permission, kind, pattern in found:
        head, slash, rest = pattern.partition("/")
        shown = names.get(head, "?") + slash + rest if kind in {"experiment", "scorer"} else pattern
        said.add((user, permission, kind, pattern if pattern == "*" else shown))
    return said


def hashes(url: str) -> list[str]:
    """All password hashes."""
    return [hash_ for (hash_,) in rows(url, "SELECT password_hash FROM users ORDER BY id")]


def _make_tables(url: str) -> None:
    """Today's tables, where MLflow's migrations fail: MySQL takes a constraint's name once."""
    from mlflow.server.auth.db.models import Base  # noqa: PLC0415
    from sqlalchemy import create_engine, text  # noqa: PLC0415

    engine = create_engine(url)
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE IF NOT EXISTS alembic_version_auth (version_num VARCHAR(32))")
        )
        if not connection.execute(text("SELECT 1 FROM alembic_version_auth")).all():
            connection.execute(text("INSERT INTO alembic_version_auth VALUES ('f1a2b3c4d5e6')"))
    engine.dispose()
