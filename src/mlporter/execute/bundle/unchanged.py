"""Whether rows of a registry can have changed since a snapshot, with none of them read."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING

from mlporter.stores.database.schema.scripts import installed_mlflow
from mlporter.stores.protocols import TellsState
from mlporter.stores.views.foreign_tables import WithoutForeign
from mlporter.stores.views.without_secrets import WithoutSecrets

if TYPE_CHECKING:
    from mlporter.stores.protocols import Source

__all__ = ["state_of"]


def state_of(source: Source) -> str | None:
    """A digest that is the same only if all rows are, and are read in the same way.

    Two releases may read a table differently: so they are in it, as is how each table is read.

    Args:
        source: The registry; maybe without its secrets and without other programs' tables.

    Returns:
        None where nothing tells: not of a part, not of several places as one, not with secrets.
    """
    if not isinstance(source, WithoutSecrets):
        return None
    inner = source.inner
    if isinstance(inner, WithoutForeign):
        inner = inner.inner
    told = inner.state if isinstance(inner, TellsState) else None
    if told is None:
        return None
    read = [(table.name, table.kind.value, table.key, table.columns) for table in source.tables]
    what = (
        told,
        version("mlporter"),
        installed_mlflow(),
        source.description.revision,
        source.asked,
        read,
    )
    return hashlib.sha256(repr(what).encode()).hexdigest()
