r"""Man pages of all commands, from their help: `python -m mlporter.cli.commands.man_pages FOLDER`.

For packagers: the same help gives the same bytes, so that builds are reproducible.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlporter.cli.app import mlporter
from mlporter.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["main", "man_pages"]

_EXITS = {
    ExitCode.OK: "Done; or identical.",
    ExitCode.DIFFERENT: "Differences were found.",
    ExitCode.USAGE: "Wrong usage.",
    ExitCode.INCOMPLETE: "Finished, but something was left out or could not be copied.",
    ExitCode.REFUSED: "Refused before anything was written.",
    ExitCode.BUNDLE: "The bundle is damaged or unfinished.",
    ExitCode.UNREACHABLE: "A place cannot be reached, or access is denied.",
    ExitCode.IN_USE: "In use by another process.",
    ExitCode.BUG: "A bug: an unexpected error.",
    ExitCode.SIGINT: "Interrupted by Ctrl-C.",
    ExitCode.SIGPIPE: "Nobody reads the output any more.",
    ExitCode.SIGTERM: "Interrupted by SIGTERM.",
}
_OTHER = re.compile(r"[^\x00-\x7f]")
_CODE = re.compile(r"`([^`]+)`")


def man_pages() -> Iterator[tuple[str, str]]:
    """The name of each page's file, and what is in it."""
    context = mlporter.make_context("mlporter", [], resilient_parsing=True)
    verbs = mlporter.list_commands(context)
    names = [f"mlporter-{verb}" for verb in verbs]
    yield "mlporter.1", _page(context, names)
    for verb, name in zip(verbs, names, strict=True):
        command = mlporter.get_command(context, verb)
        if command is not None:
            inner = command.make_context(verb, [], context, resilient_parsing=True)
            yield f"{name}.1", _page(inner, ["mlporter"])


def _page(context: click.Context, others: Sequence[str]) -> str:
    command, name = context.command, context.command_path.replace(" ", "-")
    release = f"mlporter {version('mlporter')}"
    short = command.get_short_help_str(limit=100).rstrip(".")
    parts = [f'.TH "{name.upper()}" "1" "" "{release}" "mlporter"']
    parts += [".SH NAME", f"{_roff(name)} \\- {_roff(short)}"]
    usage = " ".join(command.collect_usage_pieces(context))
    parts += [".SH SYNOPSIS", f"\\fB{_roff(context.command_path)}\\fR {_roff(usage)}"]
    parts += [".SH DESCRIPTION", *_paragraphs(cleandoc(command.help or ""))]
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    parts += [".SH OPTIONS", *_listed(one for one in records if one is not None and one[1])]
    if isinstance(command, click.Group):
        parts += [".SH COMMANDS", *_listed(_commands(command, context))]
    parts += [".SH EXIT STATUS", *_listed((str(int(c)), text) for c, text in _EXITS.items())]
    parts += [".SH SEE ALSO", ",\n".join(f"\\fB{_roff(other)}\\fR(1)" for other in others)]
    return "\n".join(parts) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, str]]:
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        if command is not None:
            yield f"{context.command_path} {verb}", command.get_short_help_str(limit=100)


def _listed(records: Iterator[tuple[str, str]]) -> Iterator[str]:
    for what, text in records:
        yield f".TP\n\\fB{_roff(what)}\\fR"
        yield _roff(text)


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs are filled, but for those that Click leaves as they are."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.startswith("\b\n"):
            yield f".nf\n{_roff(paragraph[2:])}\n.fi"
        else:
            yield _roff(paragraph)


def _roff(text: str) -> str:
    r"""A text in which nothing is a command of roff.

    >>> _roff(".x a-b `c`")
    '\\&.x a\\-b \\fBc\\fR'
    """
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = _CODE.sub(r"\\fB\1\\fR", text)
    text = re.sub(r"(?m)^([.'])", r"\\&\1", text)
    return _OTHER.sub(lambda sign: f"\\[u{ord(sign[0]):04X}]", text)


def main(arguments: Sequence[str]) -> None:
    """Write all pages into a folder."""
    if len(arguments) != 1:
        raise SystemExit("name the folder to write them to, such as share/man/man1")
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in man_pages():
        (folder / name).write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
