import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import mlporter as api
from mlporter.cli.app import VERBS
from mlporter.cli.guidance import MEANT
from tests.cli.examples import DIFFERENT

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"there is no {{name}} here", name=name)
sys.meta_path.insert(0, Blocked())
sys.argv = ["mlporter", *{argv!r}]
"""
MAIN = """
from mlporter.cli import main
main()
"""


def without(blocked, *argv, ends_with=MAIN):
    """Run a command line in a process of its own that must not import some packages."""
    script = BLOCKED.format(blocked=blocked, argv=argv) + ends_with
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


def as_process(*argv, **options):
    command = [sys.executable, "-m", "mlporter", *map(str, argv)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


EACH_HELP = """
import contextlib, io, json
from mlporter.cli.app import run
shown = {}
for verb in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        shown[verb] = run(["--help"] if verb == "--help" else [verb, "--help"]), out.getvalue()
print(json.dumps(shown))
"""


def test_help_needs_neither_mlflow_nor_pyarrow():
    blocked = ["mlflow", "sqlalchemy", "pandas", "pyarrow", "numpy"]
    finished = without(blocked, "--help", *VERBS, ends_with=EACH_HELP)

    assert (finished.returncode, finished.stderr) == (0, "")
    shown = json.loads(finished.stdout)
    assert shown.keys() == {"--help", *VERBS}
    for code, text in shown.values():
        assert code == 0
        assert text.startswith("Usage: mlporter")


def test_verify_needs_no_mlflow_and_no_driver(mlporter, plain_sqlite):
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 0
    drivers = ["adbc_driver_manager", "adbc_driver_sqlite", "adbc_driver_postgresql", "psycopg2"]

    finished = without(["mlflow", "sqlalchemy", "pandas", *drivers], "verify", "backup", "-q")

    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == ""


def test_what_is_no_verb(mlporter):
    finished = mlporter("nonsense")

    assert finished.code == 2
    assert finished.err.endswith("no command 'nonsense'\nhint: mlporter --help\n")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("exprot", "did you mean export?"), ("Diff", "did you mean diff?"), ("ls", "mlporter inspect"),
     ("dump", "mlporter export"), ("restore", "mlporter import"), ("merge", "mlporter copy"),
     ("gc", "mlporter forget"), ("rollback", "mlporter promote --undo"), ("ui", "mlporter browse")],
)  # fmt: skip
def test_what_was_probably_meant(mlporter, typed, hint):
    finished = mlporter(typed)

    assert finished.code == 2
    assert f"\nhint: {hint}" in finished.err
    assert mlporter(typed, "--json").json["error"]["hint"].startswith(hint)


def test_every_hint_names_a_command_that_there_is():
    for hint in MEANT.values():
        named = re.findall(r"mlporter ([a-z]+)", hint)
        assert set(named) <= set(VERBS), hint


def test_without_a_verb_there_are_examples_of_those_that_people_need(mlporter):
    finished = mlporter()

    assert (finished.code, finished.out) == (2, "")
    verbs = re.findall(r"^  mlporter ([a-z]+) ", finished.err, re.MULTILINE)
    assert verbs == ["inspect", "export", "import", "copy", "diff"]
    assert max(map(len, finished.err.splitlines())) <= 80


def test_version(mlporter):
    assert mlporter("--version").out == f"mlporter {metadata.version('mlporter')}\n"


@pytest.mark.parametrize(
    "argv", [("--json",), ("export", "--json"), ("export", "a", "b", "--json", "--nonsense")]
)
def test_wrong_usage_as_json(mlporter, argv):
    finished = mlporter(*argv)

    assert finished.err == ""
    assert finished.json["error"]["exit_code"] == finished.code == 2
    assert set(finished.json["error"]) == {
        "type",
        "message",
        "subject",
        "hint",
        "reasons",
        "exit_code",
    }


@pytest.fixture
def broken(monkeypatch):
    """Let `inspect` fail in a way that nobody expected, over an address with a password."""

    def fail(*args, **options):
        raise KeyError("postgresql://me:geheim@host/db")

    monkeypatch.setattr(api, "inspect", fail, raising=False)


def test_an_unexpected_error_is_a_bug(mlporter, broken):
    finished = mlporter("inspect", "x")

    assert finished.code == 70
    assert "This is a bug in mlporter." in finished.err
    report = Path(finished.err.split()[-1])
    assert "Traceback" not in finished.err
    assert "Traceback" in report.read_text()
    assert "geheim" not in finished.err + report.read_text()
    assert report.stat().st_mode & 0o077 == 0
    report.unlink()


def test_verbose_shows_where_it_happened(mlporter, broken):
    finished = mlporter("inspect", "x", "-v", "--log-file", "log.txt")

    assert finished.code == 70
    assert "in fail\n" in finished.err
    assert "log.txt" in finished.err
    log = Path("log.txt").read_text()
    assert "Traceback" in log
    assert "geheim" not in finished.err + log


def test_a_bug_as_json(mlporter, broken):
    finished = mlporter("inspect", "x", "--json", "--log-file", "log.txt")

    assert finished.json["error"]["type"] == "KeyError"
    assert "geheim" not in finished.out


def test_the_log_file_tells_the_command_without_passwords(mlporter):
    mlporter("inspect", "postgresql://me:geheim@localhost:1/db", "--log-file", "log.txt")

    log = Path("log.txt").read_text()
    assert "command: mlporter inspect postgresql://me:***@localhost:1/db" in log
    assert "geheim" not in log


def test_a_log_file_that_cannot_be_written(mlporter):
    finished = mlporter("inspect", "x", "--log-file", "no/such/folder/log.txt")

    assert finished.code == 2
    assert finished.err.startswith("mlporter: error: no/such/folder/log.txt: ")


def test_a_reader_that_has_seen_enough_is_no_error(plain_sqlite):
    command = f"{sys.executable} -m mlporter show {plain_sqlite.tracking_uri} tags --format csv"

    finished = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (finished.stdout, finished.stderr) == ("0\n", "")


def test_the_verdict_is_the_exit_code_even_if_nobody_reads(monkeypatch, mlporter, fake):
    fake("diff", DIFFERENT)
    reader, writer = os.pipe()
    os.close(reader)

    with os.fdopen(writer, "w", closefd=True) as closed, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", closed)
        assert mlporter("diff", "a", "b").code == 1


def test_a_terminal_without_unicode(plain_sqlite):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}

    finished = as_process("diff", plain_sqlite.tracking_uri, "nowhere-\u00fc", env=environment)

    assert finished.returncode == 6
    assert "nowhere-\\xfc" in finished.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script(shell):
    environment = {**os.environ, "_MLPORTER_COMPLETE": f"{shell}_source"}

    finished = as_process(env=environment)

    assert finished.returncode == 0
    assert "_MLPORTER_COMPLETE" in finished.stdout


@pytest.mark.parametrize(
    ("words", "number", "expected"),
    [
        ("mlporter ex", 1, "plain,export"),
        ("mlporter show --for", 2, "plain,--format"),
        ("mlporter show --format c", 3, "plain,csv"),
    ],
)
def test_completions(words, number, expected):
    environment = {
        **os.environ,
        "_MLPORTER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(number),
    }

    assert as_process(env=environment).stdout == f"{expected}\n"
