"""An empty MLflow database, made by MLflow's own code."""

from __future__ import annotations

import contextlib
import logging
import logging.config
import warnings
from typing import TYPE_CHECKING

from mlporter.errors import UnreachableError
from mlporter.redaction import redact
from mlporter.stores.addresses.address import Address, AddressKind
from mlporter.stores.database.engines.mysql import environment_settings
from mlporter.stores.database.schema.scripts import installed_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

__all__ = ["create_schema", "upgrade_schema"]


def create_schema(address: Address, revision: str, file: Path | None = None) -> None:
    """Let MLflow create its tables in an empty database, or in a new SQLite `file` for it.

    This is what a tracking server does when it starts for the first time; `mlflow db upgrade`
    on an empty database comes to the same code. MLflow's scripts stop at `revision`.

    Raises:
        UnreachableError: it could not.
    """
    # Seconds of import time, needed for new databases only.
    from mlflow.store.db import utils  # noqa: PLC0415
    from mlflow.store.tracking.dbmodels.initial_models import Base  # noqa: PLC0415

    def create(engine: Engine) -> None:
        if revision == installed_head():
            utils._initialize_tables(engine)  # noqa: SLF001 -- MLflow has no public name for it
        else:
            Base.metadata.create_all(engine)
            _run_scripts(engine, revision)

    _with_engine(address, file, create, "could not create its tables")


def upgrade_schema(address: Address, file: Path | None = None) -> None:
    """Let MLflow bring its tables to the newest revision that it knows: `mlflow db upgrade`.

    Raises:
        UnreachableError: it could not.
    """
    _with_engine(
        address, file, lambda engine: _run_scripts(engine, "heads"), "could not upgrade its tables"
    )


def _run_scripts(engine: Engine, revision: str) -> None:
    """`mlflow.store.db.utils._upgrade_db`, up to a revision."""
    from alembic import command  # noqa: PLC0415 -- as MLflow does
    from mlflow.store.db import utils  # noqa: PLC0415

    # MLflow has no public names for these.
    config = utils._get_alembic_config(str(engine.url))  # noqa: SLF001
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _with_engine(
    address: Address, file: Path | None, work: Callable[[Engine], None], failed: str
) -> None:
    # Seconds of import time, needed for new databases only.
    import sqlalchemy  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    # Not a text: SQLAlchemy decodes %20 in it, since 2.1 in the names of files too.
    url = sqlalchemy.make_url(address.sqlalchemy)
    if file is not None:
        url = sqlalchemy.URL.create("sqlite", database=str(file.absolute()))
    engine = sqlalchemy.create_engine(
        url, poolclass=sqlalchemy.pool.NullPool, connect_args=_arguments(address)
    )
    try:
        with _quiet():
            work(engine)
    except (sqlalchemy.exc.SQLAlchemyError, CommandError, MlflowException, RuntimeError) as error:
        message = redact(str(error)).splitlines()[0]
        full = "full" in message or "No space" in message
        raise UnreachableError(
            f"MLflow {failed}: {message}",
            subject=str(address),
            hint="free some space" if full else "the user needs the right to create tables",
        ) from error
    finally:
        engine.dispose()


def _arguments(address: Address) -> dict[str, str]:
    """What the driver hears of what the address does not say."""
    if address.kind is AddressKind.MYSQL:
        return environment_settings(address)
    return address.libpq_words if address.kind is AddressKind.POSTGRESQL else {}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Alembic speaks of every migration it runs; nobody asked.

    MLflow before 3 lets it set up all logging anew for that, which closes the handlers of others.
    """
    really = logging.config.fileConfig
    logging.config.fileConfig = _nothing
    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow.store.db.utils")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.config.fileConfig = really
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _nothing(*_: object, **__: object) -> None:
    """Leave logging as it is."""
