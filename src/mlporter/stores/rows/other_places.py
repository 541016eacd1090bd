"""Files behind what the catalogue does not know: columns of a newer MLflow that hold artifact URIs.

Which column does, nobody says: it is one in which a URI lies below a folder that the registry keeps
files in, or at its server (``mlflow-artifacts:``). A URI that lies in the folder of a run or a
logged model names that one's files. All other files are the row's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pyarrow as pa

from mlporter.artifacts.uris.ownership import FileOwner, find_file_owners
from mlporter.artifacts.uris.uri_text import Canonical, canonical, scheme_of
from mlporter.catalogue import BY_NAME
from mlporter.catalogue.found import new_columns
from mlporter.catalogue.types import Kind, Place
from mlporter.errors import LeftOut
from mlporter.stores.rows.version_locations import owner_roots, rows_of
from mlporter.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.catalogue.types import Table
    from mlporter.stores.rows.version_locations import TableReader

__all__ = ["OTHER", "OtherPlace", "new_places", "other_owner", "other_places", "outside_places"]
__all__ += ["parts_of_owner", "with_new_places"]

OTHER = "other"
"""The kind of owner: a row of a table, by one of its columns."""
_PROXIED = "mlflow-artifacts"
_REMOTE = frozenset({"file", "s3", "gs", "wasb", "wasbs", "abfs", "abfss", "dbfs", "hdfs", "r2"})
"""Schemes of stores that MLflow keeps artifacts in."""


@dataclass(frozen=True)
class OtherPlace:
    """A URI in a row: the row as an owner of files, and whose files they are if not its own."""

    owner: str
    uri: str
    file_owner: FileOwner | None


def other_owner(table: str, column: str, key: Iterable[object]) -> str:
    """The id of a row as an owner of files, by one of its columns."""
    return "/".join(quote(str(part), safe="") for part in (table, column, *key))


def parts_of_owner(owner: str) -> tuple[str, str, tuple[str, ...]]:
    """Table, column and key of such an id."""
    table, column, *key = (unquote(part) for part in owner.split("/"))
    return table, column, tuple(key)


def new_places(table: Table) -> tuple[str, ...]:
    """Columns of a table that hold artifact URIs, and that the catalogue does not know."""
    known = BY_NAME.get(table.name) if table.kind is not Kind.NEWER else None
    there = {place.column for place in known.places} if known is not None else set[str]()
    is_new = table.kind is Kind.NEWER or known is not None
    return tuple(p.column for p in table.places if is_new and p.column not in there)


def with_new_places(tables: Iterable[Table], reader: TableReader) -> Iterator[Table]:
    """Tables in which columns that hold artifact URIs are marked as such."""
    roots: _Roots | None = None
    for table in tables:
        found: list[Place] = []
        for column in _texts(table):
            roots = roots or _Roots.of(reader)
            if any(roots.holds(uri) for (uri,) in rows_of(reader, table.name, (column,)) if uri):
                found.append(Place(column))
        yield replace(table, places=(*table.places, *found)) if found else table


def other_places(reader: TableReader) -> Iterator[OtherPlace]:
    """Every URI in such columns that lies where the registry keeps files, by owner.

    Memory grows with the rows that have one.
    """
    found: list[tuple[str, str]] = []
    roots: _Roots | None = None
    for table in reader.tables:
        for column in new_places(table):
            roots = roots or _Roots.of(reader)
            for *key, uri in rows_of(reader, table.name, (*table.order, column)):
                if uri and roots.holds(uri):
                    found.append((other_owner(table.name, column, key), uri))
    if not found:
        return
    owners = find_file_owners({uri for _, uri in found}, owner_roots(reader))
    for owner, uri in sorted(found, key=lambda pair: pair[0].encode()):
        yield OtherPlace(owner, uri, owners.get(uri))


def outside_places(reader: TableReader) -> Iterator[LeftOut]:
    """An entry for each new column with URIs of files that lie nowhere where files are kept."""
    roots: _Roots | None = None
    for table in reader.tables:
        for column in _texts(table):
            roots = roots or _Roots.of(reader)
            uris = (uri for (uri,) in rows_of(reader, table.name, (column,)) if uri)
            count = sum(scheme_of(uri) in _REMOTE and not roots.holds(uri) for uri in uris)
            if count:
                detail = f"{plural(count, 'value')} may name files that lie in no artifact root"
                yield LeftOut("column", table.name, column, "outside", f"{detail}: none was read")


def _texts(table: Table) -> tuple[str, ...]:
    """Columns of texts that the catalogue does not know."""
    if table.kind is Kind.NEWER:
        names: tuple[str, ...] = tuple(c.name for c in table.columns if c.name not in table.key)
    else:
        names = new_columns(table, BY_NAME)
    by_name = table.by_name
    return tuple(
        name
        for name in names
        if pa.types.is_string(by_name[name].type)
        and not (by_name[name].json or by_name[name].secret or by_name[name].generated)
    )


@dataclass(frozen=True)
class _Roots:
    """Where a registry keeps files, as its rows say."""

    places: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, reader: TableReader) -> _Roots:
        """Of its experiments, the folder that they lie in by their numbers, and its workspaces."""
        found: set[Canonical] = set()
        for number, uri in rows_of(reader, "experiments", ("experiment_id", "artifact_location")):
            place = canonical(uri or "")
            above, _, last = place.path.rpartition("/")
            found.add(place)
            if last == str(number):
                found.add(replace(place, path=above))
        for (uri,) in rows_of(reader, "workspaces", ("default_artifact_root",)):
            found.add(canonical(uri or ""))
        # The whole of a disk is nobody's.
        return cls(frozenset((p.store, p.path) for p in found if p.path or "//" in p.store))

    def holds(self, uri: str) -> bool:
        """Whether a URI lies in one of them."""
        if ":" not in uri and "/" not in uri:
            return False
        if scheme_of(uri) == _PROXIED:
            return True
        place = canonical(uri)
        parts = [part for part in place.path.split("/") if part]
        if ".." in parts:
            return False
        above = ("/".join(parts[:end]) for end in range(len(parts), -1, -1))
        return any((place.store, path) in self.places for path in above)
