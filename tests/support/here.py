"""The catalogue's tables as the installed MLflow makes them."""

from __future__ import annotations

from mlporter.catalogue.revisions import REVISIONS
from mlporter.stores.database.history.shape import shape_for, tables_at

NEWEST = shape_for(REVISIONS[0][0])
"""The newest revision that the installed MLflow can make and the catalogue knows."""
TABLES = tables_at(NEWEST)
