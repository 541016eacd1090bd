"""Users and permissions in a database: numbers there, names here.

They are few, so that all of them are held in memory. An older MLflow had no roles: what each user
may do is then read as MLflow's own migration brings it over. The judge is `mlflow.server.auth`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa

from mlporter.catalogue import USER_TABLES
from mlporter.catalogue.tables.users import LEGACY_TABLES, PERSONAL
from mlporter.errors import LeftOut
from mlporter.stores.database.connection.connection import quoted
from mlporter.stores.rows.filters import rows_among
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlporter.catalogue.types import Table
    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.database.schema.reflection import ActualColumn
    from mlporter.stores.protocols import Among

    Row = dict[str, Any]

__all__ = ["UserRows", "has_users"]

_USER_COLUMNS = {"id", "username", "password_hash", "is_admin"}
_ROLE_TABLES = {"roles", "role_permissions", "user_role_assignments"}
_VERSION = "alembic_version_auth"

_BEFORE_ROLES = frozenset(
    {"", "8606fa83a998", "0965eb92f5f0", "a1b2c3d4e5f6", "2ed73881770d", "c3d4e5f6a7b8"}
)
"""Revisions at which MLflow reads the tables of `LEGACY_TABLES`; before 3.6 it noted none."""
_BEFORE_PROMPTS = _BEFORE_ROLES | {"e5f6a7b8c9d0"}
"""Revisions at which a prompt's permissions are those of a registered model."""

_NUMBERED = re.compile(r"__user_(\d+)__", re.ASCII)
_NAMED = re.compile(PERSONAL.format("(.*)"), re.DOTALL)

_RESOURCE_PERMISSIONS = frozenset({"READ", "USE", "EDIT", "MANAGE"})
_WORKSPACE_PERMISSIONS = {"READ": "USE", "USE": "USE", "EDIT": "USE", "MANAGE": "MANAGE"}
_EDITED = (
    "experiment",
    "registered_model",
    "scorer",
    "gateway_secret",
    "gateway_endpoint",
    "gateway_model_definition",
)
"""What who may edit a workspace may edit in it, as MLflow's migration has it."""


def has_users(actual: Mapping[str, tuple[ActualColumn, ...]]) -> bool:
    """Whether a database holds MLflow's users; other programs have a table of that name too."""
    columns = {column.name for column in actual.get("users", ())}
    signs = {_VERSION, "experiment_permissions"} & set(actual)
    return bool(signs) and columns >= _USER_COLUMNS


@dataclass
class _Found:
    """Rows by table, and what of them has no name to go by."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {t.name: [] for t in USER_TABLES})
    losses: list[LeftOut] = field(default_factory=list)

    def lose(self, table: str, id_: str, reason: str, detail: str, *, expected: bool) -> None:
        self.losses.append(LeftOut(table, id_, "", reason, detail, expected))


class UserRows:
    """Reads and writes `USER_TABLES` over a connection, whatever the numbers are there.

    Attributes:
        tables: What can be read.
        is_writable: Whether MLflow has roles there, so that rows can be written.
    """

    def __init__(
        self, actual: Mapping[str, tuple[ActualColumn, ...]], connection: Connection
    ) -> None:
        """Look how old they are; the database `has_users`."""
        self.tables = USER_TABLES
        self._odd: dict[tuple[str, str], LeftOut] = {}
        self._columns = {name: {c.name for c in columns} for name, columns in actual.items()}
        version = connection.rows(f"SELECT version_num FROM {_VERSION}") if (
            _VERSION in actual
        ) else []  # fmt: skip
        self._revision = str(version[0][0]) if version else ""
        self._has_roles = set(actual) >= _ROLE_TABLES
        self.is_writable = self._has_roles and self._revision not in _BEFORE_PROMPTS

    # --- Reading ------------------------------------------------------------------------------

    def count(self, connection: Connection, table: str) -> int:
        """Rows of a table."""
        return len(self._read(connection).rows[table])

    def read(
        self,
        connection: Connection,
        table: Table,
        columns: tuple[str, ...] | None = None,
        among: Among | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table, sorted by its key."""
        rows = self._read(connection).rows[table.name]
        rows.sort(key=lambda row: tuple(str(row[name]).encode() for name in table.key))
        batch = pa.RecordBatch.from_pylist(rows, schema=table.schema)
        batches = iter([batch] if rows else [])
        if among is not None:
            yield from rows_among(batches, columns, among)
            return
        for found in batches:
            yield found.select(list(columns)) if columns else found

    def losses(self, connection: Connection) -> Iterator[LeftOut]:
        """What has no name to go by, and what MLflow keeps and does not read any more."""
        yield from self._read(connection).losses
        for table in USER_TABLES:
            known = {*table.by_name, "id", "user_id", "role_id"}
            for name in sorted(self._columns.get(table.name, set()) - known):
                sentence = "this release does not know what it means, so it is left out"
                yield LeftOut("column", table.name, name, "unknown", sentence)
        for name in LEGACY_TABLES if self._revision not in _BEFORE_ROLES else ():
            rows = self._number(connection, name)
            if rows:
                counted = plural(rows, "row")
                sentence = f"{counted}: MLflow turned these into roles, and no longer reads them"
                yield LeftOut("table", name, "", "derived", sentence, expected=True)

    def _number(self, connection: Connection, table: str) -> int:
        if table not in self._columns:
            return 0
        return int(connection.scalar(f"SELECT count(*) FROM {quoted(table)}"))

    def _all(self, connection: Connection, table: str, *columns: str) -> list[tuple[Any, ...]]:
        if table not in self._columns:
            return []
        names = ", ".join(quoted(name) for name in columns)
        rows = connection.rows(f"SELECT {names} FROM {quoted(table)} ORDER BY {names}")
        fine = []
        for row in rows:
            odd = [name for name, value in zip(columns, row, strict=True) if not _fits(name, value)]
            if odd:
                numbers = (value for name, value in zip(columns, row, strict=True) if "id" in name)
                key = "/".join(f"number {value!s:.40}" for value in numbers)
                why = f"{odd[0]} does not fit its column: the row is left out"
                self._odd[table, key] = LeftOut(table, key, odd[0], "wrong-type", why)
            else:
                fine.append(row)
        return fine

    def _read(self, connection: Connection) -> _Found:
        found = _Found()
        users = self._users(connection, found)
        roles = self._roles(connection, users, found) if self._has_roles else {}
        if self._has_roles:
            self._granted(connection, users, roles, found)
        if self._revision in _BEFORE_ROLES:
            self._read_legacy(connection, users, found)
        if self._revision in _BEFORE_PROMPTS:
            _tell_prompts(found.rows["role_permissions"], self._prompts(connection))
        found.losses += self._odd.values()
        return found

    def _users(self, connection: Connection, found: _Found) -> dict[int, str]:
        users: dict[int, str] = {}
        for id_, name, hash_, admin in self._all(
            connection, "users", "id", "username", "password_hash", "is_admin"
        ):
            if not isinstance(name, str) or not isinstance(hash_, (str, type(None))):
                why = "its name or its password is no text; nobody can log in with it"
                found.lose("users", f"number {id_}", "unreadable", why, expected=False)
                continue
            users[int(id_)] = name
            is_admin = None if admin is None else _FLAGS[admin]
            row = {"username": name, "password_hash": hash_, "is_admin": is_admin}
            found.rows["users"].append(row)
        return users

    def _roles(
        self, connection: Connection, users: Mapping[int, str], found: _Found
    ) -> dict[int, tuple[str, str]]:
        roles: dict[int, tuple[str, str]] = {}
        for id_, workspace, name, text in self._all(
            connection, "roles", "id", "workspace", "name", "description"
        ):
            shown = _shown(name, users)
            if shown is None:
                why = "it belongs to a user number that does not exist"
                if not _NUMBERED.fullmatch(name):
                    why = "its name means something else here: what one user may do"
                expected = _NUMBERED.fullmatch(name) is not None
                found.lose("roles", f"{workspace}/{name}", "unmapped", why, expected=expected)
                continue
            roles[int(id_)] = workspace, shown
            row = {"workspace": workspace, "name": shown, "description": text}
            found.rows["roles"].append(row)
        return roles

    def _granted(
        self,
        connection: Connection,
        users: Mapping[int, str],
        roles: Mapping[int, tuple[str, str]],
        found: _Found,
    ) -> None:
        why = "its role or its user is not there by name, so it grants nothing"
        for id_, kind, pattern, permission in self._all(
            connection,
            "role_permissions",
            "role_id",
            "resource_type",
            "resource_pattern",
            "permission",
        ):
            if int(id_) not in roles:
                what = f"role number {id_}: {permission} on {kind} {pattern}"
                found.lose("role_permissions", what, "dangling", why, expected=True)
                continue
            workspace, role = roles[int(id_)]
            found.rows["role_permissions"].append(
                _grant(workspace, role, kind, pattern, permission)
            )
        for user, id_ in self._all(connection, "user_role_assignments", "user_id", "role_id"):
            if int(user) not in users or int(id_) not in roles:
                what = f"user number {user}, role number {id_}"
                found.lose("user_role_assignments", what, "dangling", why, expected=True)
                continue
            workspace, role = roles[int(id_)]
            row = {"username": users[int(user)], "workspace": workspace, "role": role}
            found.rows["user_role_assignments"].append(row)

    # --- Older than roles ---------------------------------------------------------------------

    def _read_legacy(self, connection: Connection, users: Mapping[int, str], found: _Found) -> None:
        grants = {_key(row): row for row in found.rows["role_permissions"]}
        personal: dict[tuple[str, str], str] = {}
        for table in LEGACY_TABLES:
            for user, row in self._legacy(connection, table):
                if user not in users:
                    why = f"it is for user number {user}, and there is none"
                    what = f"{row['resource_type']} {row['resource_pattern']}"
                    found.lose(table, what, "dangling", why, expected=True)
                    continue
                row["role"] = PERSONAL.format(users[user])
                personal[row["workspace"], row["role"]] = users[user]
                grants.setdefault(_key(row), row)
        found.rows["role_permissions"] = list(grants.values())
        there = {(row["workspace"], row["name"]) for row in found.rows["roles"]}
        held = {tuple(row.values()) for row in found.rows["user_role_assignments"]}
        for (workspace, role), user_name in personal.items():
            if (workspace, role) not in there:
                found.rows["roles"].append(
                    {"workspace": workspace, "name": role, "description": None}
                )
            if (user_name, workspace, role) not in held:
                found.rows["user_role_assignments"].append(
                    {"username": user_name, "workspace": workspace, "role": role}
                )

    def _legacy(self, connection: Connection, table: str) -> Iterator[tuple[int, Row]]:
        """What users may do by one of the older tables, as roles say it."""
        kind, column = LEGACY_TABLES[table]
        here = self._columns.get(table, set())
        columns = [name for name in (column, "scorer_name", "workspace") if name in here]
        for user, permission, *values in self._all(
            connection, table, "user_id", "permission", *columns
        ):
            said = dict(zip(columns, values, strict=True))
            workspace = said.get("workspace") or "default"
            if kind == "workspace":
                if permission in _WORKSPACE_PERMISSIONS:
                    means = _WORKSPACE_PERMISSIONS[permission]
                    yield int(user), _grant(workspace, "", kind, "*", means)
                for edited in _EDITED if permission == "EDIT" else ():
                    yield int(user), _grant(workspace, "", edited, "*", "EDIT")
            elif permission in _RESOURCE_PERMISSIONS:
                pattern = str(said[column])
                if "scorer_name" in said:
                    pattern += f"/{quote(said['scorer_name'], safe='')}"
                yield int(user), _grant(workspace, "", kind, pattern, permission)

    def _prompts(self, connection: Connection) -> set[tuple[str, str]]:
        """Workspace and name of every prompt, if this is the registry's database too."""
        tags = self._columns.get("registered_model_tags", set())
        columns = [name for name in ("name", "key", "value", "workspace") if name in tags]
        rows = self._all(connection, "registered_model_tags", *columns) if columns else []
        return {
            (workspace[0] if workspace else "default", name)
            for name, key, value, *workspace in rows
            if key == "mlflow.prompt.is_prompt" and str(value).lower() == "true"
        }

    # --- Writing ------------------------------------------------------------------------------

    def write(self, connection: Connection, table: Table, batches: Iterable[pa.RecordBatch]) -> int:
        """Append rows, with the numbers that the names have there; return how many."""
        rows = [row for batch in batches for row in batch.to_pylist()]
        if not rows:
            return 0
        users = {
            str(name): int(id_) for id_, name in self._all(connection, "users", "id", "username")
        }
        by_id = {id_: name for name, id_ in users.items()}
        roles = {
            (workspace, _shown(name, by_id)): int(id_)
            for id_, workspace, name in self._all(connection, "roles", "id", "workspace", "name")
        }
        records = [_numbered(table.name, row, users, roles) for row in rows]
        schema = pa.schema([(name, _TYPES.get(name, pa.string())) for name in records[0]])
        batch = pa.RecordBatch.from_pylist(records, schema=schema)
        return connection.ingest(table.name, schema, iter([batch]))


_TYPES = {"is_admin": pa.bool_(), "user_id": pa.int32(), "role_id": pa.int32()}


_FLAGS: Mapping[object, bool] = {0: False, 1: True, "0": False, "1": True}
"""As databases have them; SQLite's driver makes texts of numbers beside which there is a word."""


def _fits(column: str, value: object) -> bool:
    """Whether a value is one that its column has: an odd flag makes nobody an administrator."""
    if column in {"username", "password_hash"}:
        return True  # looked at where they are read
    if column == "is_admin":
        return value is None or value in _FLAGS
    if column in {"id", "user_id", "role_id"}:
        return isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
    return value is None or isinstance(value, (str, int))


def _shown(name: str, users: Mapping[int, str]) -> str | None:
    """A role's name as it is here; None where it says a number that nobody has."""
    numbered = _NUMBERED.fullmatch(name)
    if numbered is None:
        return None if _NAMED.fullmatch(name) else name
    user = users.get(int(numbered[1]))
    return None if user is None else PERSONAL.format(user)


def _numbered(
    table: str, row: Row, users: Mapping[str, int], roles: Mapping[tuple[str, str | None], int]
) -> Row:
    """A row as the database has it."""
    if table == "users":
        return row
    if table == "roles":
        named = _NAMED.fullmatch(row["name"])
        name = f"__user_{users[named[1]]}__" if named else row["name"]
        return {**row, "name": name}
    role = roles[row["workspace"], row["role"]]
    rest = {k: v for k, v in row.items() if k not in {"workspace", "role", "username"}}
    if table == "user_role_assignments":
        rest["user_id"] = users[row["username"]]
    return {**rest, "role_id": role}


def _grant(workspace: str, role: str, kind: str, pattern: str, permission: str) -> Row:
    return {
        "workspace": workspace,
        "role": role,
        "resource_type": kind,
        "resource_pattern": pattern,
        "permission": permission,
    }


def _key(row: Row) -> tuple[str, ...]:
    return tuple(str(value) for name, value in row.items() if name != "permission")


def _tell_prompts(grants: list[Row], prompts: set[tuple[str, str]]) -> None:
    """A prompt's permissions, where they are those of a registered model."""
    for row in grants:
        is_prompt = (row["workspace"], row["resource_pattern"]) in prompts
        if row["resource_type"] == "registered_model" and is_prompt:
            row["resource_type"] = "prompt"
