"""Databases of older MLflows, read as if they had been upgraded.

`changes` is what each schema revision brought, as data; `relations` makes of it what a table is
read from: the table itself wherever that will do; `traces` computes what MLflow 3.17 computed when
it took trace names, sessions, tokens and costs out of tags and metadata. The judge is `mlflow db
upgrade`: a database that is read so is equal to its upgraded copy, table by table.
"""

from __future__ import annotations

from mlporter.stores.database.history.losses import losses
from mlporter.stores.database.history.relations import Relation, as_newer

__all__ = ["Relation", "as_newer", "losses"]
