"""Forks of a process that has imported everything are processes as Python starts them."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.support.forks import commands, start


def said(code, *words, **variables):
    process = start(["-c", code, *words], environment={**os.environ, **variables})
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_streams_arguments_folder_and_variables(tmp_path):
    code = """
import os, sys
print(sys.argv, os.getcwd(), os.environ["ONE"])
print("b", file=sys.stderr)
"""
    assert said(code, "a b", "é", ONE="1") == (0, f"['-c', 'a b', 'é'] {tmp_path} 1\n", "b\n")
    assert os.environ.get("ONE") is None


@pytest.mark.parametrize(
    ("code", "returned", "err"),
    [
        ("", 0, ""),
        ("raise SystemExit(70)", 70, ""),
        ("import sys; sys.exit('no')", 1, "no\n"),
        ("import os; os._exit(5)", 5, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT, ""),
        ("import atexit, sys; atexit.register(sys.stderr.write, 'end')", 0, "end"),
    ],
)
def test_ends(code, returned, err):
    assert said(code) == (returned, "", err)


def test_an_error_ends_with_its_traceback():
    returned, _, err = said("1 / 0")
    assert (returned, err.splitlines()[-1]) == (1, "ZeroDivisionError: division by zero")


def test_what_one_does_to_itself_no_other_has():
    code = "import mlflow, sys; print(hasattr(mlflow, 'seen')); mlflow.seen = True"
    assert [said(code)[1] for _ in range(2)] == ["False\n"] * 2


def test_one_that_is_killed():
    process = start(["-c", "print('up', flush=True); input()"], environment=os.environ)
    assert process.stdout.readline() == "up\n"
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_in_a_shell(tmp_path):
    path = f"{commands(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}"
    lines = """
mlporter --version | cut -d' ' -f1
mlporter nonsense 2> /dev/null
echo $?
python -c 'print(7)'
"""
    done = subprocess.run(
        ["bash", "-c", lines],
        env={**os.environ, "PATH": path},
        text=True,
        capture_output=True,
        check=True,
    )
    assert done.stdout.split() == ["mlporter", "2", "7"]
