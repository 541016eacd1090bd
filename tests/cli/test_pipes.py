"""A reader who has seen enough (`| head`): the command ends at once and quietly.

What it found is its exit code where it was about to say so, else 141, as other tools end.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import mlporter as api
from tests.support.mlflow_session import QUIET_ENVIRONMENT

if TYPE_CHECKING:
    from pathlib import Path

SIGPIPE = 141

WORDS = {
    "show": "show DATABASE metrics",
    "show as CSV": "show DATABASE metrics --format csv",
    "show as JSON": "show DATABASE metrics --json",
    "inspect": "inspect DATABASE",
    "diff": "diff DATABASE BUNDLE",
    "verify": "verify BUNDLE",
    "verify as JSON": "verify BUNDLE --json",
    "doctor": "doctor",
    "plan of an import": "import BUNDLE sqlite:///new.db --artifact-root files --dry-run",
    "plan of a copy": "copy DATABASE sqlite:///new.db --artifact-root files --dry-run",
}
ENDS = {
    "help": ("--help", SIGPIPE),
    "help of a verb": ("copy --help", SIGPIPE),
    "version": ("--version", SIGPIPE),
    "a difference": ("diff DATABASE sqlite:///empty.db", 1),
    "an error as JSON": ("inspect nothing --json", 6),
    "what runs others": ("demo", SIGPIPE),
} | {name: (words, 0) for name, words in WORDS.items()}
"""What is printed, and the exit code."""
REAL = ("help", "show as CSV", "verify as JSON", "an error as JSON", "inspect")
"""Seen in a Python of its own, with what it says at its end; the others in one that starts at once,
as they write in the same ways."""


@pytest.fixture(scope="module")
def bundle(plain_sqlite_template, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "backup"
    api.export(plain_sqlite_template.tracking_uri, folder)
    return folder


def nobody_reads() -> int:
    """The end of a pipe that nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    return theirs


def start(words, *, stdout, stderr, python=sys.executable):
    return subprocess.Popen(
        [python, "-W", "ignore", *words],
        stdout=stdout,
        stderr=stderr,
        text=True,
        env={**os.environ, **QUIET_ENVIRONMENT, "COLUMNS": "80"},
    )


@pytest.mark.parametrize("name", ENDS)
def test_nobody_reads_stdout(name, bundle, plain_sqlite_template, mlflow_sqlite, forking_python):
    mlflow_sqlite.rename("empty.db")
    places = {"DATABASE": plain_sqlite_template.tracking_uri, "BUNDLE": str(bundle)}
    said, code = ENDS[name]
    words = [places.get(word, word) for word in said.split()]
    pipe = nobody_reads()
    python = sys.executable if name in REAL else forking_python
    words = ["-m", "mlporter", *words]
    process = start(words, stdout=pipe, stderr=subprocess.PIPE, python=python)
    os.close(pipe)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (code, "")


def test_nobody_reads_what_is_said_meanwhile(plain_sqlite_template, tmp_path):
    """Log lines and the summary: the work ends, and what is there is no bundle."""
    pipe = nobody_reads()
    words = ["-m", "mlporter", "export", plain_sqlite_template.tracking_uri, "backup", "-vv"]
    process = start(words, stdout=subprocess.PIPE, stderr=pipe)
    os.close(pipe)
    said, _ = process.communicate(timeout=120)
    assert (process.returncode, said) == (SIGPIPE, "")
    assert not (tmp_path / "backup" / "manifest.yaml").exists()


def test_the_first_lines_are_read(plain_sqlite_template):
    command = f"{sys.executable} -W ignore -m mlporter show {plain_sqlite_template.tracking_uri}"
    done = subprocess.run(
        ["bash", "-c", f"{command} metrics --format csv | head -1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    header, code = done.stdout.splitlines()
    assert (header.startswith("run_uuid,key,"), code) == (True, "0")
    assert done.stderr == ""


def test_watching_ends_when_its_first_line_was_enough(plain_sqlite_template, mlflow_sqlite):
    """And not at the next round, an hour later."""
    words = f"sync {plain_sqlite_template.tracking_uri} sqlite:///{mlflow_sqlite} --watch 1h"
    process = start(
        ["-m", "mlporter", *words.split(), "--artifacts", "none"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert " new " in process.stdout.readline()
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (SIGPIPE, "")
    process.stderr.close()


OTHER_THREAD = """
import sys, threading
from mlporter.cli.terminal.signals import stopping_on_signals
from mlporter.cli.terminal.streams import ReaderGone, guarded_streams

written = []

def write():
    print("x", flush=True)
    written.append("no error")

try:
    with guarded_streams(), stopping_on_signals():
        threading.Thread(target=write, daemon=True).start()
        threading.Event().wait(60)
except ReaderGone:
    print("into nothing", file=sys.stdout, flush=True)
    sys.exit(5 if written == ["no error"] else 1)
"""


def test_a_thread_finds_out_and_the_main_one_ends(plain_sqlite_template):
    """No error of the thread's own, which it could take for the network's."""
    pipe = nobody_reads()
    process = start(["-c", OTHER_THREAD], stdout=pipe, stderr=subprocess.PIPE)
    os.close(pipe)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (5, "")


@pytest.mark.parametrize("name", [*WORDS, "help"])
def test_the_disk_that_stdout_is_written_to_is_full(
    name, bundle, plain_sqlite_template, forking_python
):
    places = {"DATABASE": plain_sqlite_template.tracking_uri, "BUNDLE": str(bundle)}
    words = [places.get(word, word) for word in ENDS[name][0].split()]
    with open("/dev/full", "wb") as full:  # noqa: PTH123 -- a device
        python = sys.executable if name in REAL else forking_python
        process = start(
            ["-m", "mlporter", *words], stdout=full, stderr=subprocess.PIPE, python=python
        )
        _, said = process.communicate(timeout=120)
    assert process.returncode == 6
    # With --json, what went wrong is an object on stdout, too.
    assert said.startswith("mlporter: error: stdout: cannot be written: ") or "--json" in words
    assert "Traceback" not in said
