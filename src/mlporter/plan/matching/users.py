"""Users and permissions of both sides, matched by name; what they name follows what is copied.

All is small, and held in memory. `decide_users` is a pure function of both sides' rows;
`UserTables` puts what it decided in the place of the source's rows.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from mlporter.catalogue import USER_TABLES
from mlporter.catalogue.tables.users import PERSONAL, RESOURCES
from mlporter.catalogue.types import Kind
from mlporter.errors import LeftOut
from mlporter.plan.policy import Conflict
from mlporter.plan.three_sides.actions import Action, ActionKind
from mlporter.plan.units import key_text
from mlporter.stores.protocols import Wrapped
from mlporter.stores.rows.version_locations import rows_of
from mlporter.wording import both_values

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from mlporter.catalogue.types import Table
    from mlporter.plan.ids.id_map import IdMap
    from mlporter.plan.policy import Merge, Policy
    from mlporter.plan.side_reader import Reader
    from mlporter.plan.three_sides.sent.memory import Memory
    from mlporter.stores.protocols import Among, Source

    Row = dict[str, Any]
    Rows = Mapping[str, list[Row]]

__all__ = ["SENT_USERS", "Decided", "UserTables", "decide_users", "merge_users"]
__all__ += ["with_followed_permissions"]

SENT_USERS = "users"
"""Under what it is noted which users and permissions were sent."""

_PERSONAL = re.compile(PERSONAL.format("(.*)"), re.DOTALL)
_SECRET = {column.name for table in USER_TABLES for column in table.columns if column.secret}
_KEYS = {table.name: table.key for table in USER_TABLES}


@dataclass
class Decided:
    """What becomes of the source's users and permissions.

    Attributes:
        new: Rows to write, by table, in the target's terms.
        skipped: How many rows of each table are left out.
        left_out: Which, and why.
        conflicts: What the target has otherwise.
        kept_away: What was sent once, and somebody took away at the target: table and name.
        put_back: The same, where it is made again.
        sent: What the target has of the source's from now on: digests of tables and keys.
    """

    new: dict[str, list[Row]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)
    left_out: list[LeftOut] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    kept_away: list[tuple[str, str]] = field(default_factory=list)
    put_back: list[tuple[str, str]] = field(default_factory=list)
    sent: set[str] = field(default_factory=set)

    def leave(self, table: str, id_: str, reason: str, why: str) -> None:
        """One row less."""
        self.skipped[table] += 1
        self.left_out.append(LeftOut(table, id_, "", reason, why))


def decide_users(
    mine: Rows,
    there: Rows,
    *,
    workspace: Callable[[str], str],
    resource: Callable[[str, str, str], str | None],
    stays: str = "",
    sent: Collection[str] = (),
    leaves_removed: bool = False,
) -> Decided:
    """Decide row by row.

    Args:
        mine: The source's rows by table.
        there: The target's.
        workspace: The target's name of a workspace of the source.
        resource: By workspace (the source's), type and pattern: the target's pattern, or None.
        stays: What is said of what the target has otherwise, and is left out; "" where that is a
            conflict.
        sent: What was sent before; see `Decided.sent`.
        leaves_removed: What was sent, and somebody took away at the target, stays away.
    """
    decided, known = Decided(), _Known()
    for table in (table.name for table in USER_TABLES):
        found = {_key(table, row): row for row in there.get(table, [])}
        known.add(table, found)
        decided.new[table] = []
        for row in mine.get(table, []):
            mapped = _mapped(row, workspace, resource)
            if mapped is None:
                decided.leave(table, _name(table, row), "unmapped", _UNMAPPED)
                continue
            other, digest = found.get(_key(table, mapped)), _digest(table, mapped)
            if other is not None:
                if what := _difference(mapped, other):
                    _differs(decided, table, _name(table, row), what, stays)
            elif digest in sent and leaves_removed:
                decided.skipped[table] += 1
                decided.kept_away.append((table, _name(table, row)))
            elif why := known.why_not(table, mapped):
                decided.leave(table, _name(table, row), "secret", why)
                continue
            else:
                if digest in sent:
                    decided.put_back.append((table, _name(table, row)))
                found[_key(table, mapped)] = mapped
                known.add(table, [_key(table, mapped)])
                decided.new[table].append(mapped)
            decided.sent.add(digest)
    return decided


def _digest(table: str, row: Row) -> str:
    """What is remembered of a row: that it was sent, and neither whose nor what it is."""
    return sha256(key_text((table, *_key(table, row))).encode()).hexdigest()[:32]


def _mapped(
    row: Row, workspace: Callable[[str], str], resource: Callable[[str, str, str], str | None]
) -> Row | None:
    """A row in the target's terms; None where nobody can tell what it is for."""
    mapped = dict(row)
    if "workspace" in row:
        mapped["workspace"] = workspace(row["workspace"])
    if "resource_pattern" in row:
        pattern = resource(row["workspace"], row["resource_type"], row["resource_pattern"])
        if pattern is None:
            return None
        mapped["resource_pattern"] = pattern
    return mapped


_UNMAPPED = (
    "what it is for is not copied under this id or name, which may be something else in the target"
)


_REMOVED = "it was removed at the target"
_NOT_MADE = (
    "the target has no such user, and none is created without a password; --include-secrets copies "
    "passwords"
)


@dataclass
class _Known:
    """Users and roles that the target has, or gets."""

    keys: dict[str, set[tuple[object, ...]]] = field(default_factory=dict)

    def add(self, table: str, keys: Iterable[tuple[object, ...]]) -> None:
        """Some more."""
        self.keys.setdefault(table, set()).update(keys)

    def why_not(self, table: str, row: Row) -> str:
        """Why a new row cannot be copied, or ""."""
        if table == "users":
            return _NOT_MADE if row.get("password_hash") is None else ""
        role = row["name"] if table == "roles" else row["role"]
        personal = _PERSONAL.fullmatch(role)
        for user in (row.get("username"), personal and personal[1]):
            if user and (user,) not in self.keys["users"]:
                return f"user {user!r} is not copied, and the target has none of this name"
        if table != "roles" and (row["workspace"], role) not in self.keys["roles"]:
            return f"role {role!r} is not copied, and the target has none of this name"
        return ""


def _differs(decided: Decided, table: str, id_: str, what: str, stays: str) -> None:
    if stays:
        decided.leave(table, id_, "conflict", f"{what}; {stays}")
    else:
        decided.conflicts.append(Conflict(table, id_, what))


def _difference(mine: Row, there: Row) -> str:
    """What differs, but for passwords: those of the target stay."""
    return ", ".join(
        both_values(name, value, there.get(name))
        for name, value in mine.items()
        if name not in _SECRET and (value or None) != (there.get(name) or None)
    )


def _key(table: str, row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in _KEYS[table])


def _name(table: str, row: Row) -> str:
    if table == "role_permissions":
        what = f"{row['permission']} on {row['resource_type']} {row['resource_pattern']}"
        return f"{row['workspace']}/{row['role']}: {what}"
    return "/".join(str(value) for value in _key(table, row))


# --- From and to both sides -----------------------------------------------------------------------


def merge_users(
    source: Source,
    target: Reader,
    tables: Iterable[Table],
    merge: Merge,
    *,
    policy: Policy,
    memory: Memory,
) -> UserTables | None:
    """Decide, note it in `merge`, and return the rows; None where no users are copied.

    Args:
        source: Where they come from.
        target: Where they go.
        tables: The tables that are copied.
        merge: What else is decided already: what is called otherwise in the target.
        policy: What to do about conflicts.
        memory: What was last sent, and where actions go.
    """
    carried = {table.name: table.kind for table in tables}
    names = [name for name, kind in carried.items() if kind is Kind.USERS]
    if not names:
        return None
    decided = decide_users(
        {name: _rows(source, name) for name in names},
        {name: _rows(target, name) for name in names},
        workspace=merge.ids.workspace,
        resource=_Resources(source, target, frozenset(carried), merge.ids).pattern,
        stays=policy.stays if policy.leaves_out else "",
        sent=memory.base.noted(SENT_USERS),
        leaves_removed=policy.leaves_removed,
    )
    for name, what in decided.kept_away:
        memory.book.add(Action(ActionKind.KEEP, name, what, why=_REMOVED))
    for name, what in decided.put_back:
        memory.book.create(name, [what], [what])
    merge.sent_users = dict.fromkeys(decided.sent, "")
    merge.conflicts += decided.conflicts
    merge.left_out += decided.left_out
    for name, count in decided.skipped.items():
        merge.skipped_rows[name] += count
    return UserTables({name: decided.new[name] for name in names})


def _rows(reader: Reader, table: str) -> list[Row]:
    return [row for batch in reader.read(table) for row in batch.to_pylist()]


def _followed(ids: IdMap, workspace: str, kind: str, pattern: str) -> str:
    """A pattern under the ids and names that things have in the target."""
    table, column = RESOURCES.get(kind, ("", ""))
    key, slash, rest = pattern.partition("/") if kind == "scorer" else (pattern, "", "")
    if table == "experiments":
        is_number = key.isascii() and key.isdigit()
        return f"{ids.experiment(int(key))}{slash}{rest}" if is_number else pattern
    if column == "name":
        return ids.model(workspace, key) if table == "registered_models" else key
    return ids.of(table).get(key, key)


def with_followed_permissions(mapped: Source, origin: Source, ids: IdMap) -> Source:
    """A source that is seen by other ids, whose permissions are for those ids, too."""
    names = {table.name for table in origin.tables if table.kind is Kind.USERS}
    if "role_permissions" not in names:
        return mapped
    rows = [
        {
            **row,
            "workspace": ids.workspace(row["workspace"]),
            "resource_pattern": _followed(
                ids, row["workspace"], row["resource_type"], row["resource_pattern"]
            ),
        }
        for row in _rows(origin, "role_permissions")
    ]
    return UserTables({"role_permissions": rows}).instead(mapped)


class _Resources:
    """What permissions are for, as the target knows it."""

    def __init__(self, source: Source, target: Reader, carried: frozenset[str], ids: IdMap) -> None:
        self._source = source
        self._target = target
        self._carried = carried
        self._ids = ids
        self._known: dict[tuple[str, str], set[tuple[str, str]]] = {}

    def pattern(self, workspace: str, kind: str, pattern: str) -> str | None:
        """The target's pattern; None where nobody can tell what is meant."""
        if pattern == "*":
            return pattern
        if kind not in RESOURCES:
            return None
        table, column = RESOURCES[kind]
        key = pattern.partition("/")[0] if kind == "scorer" else pattern
        known = (workspace if column == "name" else "", key)
        if known not in self._names(table, "" if column == "name" else column):
            return None
        return _followed(self._ids, workspace, kind, pattern)

    def _names(self, table: str, column: str = "") -> set[tuple[str, str]]:
        """Workspace and name, or the ids, of what is copied.

        Where a table is not, as secrets may not be, then of what the target has: under a random id
        it has the same thing.
        """
        if (table, column) not in self._known:
            reader: Reader = self._source if table in self._carried else self._target
            columns = (column,) if column else ("workspace", "name")
            rows = rows_of(reader, table, columns)
            self._known[table, column] = {
                ("", str(row[0])) if column else (row[0] or "default", row[1]) for row in rows
            }
        return self._known[table, column]


@dataclass(frozen=True)
class UserTables:
    """The rows that are written, by table, in the target's terms."""

    rows: Mapping[str, list[Row]]

    def instead(self, source: Source) -> Source:
        """A source with these rows in place of its own."""
        return _Instead(source, self.rows)


class _Instead(Wrapped):
    def __init__(self, inner: Source, rows: Rows) -> None:
        super().__init__(inner)
        self._instead = rows

    def count(self, table: str) -> int:
        """Rows of a table."""
        if table in self._instead:
            return len(self._instead[table])
        return super().count(table)

    def read(
        self, table: str, columns: tuple[str, ...] | None = None, among: Among | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Rows of a table by key."""
        if table not in self._instead:
            yield from super().read(table, columns, among)
            return
        entry = next(entry for entry in self.tables if entry.name == table)
        rows = sorted(self._instead[table], key=lambda row: [row[k].encode() for k in entry.key])
        if rows:
            batch = pa.RecordBatch.from_pylist(rows, schema=entry.schema)
            yield batch.select(list(columns)) if columns else batch
