"""Fixtures: registries to copy from, databases, S3, and a clean MLflow for every test.

Whatever is slow to make is made once (for all pytest-xdist workers where a file can be shared) and
copied for each test.
"""

# ruff: noqa: PLC0415 -- importing MLflow takes seconds, which the many tests without it can save
from __future__ import annotations

import dataclasses
import gc
import json
import os
import subprocess
import sys
import tempfile
from compileall import compile_dir
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.engines import (
    S3,
    Postgres,
    build_once,
    copy_sqlite,
    create_mlflow_sqlite,
    running_s3,
)
from tests.support.forks import fork_workers, share_forkserver
from tests.support.mariadb import BINARY, MariaDb, missing
from tests.support.mlflow_session import (
    LEFTOVER_PREFIXES,
    QUIET_ENVIRONMENT,
    compile_elsewhere,
    forget_mlflow_state,
    sqlite_url,
)
from tests.support.quick_disks import (
    let_sqlite_write_nothing_through,
    write_nothing_through,
)
from tests.support.quick_tables import SHARED, make_tables_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.command_line import Finished
    from tests.support.plain_registry import PlainRegistry
    from tests.support.rich_registry import RichRegistry
    from tests.support.target_server import Beginnings, TargetServer

# Before anything imports MLflow, whose telemetry starts with the import.
os.environ.update(QUIET_ENVIRONMENT)
compile_elsewhere()
write_nothing_through()

# What tests leave behind need not be looked for as often as Python does: it took an eighth of the
# processor time. (Thresholds are 700, 10 and 10 otherwise.)
gc.set_threshold(50_000, 20, 20)

# A busy machine is no failure. And a commit passes or fails, whenever it is tried: what only chance
# finds is searched for on purpose, with MLPORTER_SEARCH=1.
settings.register_profile(
    "busy",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
    derandomize=not os.environ.get("MLPORTER_SEARCH"),
)
settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    """Have one fork server for all workers, if there are any, which are forks themselves.

    While it imports MLflow, what it and they import of ours is compiled here.
    """
    if config.getoption("numprocesses", None) and not config.getoption("collectonly"):
        share_forkserver()
        config.option.tx = fork_workers(config.option.tx)
        for folder in ("src", "tests/support"):
            compile_dir(config.rootpath / folder, quiet=2)


def pytest_collection(session: pytest.Session) -> None:
    """Where all tests are run, have each worker import others first: pytest keeps what it made.

    Rewriting the asserts of all of them takes eight seconds of a processor, and the workers start
    at the same time, so that none would find what another has done. (Whatever cannot be imported
    is tried once more, and then it is said what is wrong with it.)
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    if not worker or session.config.args_source.name != "TESTPATHS":
        return
    root, step = session.config.rootpath, int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    for path in sorted((root / "tests").rglob("test_*.py"))[int(worker) :: step]:
        with suppress(Exception):
            import_module(".".join(path.relative_to(root).with_suffix("").parts))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors, since a test often waits: for a server, or a process."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else 3


@pytest.fixture(scope="session", autouse=True)
def scratch_folder(tmp_path_factory: pytest.TempPathFactory, shared_folder: Path) -> Iterator[None]:
    """Make templates in a scratch folder: MLflow makes ``mlruns`` wherever it opens a database."""
    os.environ[SHARED] = str(shared_folder)  # before any process is started
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("scratch"))
    yield
    os.chdir(before)


@pytest.fixture(autouse=True)
def clean_mlflow(tmp_path: Path) -> Iterator[None]:
    """Start in ``tmp_path`` with no MLflow or cloud settings, and leave none behind."""
    make_tables_once()
    let_sqlite_write_nothing_through()
    _let_collections_pass_by_modules()
    before = Path.cwd()
    kept = _take_leftovers()
    os.environ.update(QUIET_ENVIRONMENT)
    os.chdir(tmp_path)
    yield
    forget_mlflow_state()
    os.chdir(before)
    _take_leftovers()
    os.environ.update(kept)


@pytest.fixture(scope="session")
def states(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the states of all tests. (Pytest's numbers get slower with their number.)"""
    return tmp_path_factory.mktemp("states")


@pytest.fixture(autouse=True)
def own_state(states: Path) -> Iterator[None]:
    """Remember what was sent in a folder of the test's own, and never in the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", tempfile.mkdtemp(dir=states))
        yield


_FROZEN: set[str] = set()


def _let_collections_pass_by_modules() -> None:
    """What MLflow brings is there for good: Python need not look through it again and again."""
    if "mlflow" in sys.modules and not _FROZEN:
        _FROZEN.add("mlflow")
        gc.collect()
        gc.freeze()


def forget_artifact_places() -> None:
    """Let MLflow's clients look again where runs keep files: copies have the same runs."""
    if utils := sys.modules.get("mlflow.tracking._tracking_service.utils"):
        utils._artifact_repos_cache.clear()


def _take_leftovers() -> dict[str, str]:
    names = [name for name in os.environ if name.startswith(LEFTOVER_PREFIXES)]
    return {name: os.environ.pop(name) for name in names}


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this test session that all its workers see."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"


# --- SQLite ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def mlflow_sqlite_template(shared_folder: Path) -> Path:
    """A database with MLflow's schema and default experiment. Copy it; see `mlflow_sqlite`."""
    return (
        build_once(
            shared_folder / "schema", lambda folder: create_mlflow_sqlite(folder / "mlflow.db")
        )
        / "mlflow.db"
    )


@pytest.fixture(scope="session")
def rich_sqlite_template(shared_folder: Path, mlflow_sqlite_template: Path) -> RichRegistry:
    """The rich registry that the others are copied from. Do not touch."""
    from tests.support.rich_registry import build_rich_registry, from_json, to_json

    def build(folder: Path) -> None:
        copy_sqlite(mlflow_sqlite_template, folder / "rich.db")
        rich = build_rich_registry(sqlite_url(folder / "rich.db"), folder / "artifacts")
        (folder / "rich.json").write_text(to_json(rich), encoding="utf-8")

    folder = build_once(shared_folder / "rich", build)
    return from_json((folder / "rich.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def plain_sqlite_template(shared_folder: Path, mlflow_sqlite_template: Path) -> PlainRegistry:
    """The plain registry that the others are copied from. Do not touch."""
    from tests.support.plain_registry import build_plain_registry, from_json, to_json

    def build(folder: Path) -> None:
        copy_sqlite(mlflow_sqlite_template, folder / "mlflow.db")
        plain = build_plain_registry(sqlite_url(folder / "mlflow.db"), folder / "artifacts")
        (folder / "plain.json").write_text(to_json(plain), encoding="utf-8")

    folder = build_once(shared_folder / "plain", build)
    return from_json((folder / "plain.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def mlflow_file_store(shared_folder: Path) -> Path:
    """A file store that MLflow itself wrote, with one of everything. Do not touch."""
    from tests.support.file_stores import build_with_mlflow

    def build(folder: Path) -> None:
        (folder / "mlruns").mkdir()
        build_with_mlflow(folder / "mlruns")

    return build_once(shared_folder / "file-store", build) / "mlruns"


@pytest.fixture
def mlflow_sqlite(mlflow_sqlite_template: Path, tmp_path: Path) -> Path:
    """The path of an empty SQLite database with MLflow's schema, of the test's own."""
    copy_sqlite(mlflow_sqlite_template, tmp_path / "empty" / "mlflow.db")
    return tmp_path / "empty" / "mlflow.db"


@pytest.fixture
def plain_sqlite(plain_sqlite_template: PlainRegistry, tmp_path: Path) -> PlainRegistry:
    """A plain registry in SQLite; database and artifacts are the test's own."""
    forget_artifact_places()
    from tests.support.rich_registry import copy_with_artifacts

    return copy_with_artifacts(plain_sqlite_template, tmp_path / "plain")


@pytest.fixture
def rich_sqlite(rich_sqlite_template: RichRegistry, tmp_path: Path) -> RichRegistry:
    """The rich registry in SQLite; the database is the test's own, the artifacts are shared."""
    from tests.support.rich_registry import copy_database

    return copy_database(rich_sqlite_template, tmp_path / "rich")


@pytest.fixture
def rich_sqlite_private(rich_sqlite_template: RichRegistry, tmp_path: Path) -> RichRegistry:
    """The rich registry in SQLite; database and artifacts are the test's own."""
    from tests.support.rich_registry import copy_with_artifacts

    return copy_with_artifacts(rich_sqlite_template, tmp_path / "rich")


@pytest.fixture(scope="session")
def rich_workspaces_template(
    shared_folder: Path, rich_sqlite_template: RichRegistry
) -> RichRegistry:
    """The rich registry with a second workspace ``team-b``. Do not touch."""
    from tests.support.rich_registry import add_workspace, copy_with_artifacts, from_json, to_json

    def build(folder: Path) -> None:
        rich = copy_with_artifacts(rich_sqlite_template, folder / "rich")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
            add_workspace(rich)
        (folder / "rich.json").write_text(to_json(rich), encoding="utf-8")

    folder = build_once(shared_folder / "rich-workspaces", build)
    return from_json((folder / "rich.json").read_text(encoding="utf-8"))


@pytest.fixture
def rich_sqlite_workspaces(
    rich_workspaces_template: RichRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RichRegistry:
    """The rich registry with a second workspace ``team-b``, and MLflow set to use workspaces."""
    from tests.support.rich_registry import copy_with_artifacts

    monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
    return copy_with_artifacts(rich_workspaces_template, tmp_path / "rich")


# --- PostgreSQL -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres(shared_folder: Path) -> Iterator[Postgres]:
    """A PostgreSQL server of this worker's own. `Postgres.new_database` makes databases."""
    server = Postgres(shared_folder)
    server.mlflow_template()
    yield server
    server.close()


@pytest.fixture
def empty_postgres_url(postgres: Postgres) -> Iterator[str]:
    """The address of a database with nothing in it."""
    url = postgres.new_database()
    yield url
    forget_mlflow_state()
    postgres.drop(url)


@pytest.fixture
def mlflow_postgres_url(postgres: Postgres) -> Iterator[str]:
    """The address of a database with MLflow's schema and default experiment."""
    url = postgres.new_mlflow_database()
    yield url
    forget_mlflow_state()
    postgres.drop(url)


@pytest.fixture(scope="session")
def rich_postgres_template(postgres: Postgres) -> RichRegistry:
    """The rich registry in PostgreSQL that the others are copied from. Do not touch."""
    from tests.support.rich_registry import build_rich_registry, from_json, to_json

    def fill(url: str, folder: Path) -> None:
        rich = build_rich_registry(url, folder / "artifacts")
        (folder / "rich.json").write_text(to_json(rich), encoding="utf-8")

    folder = postgres.template("rich", fill, postgres.mlflow_template())
    rich = from_json((folder / "rich.json").read_text(encoding="utf-8"))
    return dataclasses.replace(rich, tracking_uri=postgres.url("rich"))


@pytest.fixture
def rich_postgres(
    rich_postgres_template: RichRegistry, postgres: Postgres
) -> Iterator[RichRegistry]:
    """The rich registry in PostgreSQL; the database is the test's own, the artifacts are shared."""
    url = postgres.new_database("rich")
    yield dataclasses.replace(rich_postgres_template, tracking_uri=url)
    forget_mlflow_state()
    postgres.drop(url)


# --- MariaDB --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def mariadb(shared_folder: Path) -> Iterator[MariaDb]:
    """A MariaDB server of this worker's own. `MariaDb.new_database` makes databases."""
    if why := missing():
        pytest.skip(why)
    server = MariaDb(shared_folder)
    yield server
    server.close()


@pytest.fixture
def empty_mysql_url(mariadb: MariaDb) -> Iterator[str]:
    """The address of a MariaDB database with nothing in it, which takes every registry."""
    url = mariadb.new_database(BINARY)
    yield url
    forget_mlflow_state()
    mariadb.drop(url)


@pytest.fixture
def mlflow_mysql_url(mariadb: MariaDb) -> Iterator[str]:
    """The address of a MariaDB database with MLflow's schema, which takes every registry."""
    url = mariadb.new_mlflow_database(BINARY)
    yield url
    forget_mlflow_state()
    mariadb.drop(url)


@pytest.fixture
def usual_mysql_url(mariadb: MariaDb) -> Iterator[str]:
    """The same, with the collation that nobody chose: upper and lower case are equal."""
    url = mariadb.new_mlflow_database()
    yield url
    forget_mlflow_state()
    mariadb.drop(url)


# --- S3 -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """An S3 of this worker's own. Tests want `s3`, which also sets the environment."""
    with running_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An S3 that MLflow and boto3 find through the environment; ``s3.new_bucket()``."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture
def cli(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Finished]:
    """Run a command line: ``cli("copy", source, target).code``."""
    from tests.support.command_line import command_line

    return command_line(capsys, monkeypatch)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A private key and its public one, made by OpenSSL."""
    folder = tmp_path_factory.mktemp("keys")
    private, public = str(folder / "key.pem"), str(folder / "key.pub")
    make = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private]
    subprocess.run(make, check=True)
    show = ["openssl", "ec", "-in", private, "-pubout", "-out", public]
    subprocess.run(show, check=True, capture_output=True)
    return private, public


@pytest.fixture(scope="session")
def forking_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has imported MLflow already: see `forks.commands`."""
    from tests.support.forks import commands

    return str(commands(tmp_path_factory.mktemp("programs") / "bin") / "python")


@pytest.fixture
def quick_loads(forking_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are loaded, and servers asked, in a process that need not import MLflow first."""
    from mlporter.promotion.checks import fresh_load
    from mlporter.verbs.backups import restore_test

    for module in (fresh_load, restore_test):
        monkeypatch.setattr(module, "sys", SimpleNamespace(executable=forking_python))


@pytest.fixture(scope="module")
def quick_uis(forking_python: str) -> Iterator[None]:
    """MLflow's UI is started in a process that need not import MLflow first."""
    from mlporter.browsing import ui_server

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ui_server, "sys", SimpleNamespace(executable=forking_python))
        yield


@pytest.fixture(scope="session")
def rich_bundle(shared_folder: Path, rich_sqlite_template: RichRegistry) -> Path:
    """The rich SQLite registry, exported. Do not touch; copy what is to be damaged."""
    import mlporter

    def build(folder: Path) -> None:
        mlporter.export(rich_sqlite_template.tracking_uri, str(folder / "bundle"))

    return build_once(shared_folder / "rich-bundle", build) / "bundle"


@pytest.fixture(scope="session")
def plain_bundle(shared_folder: Path, plain_sqlite_template: PlainRegistry) -> Path:
    """The plain SQLite registry, exported. Do not touch; copy what is to be damaged."""
    import mlporter

    def build(folder: Path) -> None:
        mlporter.export(plain_sqlite_template.tracking_uri, str(folder / "bundle"))

    return build_once(shared_folder / "plain-bundle", build) / "bundle"


@pytest.fixture(scope="session")
def rich_observed(shared_folder: Path, rich_sqlite_template: RichRegistry) -> dict[str, Any]:
    """The rich SQLite registry as MLflow's client sees it (a copy, as MLflow writes)."""
    from tests.support.observed import observe

    def build(folder: Path) -> None:
        copy_sqlite(rich_sqlite_template.database_path, folder / "mlflow.db")
        seen = observe(sqlite_url(folder / "mlflow.db"))
        (folder / "seen.json").write_text(json.dumps(seen), encoding="utf-8")

    folder = build_once(shared_folder / "rich-observed", build)
    seen: dict[str, Any] = json.loads((folder / "seen.json").read_text(encoding="utf-8"))
    return seen


@pytest.fixture
def target_url(request: pytest.FixtureRequest) -> str:
    """An empty database with MLflow's schema; parametrize it: sqlite, postgresql or mysql."""
    if request.param == "sqlite":
        return sqlite_url(request.getfixturevalue("mlflow_sqlite"))
    name = {"postgresql": "mlflow_postgres_url", "mysql": "mlflow_mysql_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url


# --- Servers --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def running_server(
    mlflow_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TargetServer]:
    """The server. Tests want `server`."""
    yield from _running(mlflow_sqlite_template, tmp_path_factory.mktemp("target"))


def _running(template: Path, folder: Path) -> Iterator[TargetServer]:
    from tests.support.target_server import target_server

    with target_server(template, folder) as server:
        yield server


@pytest.fixture
def server(running_server: TargetServer) -> Iterator[TargetServer]:
    """An empty server. A test that opens it again does not ask anew what it can do."""
    from mlporter.stores.server.capabilities import asking_once

    running_server.reset()
    with asking_once():
        yield running_server


@pytest.fixture(scope="session")
def other_running_server(
    mlflow_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TargetServer]:
    """Another server. Tests want `other_server`."""
    yield from _running(mlflow_sqlite_template, tmp_path_factory.mktemp("other"))


@pytest.fixture
def other_server(other_running_server: TargetServer) -> TargetServer:
    """An empty server, beside `server`."""
    other_running_server.reset()
    return other_running_server


@pytest.fixture(scope="module")
def beginnings(tmp_path_factory: pytest.TempPathFactory) -> Beginnings:
    """What tests of a module begin with: ``beginnings.begin(name, make, *servers)``."""
    from tests.support.target_server import Beginnings

    return Beginnings(tmp_path_factory.mktemp("beginnings"))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks a server again does not wait before, or not long."""
    from mlporter.stores.rest import retrying

    monkeypatch.setattr(retrying, "_FIRST_WAIT", 0.01)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to servers from now on: method and path of each request."""
    from mlporter.stores.rest.client import Client

    sent: list[str] = []
    ways = (("_json", None), ("upload", "PUT"), ("send", "POST"), ("post_form", "POST"))
    for name, method in ways:
        really = getattr(Client, name)

        def recording(self, *args, _really=really, _method=method, **options):
            verb, path = (args[0], args[1]) if _method is None else (_method, args[0])
            if verb != "GET" and not path.endswith("/search"):
                sent.append(f"{verb} {path}")
            return _really(self, *args, **options)

        monkeypatch.setattr(Client, name, recording)
    return sent
