"""What the tabulator completes, as the shells ask for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import get_completion_class

from mlporter.cli.app import mlporter
from mlporter.cli.terminal.shells import prepare_shells
from mlporter.stores.addresses.named_places import LOCAL
from mlporter.verbs.reading import names

BUNDLE = str(Path(__file__).parents[2] / "samples" / "bundle-format-1")
BREAKS = " \t\n\"'><=;|&(:"


@pytest.fixture
def complete(monkeypatch, tmp_path):
    """Complete a line in bash."""
    prepare_shells()
    monkeypatch.setattr(names, "_AT_HOME", 60)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))

    def asked(line, breaks=BREAKS):
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_WORDBREAKS", breaks)
        shell = get_completion_class("bash")(mlporter, {}, "mlporter", "_MLPORTER_COMPLETE")
        return shell.complete().splitlines()

    return asked


def test_places_are_names_of_the_config_file_folders_and_beginnings(complete):
    Path(LOCAL).write_text('[places.dev]\naddress = "https://dev"\n')
    Path("data").mkdir()
    Path("deeds.txt").touch()
    assert complete("mlporter inspect d") == ["plain,dev", "plain,databricks://", "plain,data/"]
    assert complete("A=1 mlporter copy dev data/") == ["file,data/"]
    assert complete("mlporter export sq") == ["plain,sqlite:///"]
    assert complete("mlporter promote --from de") == ["plain,dev"]
    assert complete("mlporter copy dev x --artifact-root d") == ["dir,d"]


def test_what_stands_before_a_colon_is_not_said_again_in_bash(complete):
    Path("my data.db").touch()
    Path("notes.txt").touch()
    assert complete("mlporter inspect sqlite:///m") == ["plain,///my\\ data.db"]
    assert complete("mlporter inspect sqlite:///m", " ") == ["plain,sqlite:///my\\ data.db"]


@pytest.mark.parametrize(
    "line",
    [
        f"mlporter inspect {BUNDLE} --experiment ",
        f"mlporter copy {BUNDLE} sqlite:///x.db --experiment ",
        f"mlporter copy {BUNDLE} sqlite:///x.db --since 2020 --experiment=",
    ],
)
def test_experiments_are_those_of_the_place_that_the_line_names(complete, line):
    assert "plain,rich\\ \\(file\\ URI\\)" in complete(line)


def test_models_and_tables_are_completed(complete):
    assert "plain,rich-model" in complete(f"mlporter copy {BUNDLE} x --model ric")
    assert complete(f"mlporter cat {BUNDLE} models:/rich-") == ["plain,/rich-model"]
    assert complete(f"mlporter show {BUNDLE} model_version_") == ["plain,model_version_tags"]


def test_a_server_that_answers_is_asked_and_one_that_hangs_is_not_waited_for(
    complete, monkeypatch, server
):
    monkeypatch.setattr(names, "_PATIENCE", 30)
    server.client().create_registered_model("rich-model")
    found = complete(f"mlporter inspect {server.address} --experiment ")
    assert "plain,Default" in found
    assert "plain,rich-model" in complete(f"mlporter copy {server.address} x --model rich-m")
    monkeypatch.setattr(names, "_PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        assert complete(f"mlporter inspect http://127.0.0.1:{port} --experiment ") == []


def test_nothing_fails_and_no_program_is_run(complete, monkeypatch, tmp_path):
    config = tmp_path / "home/mlporter/config.toml"
    config.parent.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    config.write_text(
        '[places.prod]\naddress = "mysql://h/x"\npassword_command = ["touch", "ran"]\n'
    )
    Path("broken.db").write_text("no database")
    for place in ("prod", "nowhere", "sqlite:///broken.db", "gopher://x", "'"):
        assert complete(f"mlporter inspect {place} --experiment ") == []
    assert not Path("ran").exists()
    config.write_text("no TOML")
    assert complete("mlporter inspect p") == []


def test_a_name_with_control_characters_is_left_out(complete, monkeypatch):
    odd = ["a\x1b[31m", "plain", "two\nlines"]
    monkeypatch.setattr(names, "quick_names_of", lambda *_: odd)
    assert complete(f"mlporter inspect {BUNDLE} --experiment ") == ["plain,plain"]


def test_bash_itself_completes_a_line(tmp_path):
    script = """
    eval "$(_MLPORTER_COMPLETE=bash_source mlporter)"
    compopt() { :; }
    COMP_LINE="mlporter show sqlite:///x" COMP_POINT=24
    _mlporter_completion mlporter
    printf '%s\\n' "${COMPREPLY[@]}"
    """
    Path("x y.db").touch()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, check=False, text=True, env=variables
    )
    assert done.stdout == "///x\\ y.db\n", done.stderr


def test_every_argument_that_is_a_place_is_completed():
    context = click.Context(mlporter)
    bare = [
        (verb, parameter.name)
        for verb in mlporter.list_commands(context)
        for parameter in mlporter.get_command(context, verb).params
        if isinstance(parameter, click.Argument) and parameter._custom_shell_complete is None
    ]
    assert bare == [("find", "name"), ("forget", "names")]
