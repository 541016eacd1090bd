"""What a MySQL or MariaDB database can hold: lengths, characters, numbers, packets and keys.

The database is asked, not the catalogue: somebody may have widened a column, and MLflow's own
types differ from engine to engine (a TEXT has 65,535 bytes here, a FLOAT six digits).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.database.mysql.collations import CollationQuestions
from mlporter.stores.database.mysql.keys import KeyTexts, UniqueKey, clashes
from mlporter.stores.database.mysql.rows import literals
from mlporter.stores.rows.filters import marked, row_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlporter.catalogue.types import Table
    from mlporter.stores.database.connection.connection import Connection
    from mlporter.stores.database.reader import DatabaseReader

    Rows = Callable[[], Iterator[pa.RecordBatch]]
    """Reads the rows of a table that are to be written, as often as it is called."""

__all__ = ["Limits", "MysqlLimits", "limits_of"]

_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_JSON_DEPTH = 30
"""MariaDB takes 32 levels, MySQL 100: what comes near is judged by the server."""
_SLACK = 4096
"""Bytes of a packet that the names of the columns have."""
_MOST_EXISTING = 100_000
"""Rows of a table in use that new ones are held against. Beyond, the database itself refuses a
clash while it is written, and everything is taken back."""

_COLUMNS = """
SELECT table_name, column_name, data_type, character_maximum_length, character_octet_length,
       character_set_name, collation_name, column_type LIKE '%unsigned%'
FROM information_schema.columns WHERE table_schema = DATABASE()
"""

# MariaDB has no type JSON, but a rule on a LONGTEXT.
_JSON_RULES = """
SELECT table_name, check_clause FROM information_schema.check_constraints
WHERE constraint_schema = DATABASE() AND check_clause LIKE 'json_valid(%'
"""
_JSON_RULE = re.compile(r'json_valid\(["`](.+)["`]\)')

_KEYS = """
SELECT table_name, index_name, column_name FROM information_schema.statistics
WHERE table_schema = DATABASE() AND non_unique = 0
ORDER BY table_name, index_name = 'PRIMARY' DESC, index_name, seq_in_index
"""


@dataclass(frozen=True, slots=True)
class _Limit:
    """What a column can hold."""

    type: str
    characters: int | None
    bytes: int | None
    charset: str | None
    collation: str | None
    unsigned: bool
    json: bool


def limits_of(reader: DatabaseReader) -> Limits | None:
    """What a database says itself; None where the catalogue says all there is to say."""
    if reader.address.kind is not AddressKind.MYSQL:
        return None
    # The connection is the only one of its reader, which other threads may use meanwhile.
    with reader.borrowed() as connection:
        return MysqlLimits(connection)


class MysqlLimits:
    """`mlporter.stores.database.mysql.limits.Limits` of a MySQL or MariaDB database.

    Args:
        connection: Asked what it takes; nothing is written.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._largest_row = int(connection.scalar("SELECT @@max_allowed_packet")) - _SLACK
        self._words = CollationQuestions(connection)
        json_columns = _json_columns(connection)
        self._columns: dict[str, dict[str, _Limit]] = {}
        for (
            table,
            column,
            kind,
            characters,
            octets,
            charset,
            collation,
            unsigned,
        ) in connection.rows(_COLUMNS):
            limit = _Limit(
                str(kind).lower(),
                int(characters) if kind in {"varchar", "char"} else None,
                int(octets) if octets is not None and kind not in {"varchar", "char"} else None,
                charset,
                collation,
                bool(unsigned),
                kind == "json" or (table, column) in json_columns,
            )
            self._columns.setdefault(table, {})[column] = limit
        self._keys: dict[str, dict[str, list[str]]] = {}
        for table, index, column in connection.rows(_KEYS):
            self._keys.setdefault(table, {}).setdefault(index, []).append(column)

    def misfits(self, table: Table, rows: Rows, *, fresh: bool) -> Iterator[str]:
        """A sentence for every value that it would refuse or change, and every clash of keys."""
        limits = self._columns.get(table.name, {})
        keys = self._unique_keys(table, limits)
        texts = {name: KeyTexts() for key in keys for name in key.columns if name in key.texts}
        for batch in rows():
            for name, seen in texts.items():
                seen.add(batch.column(name))
            finite = True
            for name in batch.schema.names:
                limit = limits.get(name)
                if limit is not None:
                    for row, sentence in self._column(table, name, limit, batch):
                        finite = finite and "NaN" not in sentence
                        yield f"{row_name(table, batch, row)}: {name} {sentence}"
            if finite:
                yield from self._too_large_rows(table, batch)
        if texts:
            existing = None if fresh else self._existing(table, keys)
            yield from clashes(table, keys, texts, rows, existing, words=self._words)

    # --- Values -----------------------------------------------------------------------------------

    def _column(
        self, table: Table, name: str, limit: _Limit, batch: pa.RecordBatch
    ) -> Iterator[tuple[int, str]]:
        """Row and reason of every value that a column would not take as it is."""
        values = batch.column(name)
        if values.null_count == len(values):
            return
        kind = values.type
        if pa.types.is_string(kind):
            yield from _too_long(values, limit)
            yield from self._other_characters(values, limit)
            if limit.json:
                yield from self._no_json(values)
        elif pa.types.is_binary(kind):
            yield from _too_many_bytes(values, limit)
        elif pa.types.is_integer(kind):
            yield from _out_of_range(values, limit)
        elif pa.types.is_floating(kind):
            yield from _not_as_float(table, name, values, limit)

    def _other_characters(self, values: pa.Array, limit: _Limit) -> Iterator[tuple[int, str]]:
        if limit.charset in {None, "utf8mb4"}:
            return
        doubtful = pc.invert(pc.string_is_ascii(values))
        rows = marked(pc.and_(doubtful, self._askable(values)))
        texts = [values[row].as_py() for row in rows]
        for row, kept in zip(rows, self._words.kept(texts, str(limit.charset)), strict=True):
            if not kept:
                yield row, f"has characters that the target's {limit.charset} does not have"

    def _askable(self, values: pa.Array) -> pa.Array:
        """Texts that fit into a question; the row of a longer one is too long anyway."""
        return pc.less(pc.binary_length(values), self._largest_row // 4)

    def _no_json(self, values: pa.Array) -> Iterator[tuple[int, str]]:
        asked = marked(self._askable(values))
        rows = [row for row in asked if not _surely_json(values[row].as_py())]
        texts = [values[row].as_py() for row in rows]
        for row, valid in zip(rows, self._words.json_valid(texts), strict=True):
            if not valid:
                yield row, "is not JSON as the target's column demands it (NaN is none)"

    def _too_large_rows(self, table: Table, batch: pa.RecordBatch) -> Iterator[str]:
        if 2 * batch.nbytes + 64 * batch.num_columns < self._largest_row:
            return
        sizes = pc.binary_length(literals(batch, self._connection.subject))
        for row in marked(pc.greater(sizes, self._largest_row)):
            yield (
                f"{row_name(table, batch, row)}: the row has {sizes[row].as_py()} bytes, more "
                f"than the target takes in a packet (max_allowed_packet)"
            )

    # --- Keys -------------------------------------------------------------------------------------

    def _unique_keys(self, table: Table, limits: dict[str, _Limit]) -> tuple[UniqueKey, ...]:
        here = set(table.schema.names)
        found = []
        for columns in self._keys.get(table.name, {}).values():
            texts = {n: str(limits[n].collation) for n in columns if limits[n].collation}
            if texts and set(columns) <= here:
                ours = table.key if set(columns) == set(table.key) else tuple(columns)
                found.append(UniqueKey(ours, texts))
        return tuple(found)

    def _existing(self, table: Table, keys: tuple[UniqueKey, ...]) -> Rows | None:
        """The keys that are there already, if they are few."""
        count = int(self._connection.scalar(f'SELECT count(*) FROM "{table.name}"'))
        if not count or count > _MOST_EXISTING:
            return None
        names = tuple(dict.fromkeys(name for key in keys for name in key.columns))
        columns = tuple(table.by_name[name] for name in names)
        return lambda: self._connection.read(table, columns)


def _json_columns(connection: Connection) -> frozenset[tuple[str, str]]:
    """Columns of MariaDB's that take nothing but JSON."""
    if "MariaDB" not in str(connection.scalar("SELECT VERSION()")):
        return frozenset()
    rules = [(name, _JSON_RULE.match(rule)) for name, rule in connection.rows(_JSON_RULES)]
    return frozenset((str(name), rule.group(1)) for name, rule in rules if rule is not None)


def _too_long(values: pa.Array, limit: _Limit) -> Iterator[tuple[int, str]]:
    if limit.characters is not None:
        lengths = pc.utf8_length(values)
        for row in marked(pc.greater(lengths, limit.characters)):
            yield row, f"has {lengths[row]} characters, the target allows {limit.characters}"
    yield from _too_many_bytes(values, limit)


def _too_many_bytes(values: pa.Array, limit: _Limit) -> Iterator[tuple[int, str]]:
    if limit.bytes is None:
        return
    lengths = pc.binary_length(values)
    for row in marked(pc.greater(lengths, limit.bytes)):
        yield row, f"has {lengths[row]} bytes, the target's {limit.type} takes {limit.bytes}"


def _out_of_range(values: pa.Array, limit: _Limit) -> Iterator[tuple[int, str]]:
    bits = _BITS.get(limit.type)
    if bits is None or bits > values.type.bit_width:
        return
    least, most = (0, 2**bits - 1) if limit.unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    most = min(most, 2**63 - 1)
    wide = values.cast(pa.int64())
    for row in marked(pc.or_(pc.less(wide, least), pc.greater(wide, most))):
        yield row, f"{values[row]} is out of the range of the target's {limit.type}"


def _not_as_float(
    table: Table, name: str, values: pa.Array, limit: _Limit
) -> Iterator[tuple[int, str]]:
    for row in marked(pc.invert(pc.is_finite(values))):
        yield row, f"is {values[row]}, and MySQL has neither NaN nor infinity"
    if limit.type != "float":
        return
    for row, value in enumerate(values.to_pylist()):
        if value is not None and np.isfinite(value) and _as_shown(value) != value:
            words = f"{value!r} has more digits than the target's FLOAT shows"
            yield row, f"{words}; make `{table.name}`.`{name}` a DOUBLE there to keep them"


def _as_shown(value: float) -> float:
    """A number as MySQL shows it once it has been in a column of single precision."""
    with np.errstate(over="ignore"):
        return float(f"{np.float32(value):.6g}")


def _surely_json(text: str) -> bool:
    if text.count("[") + text.count("{") > _JSON_DEPTH:
        return False
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError:
        return False
    return True


def _refuse(word: str) -> Any:  # noqa: ANN401 -- it never returns
    raise ValueError(word)


class Limits(Protocol):
    """What a database says of itself, where that is more than the catalogue knows."""

    def misfits(self, table: Table, rows: Rows, *, fresh: bool) -> Iterator[str]:
        """A sentence for every value that it would refuse or change, and every clash of keys.

        Args:
            table: The table and the columns that are written.
            rows: What is written; called more than once.
            fresh: Whether what is there does not count: it is what MLflow puts into a new one.
        """
