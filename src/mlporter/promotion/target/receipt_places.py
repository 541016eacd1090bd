"""Where a receipt is kept in the target: among the artifacts of the version's run."""

from __future__ import annotations

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mlporter.artifacts.uris.uri_text import UriMap, uri_below
from mlporter.errors import RefusedError
from mlporter.stores.addresses.address import AddressKind
from mlporter.stores.rows.version_locations import owner_roots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BytesIO

    from mlporter.promotion.checks.facts import VersionFacts
    from mlporter.stores.addresses.address import Address
    from mlporter.stores.protocols import Source

__all__ = ["store_receipt"]


def _root(target: Source, facts: VersionFacts) -> str:
    """The artifact root of a version's run; of one without a run, its model's folder.

    Raises:
        RefusedError: it has neither.
    """
    if facts.run is not None and facts.run["artifact_uri"]:
        return str(facts.run["artifact_uri"])
    if facts.owner is not None:
        wanted = (facts.owner.owner_kind, facts.owner.owner_id)
        for kind, id_, uri in owner_roots(target):
            if (kind, id_) == wanted:
                return uri
        return str(facts.row["storage_location"] or facts.row["source"])
    raise RefusedError("has no run and no files, beside which a receipt could lie")


def store_receipt(  # noqa: PLR0913 -- the target, and what it gets
    place: Address,
    target: Source,
    facts: VersionFacts,
    path: str,
    text: BytesIO,
    *,
    uri_map: tuple[str, ...],
    retry_time: float,
) -> str:
    """Write a receipt, and return its URI: ``runs:/…`` where the version has a run.

    Raises:
        RefusedError: there is no place for it.
        UnreachableError: it cannot be written.
    """
    root = _root(target, facts)
    if place.kind is AddressKind.SERVER:
        # MLflow takes seconds to import, which a server's credentials need.
        from mlporter.stores.server.source import ServerSource  # noqa: PLC0415
        from mlporter.stores.server.target_places import ServerPlaces  # noqa: PLC0415

        @contextmanager
        def opened() -> Iterator[BinaryIO]:
            text.seek(0)
            yield text

        with closing(ServerSource(place, retry_time=retry_time)) as server:
            places = ServerPlaces(server.client_in(facts.key[0]), uri_map)
            places.put(root, path, len(text.getvalue()), opened)
    else:
        from mlporter.stores.artifact_places.places import open_place  # noqa: PLC0415

        parsed = UriMap.parse(uri_map)
        there = open_place(root, base=Path.cwd(), uri_map=parsed, environment=place.environment)
        there.put(path, text)
    in_run = facts.run is not None and facts.run["artifact_uri"] == root
    return f"runs:/{facts.run_id}/{path}" if in_run else uri_below(root, path)
