"""MariaDB for tests: a real server of our own, on this machine, gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from .engines import build_once, create_mlflow_schema
from .mlflow_session import close_databases
from .quick_disks import quick_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

#: Where Debian keeps servers; not everybody has it in PATH.
PROGRAMS = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])

#: What MLflow's tables get where nobody says anything, as a server installed today has it ...
USUAL = "utf8mb4_general_ci"
#: ... and what holds every registry.
BINARY = "utf8mb4_nopad_bin"


def missing() -> str:
    """Why there can be no server here, or nothing."""
    wanted = ("mariadbd", "mariadb-install-db", "mariadb", "mariadb-dump")
    names = [name for name in wanted if program(name) is None]
    return f"no {', '.join(names)} here (Debian's mariadb-server)" if names else ""


def program(name: str) -> str | None:
    """The path of a program of MariaDB's."""
    return shutil.which(name, path=PROGRAMS)


def connect(url: str, **options: Any) -> Any:
    """A plain connection to the database of an address."""
    import pymysql  # noqa: PLC0415 -- for MySQL only

    parts = urlsplit(url)
    socket = parse_qs(parts.query).get("unix_socket", [None])[0]
    name = parts.path.lstrip("/") or None
    return pymysql.connect(
        unix_socket=socket,
        user=parts.username,
        password=parts.password or "",
        database=name,
        charset="utf8mb4",
        ssl_disabled=True,
        **options,
    )


class MariaDb:
    """A MariaDB server of our own, reached through a socket in a folder of its own."""

    def __init__(self, shared: Path) -> None:
        """Start it; schemas that are slow to make are kept in `shared` for other workers."""
        self._shared = shared
        self.folder = quick_folder("mlm")
        self._server = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        data = [f"--datadir={self.folder / 'data'}"]
        if os.getuid() == 0:
            data.append("--user=root")

        def install(folder: Path) -> None:
            self._call(
                "mariadb-install-db",
                "--no-defaults",
                *data,
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            )
            shutil.copytree(self.folder / "data", folder / "data")

        installed = build_once(self._shared / "mariadb", install)
        if not (self.folder / "data").exists():
            shutil.copytree(installed / "data", self.folder / "data")
        log = self.folder / "log.err"
        server = subprocess.Popen(
            [
                str(program("mariadbd")),
                "--no-defaults",
                *data,
                f"--socket={self.folder / 'socket'}",
                f"--pid-file={self.folder / 'pid'}",
                f"--tmpdir={self.folder}",
                "--skip-networking",
                "--skip-name-resolve",
                "--skip-log-bin",
                f"--log-error={log}",
                # Most of the time that a schema takes is spent on the safety of files.
                "--sync-frm=0",
                "--debug-no-sync",
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-flush-method=nosync",
                "--innodb-file-per-table=0",
                "--innodb-buffer-pool-size=64M",
                "--innodb-log-file-size=32M",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        said = ""
        while server.poll() is None and "ready for connections" not in said:
            said = log.read_text(errors="replace") if log.exists() else ""
        if server.poll() is not None:
            raise RuntimeError(f"MariaDB did not start: {said}")
        return server

    def url(self, name: str, user: str = "root") -> str:
        """The address of a database."""
        return f"mysql+pymysql://{user}@localhost/{name}?unix_socket={self.folder / 'socket'}"

    def new_database(self, collation: str = USUAL) -> str:
        """A new empty database; returns its address."""
        name = f"t{uuid4().hex}"
        charset = collation.partition("_")[0]
        self.run(f"CREATE DATABASE {name} CHARACTER SET {charset} COLLATE {collation}")
        return self.url(name)

    def new_mlflow_database(self, collation: str = USUAL) -> str:
        """A new database with MLflow's schema and its default experiment."""
        url = self.new_database(collation)
        text = self._schema().replace(f"COLLATE={USUAL}", f"COLLATE={collation}")
        text = text.replace("CHARSET=utf8mb4", f"CHARSET={collation.partition('_')[0]}")
        self._client("mariadb", [name_of(url)], text.encode())
        return url

    def _schema(self) -> str:
        def build(folder: Path) -> None:
            url = self.new_database()
            create_mlflow_schema(url)
            close_databases()
            dump = self._client("mariadb-dump", ["--skip-comments", name_of(url)])
            (folder / "schema.sql").write_bytes(dump)
            self.drop(url)

        folder = build_once(self._shared / "mariadb-schema", build)
        return (folder / "schema.sql").read_text(encoding="utf-8")

    def run(self, *statements: str) -> None:
        """Run statements as the server's owner, outside of any database."""
        with closing(connect(self.url(""), autocommit=True)) as connection:
            for statement in statements:
                connection.query(statement)

    def drop(self, url: str) -> None:
        """Drop a database, and end whoever is still connected to it."""
        import pymysql  # noqa: PLC0415 -- for MySQL only

        with closing(connect(self.url(""), autocommit=True)) as connection:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT id FROM information_schema.processlist WHERE db = %s", (name_of(url),)
                )
                for (number,) in cursor.fetchall():
                    with suppress(pymysql.err.OperationalError):  # it has gone by itself
                        cursor.execute(f"KILL SOFT CONNECTION {number}")
            connection.query(f"DROP DATABASE IF EXISTS {name_of(url)}")

    def close(self) -> None:
        """Stop the server and remove its files."""
        self._server.kill()
        self._server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _client(self, name: str, arguments: Sequence[str], given: bytes = b"") -> bytes:
        socket = f"--socket={self.folder / 'socket'}"
        return self._call(name, "--no-defaults", socket, "--user=root", *arguments, given=given)

    @staticmethod
    def _call(name: str, *arguments: str, given: bytes = b"") -> bytes:
        done = subprocess.run(
            [str(program(name)), *arguments], input=given, capture_output=True, check=False
        )
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace")
            raise RuntimeError(f"{name} failed: {said}")
        return done.stdout


def name_of(url: str) -> str:
    """The database's name."""
    return urlsplit(url).path.lstrip("/")
