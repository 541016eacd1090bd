"""The process of MLflow's server: it ends when it should, and leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress

import pytest

import mlporter
from mlporter.browsing.ui_server import UiServer
from mlporter.errors import ExitCode
from tests.support.forkserver import PYTHON
from tests.support.processes import mlporter_process

ALONE = """
import sys
from mlporter.browsing.ui_server import UiServer
print(UiServer().url, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder where temporary files go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def port_of(url):
    return int(url.rpartition(":")[2])


def wait_until_gone(port):
    """Return when nobody has the port any more, to whom this connects."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as asked:
        yield
        with suppress(ConnectionResetError):
            assert asked.recv(1) == b""


def test_a_server_is_stopped_before_it_has_started(temporary):
    server = UiServer()
    assert list(temporary.iterdir()) == [server.folder]
    waiting = wait_until_gone(port_of(server.url))
    next(waiting)
    server.close()
    server.close()
    next(waiting, None)
    assert list(temporary.iterdir()) == []


def test_a_server_ends_with_the_process_that_started_it(temporary):
    with subprocess.Popen(
        [sys.executable, "-c", ALONE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as alone:
        waiting = wait_until_gone(port_of(alone.stdout.readline().strip()))
        next(waiting)
        assert len(list(temporary.iterdir())) == 1
        alone.kill()
    next(waiting, None)
    assert list(temporary.iterdir()) == []


def test_a_file_store_is_shown_until_ctrl_c(
    mlflow_file_store, tmp_path, monkeypatch, forking_python
):
    monkeypatch.setenv(PYTHON, forking_python)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))  # for that process only
    before = {path: path.stat().st_mtime_ns for path in sorted(mlflow_file_store.rglob("*"))}
    process = mlporter_process("browse", mlflow_file_store, "--no-open", "--json")
    told = json.loads(_object(process.stdout))
    assert told["address"] == str(mlflow_file_store)
    url = f"{told['url']}/api/2.0/mlflow/experiments/search?max_results=100"
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 -- http
        names = {one["name"] for one in json.load(answer)["experiments"]}
    shown = mlporter.inspect(mlflow_file_store).experiments
    assert names == {one.name for one in shown if one.lifecycle_stage == "active"}
    waiting = wait_until_gone(port_of(told["url"]))
    next(waiting)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    next(waiting, None)
    assert (process.returncode, said) == (ExitCode.OK, "")
    assert list(temporary.iterdir()) == []
    after = {path: path.stat().st_mtime_ns for path in sorted(mlflow_file_store.rglob("*"))}
    assert after == before


def _object(stream):
    """The lines of a JSON object, as they come."""
    text = stream.readline()
    while not text.endswith("}\n"):
        text += stream.readline()
    return text


def test_the_port_of_somebody_else(rich_bundle, cli, temporary):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = cli("browse", rich_bundle, "--no-open", "--port", port, "--json")
    assert done.code == ExitCode.REFUSED
    assert done.json["error"]["subject"] == f"127.0.0.1:{port}"
    assert "--port" in done.json["error"]["hint"]
    assert list(temporary.iterdir()) == []
