"""An empty MLflow database, made by MLflow's own code."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING

from mlporter.errors import RevisionError, UnreachableError, UnsupportedError
from mlporter.redaction import redact
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.database.engines.mysql import environment_settings
from mlporter.stores.database.schema.revision import installed_head, installed_mlflow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["check_can_create", "create_schema"]


def check_can_create(revision: str, address: Address) -> None:
    """Refuse where the installed MLflow would make a schema that does not fit the source's.

    Raises:
        RevisionError: the installed MLflow's newest schema revision is another one.
    """
    head = installed_head()
    if head is None:
        raise UnsupportedError(
            "a new database is made by MLflow's own code, and MLflow is not installed",
            subject=str(address),
            hint="pip install mlflow",
        )
    if head != revision:
        raise RevisionError(
            f"the installed MLflow {installed_mlflow()} would make a schema at revision {head}; "
            f"the source is at {revision}",
            subject=str(address),
            hint="use the same MLflow release on both sides, or mlflow db upgrade a copy first",
        )


def create_schema(address: Address, file: Path | None = None) -> None:
    """Let MLflow create its tables in an empty database, or in a new SQLite `file` for it.

    This is what a tracking server does when it starts for the first time; `mlflow db upgrade`
    on an empty database comes to the same code.
    """
    import sqlalchemy  # noqa: PLC0415 -- seconds of import time, needed for new databases only
    from mlflow.store.db import utils  # noqa: PLC0415

    # Not a text: SQLAlchemy decodes %20 in it, since 2.1 in the names of files too.
    url = sqlalchemy.make_url(address.sqlalchemy)
    if file is not None:
        url = sqlalchemy.URL.create("sqlite", database=str(file.absolute()))
    arguments = _arguments(address)
    engine = sqlalchemy.create_engine(
        url, poolclass=sqlalchemy.pool.NullPool, connect_args=arguments
    )
    try:
        with _quiet():
            utils._initialize_tables(engine)  # noqa: SLF001 -- MLflow has no public name for it
    except sqlalchemy.exc.SQLAlchemyError as error:
        message = redact(str(error)).splitlines()[0]
        full = "full" in message or "No space" in message
        raise UnreachableError(
            f"MLflow could not create its tables: {message}",
            subject=str(address),
            hint="free some space" if full else "the user needs the right to create tables",
        ) from error
    finally:
        engine.dispose()


def _arguments(address: Address) -> dict[str, str]:
    """What the driver is told of what the address does not say."""
    if address.kind is AddressKind.MYSQL:
        return environment_settings(address)
    return address.libpq_words if address.kind is AddressKind.POSTGRESQL else {}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Alembic tells of every migration it runs; nobody asked."""
    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow.store.db.utils")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
