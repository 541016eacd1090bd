"""Files handed to the workers of a Dask cluster: the same comes out, whoever is killed."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import pytest

import mlporter
from mlporter.errors import ExitCode, RefusedError, UnreachableError, UsageError
from mlporter.promotion.promoted_source import PromotedSource
from mlporter.stores.filestore.runs import run_folders
from mlporter.workers import dask_cluster
from mlporter.workers.in_order import answers_in_order
from mlporter.workers.task_pool import WorkerLostError
from tests.repository.registry import SmallRegistry
from tests.support.contents import contents
from tests.support.databases import rows, tree
from tests.support.engines import copy_sqlite
from tests.support.file_stores import TIME, FolderStore, put
from tests.support.mlflow_session import sqlite_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlporter.artifacts.listing import ArtifactFile
    from tests.support.engines import S3

_RUNS, _FILES = 4, 8
_LARGE = 300_000
_START = 120
"""Seconds in which a busy machine starts a worker."""


class Cluster:
    """Two workers of one thread, behind an address."""

    def __init__(self, environment: dict[str, str]) -> None:
        import dask  # noqa: PLC0415 -- as long as all of mlporter
        from distributed import LocalCluster  # noqa: PLC0415 -- as above

        # One that a busy machine has not started again in 15 seconds would be given up otherwise.
        dask.config.set({"distributed.deploy.lost-worker-timeout": _START})
        self._cluster = LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            env=environment,
        )

    def have_both(self) -> None:
        """Wait for those that an earlier test killed."""
        self._cluster.wait_for_workers(2, timeout=_START)

    @property
    def address(self) -> str:
        return self._cluster.scheduler_address

    def kill_one(self) -> None:
        """Kill the process of a worker; a new one comes."""
        while not (processes := self._processes()):
            self._cluster.wait_for_workers(1, timeout=_START)
        os.kill(processes[0], signal.SIGKILL)

    def _processes(self) -> list[int]:
        """Those of workers that are there: what is killed before is never started again."""
        there = self._cluster.scheduler.workers
        workers = list(self._cluster.workers.values())
        return [one.pid for one in workers if one.pid and one.worker_address in there]

    def close(self) -> None:
        self._cluster.close()


@pytest.fixture(scope="module")
def shared_cluster(s3_server: S3) -> Iterator[Cluster]:
    with closing(Cluster(s3_server.environment)) as made:
        yield made


@pytest.fixture
def cluster(shared_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(dask_cluster, "_PATIENCE", _START)
    shared_cluster.have_both()
    return shared_cluster


@pytest.fixture(scope="module")
def registry(
    mlflow_sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> SmallRegistry:
    """Runs with small files and large ones, no two alike but for one."""
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path_factory.mktemp("large") / "registry")
    for run in range(_RUNS):
        files = {f"{n}.bin": bytes([run, n]) * (_LARGE if n % 2 else 10) for n in range(_FILES)}
        made.add_run(f"{run:032x}", 1, files | {"same.txt": b"same"})
    return made


@pytest.fixture(scope="module")
def bundle(registry: SmallRegistry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    mlporter.export(registry.url, str(folder))
    return folder


@pytest.fixture
def target(mlflow_sqlite_template: Path, tmp_path: Path) -> str:
    copy_sqlite(mlflow_sqlite_template, tmp_path / "target.db")
    return sqlite_url(tmp_path / "target.db")


def files_of(bundle: Path) -> dict[str, str]:
    """What is not of its time only: parts, packs and blobs."""
    return {name: sha for name, sha in tree(bundle).items() if "/" in name.rstrip("/")}


def killing(cluster: Cluster, times: int) -> Any:
    """Told of progress, it kills a worker now and then."""
    told = 0

    def tell(what: str, *_: object) -> None:
        nonlocal told
        if what == "copying artifacts":
            told += 1
            if told <= times * 3 and told % 3 == 1:
                cluster.kill_one()

    return tell


def test_the_same_bundle_comes_out_while_workers_are_killed(registry, bundle, cluster, tmp_path):
    made = tmp_path / "made"
    result = mlporter.export(
        registry.url, str(made), dask=cluster.address, on_progress=killing(cluster, 2)
    )
    assert result.exit_code == 0
    assert files_of(made) == files_of(bundle)
    assert mlporter.verify(str(made), dask=cluster.address).exit_code == 0
    (part,) = made.glob("tables/metrics/*")
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    found, here = (
        mlporter.verify(str(made), **asked).check for asked in ({"dask": cluster.address}, {})
    )
    assert found.as_dict() == here.as_dict()
    assert [(one.path, one.what) for one in found.problems] == [
        (str(part.relative_to(made)), "content")
    ]


def test_a_copy_is_whole_while_workers_are_killed_and_repeating_it_finds_all_there(
    registry, target, cluster, tmp_path
):
    asked = {"artifact_root": str(tmp_path / "root"), "dask": cluster.address}
    result = mlporter.copy(registry.url, target, **asked, on_progress=killing(cluster, 2))
    assert (result.exit_code, result.files.files) == (0, _RUNS * (_FILES + 1))
    assert mlporter.diff(registry.url, target).identical
    again = mlporter.copy(registry.url, target, **asked)
    assert again.files.stored_files == 0


def test_a_snapshot_holds_the_same_while_workers_are_killed_and_damage_is_found_by_workers(
    registry, bundle, cluster, tmp_path
):
    kept, asked = tmp_path / "kept", {"dask": cluster.address}
    made = mlporter.backup(registry.url, kept, **asked, on_progress=killing(cluster, 2))
    assert (made.exit_code, made.snapshot.added.contents) == (0, _RUNS * _FILES + 1)
    assert contents(kept) == contents(bundle)
    again = mlporter.backup(registry.url, kept, **asked, reread=True)
    assert again.snapshot.added.contents == 0
    blob = max(kept.glob("blobs/*/*"))
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    for place in (str(kept), f"{kept}/@latest"):
        found, here = mlporter.verify(place, **asked).check, mlporter.verify(place).check
        assert found.as_dict() == here.as_dict()
        assert [one.path for one in found.problems] == [str(blob.relative_to(kept))]


def test_a_target_is_kept_in_step_by_workers(registry, target, cluster, tmp_path):
    asked = {"artifact_root": str(tmp_path / "root"), "state": tmp_path / "state"}
    result = mlporter.sync(registry.url, target, **asked, dask=cluster.address)
    assert (result.exit_code, result.files.files) == (0, _RUNS * (_FILES + 1))
    assert mlporter.diff(registry.url, target).identical


def test_a_version_is_promoted_by_workers_whose_sums_prove_it(
    plain_sqlite, target, cluster, tmp_path, monkeypatch
):
    heard, hear = [], PromotedSource.read_elsewhere

    def hears(self: PromotedSource, file: ArtifactFile, sha256: str) -> None:
        heard.append(file.path)
        hear(self, file, sha256)

    monkeypatch.setattr(PromotedSource, "read_elsewhere", hears)
    result = mlporter.promote(
        "models:/plain-model/1",
        plain_sqlite.tracking_uri,
        target,
        artifact_root=tmp_path / "root",
        receipt=tmp_path / "receipt.json",
        dask=cluster.address,
    )
    (version,) = result.versions
    assert (result.exit_code, version.status) == (0, "promoted")
    assert len(heard) == result.transfers[0].files.files > 0


def test_nothing_stays_of_an_import_that_fails_whoever_wrote_it(
    bundle, target, cluster, tmp_path, monkeypatch
):
    def fails(self: object) -> None:
        raise UnreachableError("the disk is gone", subject="root")

    monkeypatch.setattr("mlporter.execute.database.target_files.TargetFiles.settle", fails)
    root = tmp_path / "root"
    with pytest.raises(UnreachableError, match="the disk is gone"):
        mlporter.import_(
            str(bundle),
            target,
            artifact_root=str(root),
            dask=cluster.address,
            on_progress=killing(cluster, 1),
        )
    assert tree(root) == {}
    assert rows(target, "SELECT count(*) FROM runs") == [(0,)]


def test_a_file_that_no_worker_can_read_is_named_and_the_rest_goes_on(
    mlflow_sqlite_template, cluster, tmp_path
):
    made = SmallRegistry.make(mlflow_sqlite_template, tmp_path / "registry")
    made.add_run(f"{1:032x}", 1, {"a.txt": b"a", "b.txt": b"b"})
    lost = made.folder / f"{1:032x}" / "artifacts" / "a.txt"
    check_sees = dask_cluster.DaskWorkers.check_sees

    def unlink(self: Any, folder: str) -> None:
        """The file goes when it was listed, and before it is read."""
        if folder == str(lost.parent):
            lost.unlink(missing_ok=True)
        check_sees(self, folder)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dask_cluster.DaskWorkers, "check_sees", unlink)
        result = mlporter.export(made.url, str(tmp_path / "made"), dask=cluster.address)
    assert result.exit_code == ExitCode.INCOMPLETE
    assert [item.path for item in result.left_out.first if not item.expected] == ["a.txt"]
    assert result.files.files == 1


def test_runs_of_a_file_store_are_read_by_workers_and_what_they_cannot_read_is_tried_here(
    cluster, tmp_path, monkeypatch
):
    store = FolderStore(tmp_path / "mlruns")
    experiment = store.experiment("1", "one")
    for number in range(40):  # more than are read at a time
        run = store.run(experiment)
        put(run / "params" / "a", str(number))
        put(run / "metrics" / "loss", f"{TIME} {number} 1\n")
    put(run / "metrics" / "broken", "no point\n")
    place, here, finish = str(store.root), [], run_folders._Reading.finish
    plain = mlporter.export(place, tmp_path / "plain", artifacts="none")
    monkeypatch.setattr(
        run_folders._Reading, "finish", lambda self: here.append(finish(self)) or here[-1]
    )
    made = mlporter.export(place, tmp_path / "made", artifacts="none", dask=cluster.address)
    assert made.left_out == plain.left_out
    assert [item.path for item in made.left_out.first if not item.expected] == [
        f"1/{run.name}/metrics/broken"
    ]
    assert files_of(tmp_path / "made") == files_of(tmp_path / "plain")
    assert [len(batch.runs) for batch in here] == [40 % 32]


def test_workers_log_in_to_a_bucket_by_their_own_environment(registry, cluster, s3, caplog):
    place = f"{s3.new_bucket()}/bundle"
    result = mlporter.export(registry.url, place, dask=cluster.address)
    assert (result.exit_code, result.files.files) == (0, _RUNS * (_FILES + 1))
    assert mlporter.verify(place, dask=cluster.address).exit_code == 0
    assert "copied here" not in caplog.text


def test_what_workers_are_not_allowed_is_done_here(registry, bundle, cluster, tmp_path, caplog):
    from distributed import Client  # noqa: PLC0415 -- as above

    made = tmp_path / "made"
    with Client(cluster.address, set_as_default=False) as client:
        limits = client.run(may_write, 0)
        try:
            result = mlporter.export(registry.url, str(made), dask=cluster.address)
        finally:
            client.run(may_write, max(limits.values()))
    assert result.exit_code == 0
    assert files_of(made) == files_of(bundle)
    assert "a worker could not copy a file, which is copied here" in caplog.text


def may_write(size: int) -> int:
    """Let a process write files of so many bytes; how many it could before."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    return soft


def test_a_scheduler_that_goes_away_ends_it_and_resuming_goes_on(
    registry, bundle, tmp_path, monkeypatch
):
    monkeypatch.setattr(dask_cluster, "_PATIENCE", 1)
    gone = Cluster({})
    made = tmp_path / "made"

    def close(what: str, *_: object) -> None:
        if what == "copying artifacts":
            gone.close()

    with pytest.raises(UnreachableError, match="scheduler is gone"):
        mlporter.export(registry.url, str(made), dask=gone.address, on_progress=close)
    assert mlporter.export(registry.url, str(made), resume=True).exit_code == 0
    assert contents(made) == contents(bundle)


def test_a_folder_that_only_this_machine_has_is_refused(cluster):
    with dask_cluster.connected(cluster.address) as pool:
        pool.check_sees("/")
        # Every process has another one.
        with pytest.raises(RefusedError, match="do not see it") as refused:
            pool.check_sees("/proc/self")
    assert "local:N" in (refused.value.hint or "")


def test_an_answer_that_is_lost_with_the_last_worker_is_not_waited_for(monkeypatch):
    from distributed import Client, LocalCluster  # noqa: PLC0415 -- as above

    monkeypatch.setattr(dask_cluster, "_PATIENCE", 0.5)
    monkeypatch.setattr(dask_cluster, "_LOOKS", 0.1)
    options = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, **options) as made,
        Client(made, set_as_default=False) as client,
    ):
        monkeypatch.setattr(made.workers[0], "instantiate", stay_away)
        pool = dask_cluster.DaskWorkers(client, "cluster", is_here=True)
        with pool.started(waits=False) as executor:
            process = executor.submit(process_of, "").result()
            last = executor.submit(process_of, "")
            last.future.exception()  # It is done.
            os.kill(process, signal.SIGSTOP)  # So that its answer stays where it is.
            really = executor._threads

            def kill_and_count() -> int:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                return really()

            monkeypatch.setattr(executor, "_threads", kill_and_count)
            with pytest.raises(WorkerLostError):
                last.result()


async def stay_away() -> None:
    """Start no other worker."""


def process_of(_: str) -> int:
    """The process that a task is done by."""
    return os.getpid()


def test_of_a_worker_that_is_killed_while_it_is_asked_nothing_is_wanted(
    cluster, tmp_path, monkeypatch
):
    from distributed import Client  # noqa: PLC0415 -- as above

    with Client(cluster.address, set_as_default=False) as client:
        answers = dask_cluster.asked(client, "cluster", the_first_dies, str(tmp_path / "first"))
        monkeypatch.setattr(dask_cluster, "_ATTEMPTS", 1)
        with pytest.raises(UnreachableError, match="stays until it has answered"):
            dask_cluster.asked(client, "cluster", dies)
    assert set(answers.values()) == {"alive"}
    assert len(answers) == 1


def test_what_a_cluster_without_workers_was_given_is_done_here(monkeypatch):
    from distributed import Client, LocalCluster  # noqa: PLC0415 -- as above

    monkeypatch.setattr(dask_cluster, "_PATIENCE", 0.2)
    monkeypatch.setattr(dask_cluster, "_LOOKS", 0.1)
    with (
        LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as empty,
        Client(empty, set_as_default=False) as client,
    ):
        pool = dask_cluster.DaskWorkers(client, "cluster", is_here=True)
        answers = answers_in_order(pool, str, range(5), failed=str.isalpha)
        assert list(answers) == ["0", "1", "2", "3", "4"]


def the_first_dies(marker: str) -> str:
    """Answered by all processes but the first one that comes to it."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return "alive"
    return dies()


def dies() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def test_an_address_at_which_nobody_answers_is_told(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_cluster, "_PATIENCE", 0.1)
    with pytest.raises(UnreachableError, match="no Dask scheduler answers"):
        mlporter.export(registry.url, str(tmp_path / "made"), dask="tcp://127.0.0.1:1")
    assert not (tmp_path / "made").exists()


def test_what_speaks_otherwise_is_no_scheduler(registry, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(UnreachableError, match="no Dask scheduler answers"):
            mlporter.export(registry.url, str(tmp_path / "made"), dask=address)
    assert not (tmp_path / "made").exists()


def test_workers_are_refused_where_they_have_nothing_to_do(bundle, target, tmp_path):
    with pytest.raises(UsageError, match="copies none"):
        mlporter.import_(str(bundle), target, artifacts="none", dask="local:1")
    with pytest.raises(UsageError, match="this process"):
        mlporter.import_(str(bundle), "http://127.0.0.1:1", processes=1)
    with pytest.raises(UsageError, match="--reference copies none"):
        mlporter.promote("models:/a/1", str(bundle), target, reference=True, processes=1)
