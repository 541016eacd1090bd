"""Options of commands are handed on by name: each is an argument of the verb's function."""

import inspect

import click
import pytest

import mlporter
from mlporter.cli.app import VERBS
from mlporter.cli.app import mlporter as group
from mlporter.cli.selection_options import selection_options

OF_EVERY_COMMAND = {"as_json", "quiet", "verbose", "log_file", "no_progress", "width"}
OF_EVERY_COMMAND |= {"explain", "epoch", "progress", "log_format"}
"""How much is shown, and where."""
PLACES = {"copy": "target", "sync": "target", "export": "bundle"}


@click.command()
@selection_options
def selecting(**_: object) -> int:
    return 0


WORDS = {parameter.name for parameter in selecting.params}


@pytest.mark.parametrize("verb", ["export", "import", "copy", "sync"])
def test_what_a_command_takes_its_function_takes(verb):
    function = getattr(mlporter, "import_" if verb == "import" else verb)
    command = group.get_command(click.Context(group), verb)
    names = {parameter.name for parameter in command.params} - OF_EVERY_COMMAND - {"watch"}
    assert names > WORDS
    names = names - WORDS | {"selection"}
    if verb in PLACES:
        names = names - {"places"} | {"source", PLACES[verb]}

    assert verb in VERBS
    assert names == set(inspect.signature(function).parameters) - {"on_progress"}
