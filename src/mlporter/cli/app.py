"""The command `mlporter`: finds the verb, runs it, and turns whatever happens into an exit code."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

import click

from mlporter import stopping
from mlporter.cli.guidance import first_steps, no_such_command
from mlporter.cli.options import CONTEXT
from mlporter.cli.session import Session
from mlporter.cli.terminal.consoles import error_console, print_now
from mlporter.cli.terminal.logs import calm_environment
from mlporter.cli.terminal.shells import prepare_shells
from mlporter.cli.terminal.signals import stopping_on_signals
from mlporter.cli.terminal.streams import guarded_streams, last_words
from mlporter.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERBS", "main", "mlporter", "run"]

VERBS = {
    "export": "mlporter.cli.commands.moving.export",
    "import": "mlporter.cli.commands.moving.import_",
    "copy": "mlporter.cli.commands.moving.copy",
    "sync": "mlporter.cli.commands.moving.sync",
    "run": "mlporter.cli.commands.moving.run",
    "apply": "mlporter.cli.commands.moving.apply",
    "promote": "mlporter.cli.commands.moving.promote",
    "backup": "mlporter.cli.commands.moving.backup",
    "snapshots": "mlporter.cli.commands.reading.snapshots",
    "find": "mlporter.cli.commands.reading.find",
    "forget": "mlporter.cli.commands.moving.forget",
    "history": "mlporter.cli.commands.reading.history",
    "diff": "mlporter.cli.commands.reading.diff",
    "verify": "mlporter.cli.commands.reading.verify",
    "inspect": "mlporter.cli.commands.reading.inspect",
    "show": "mlporter.cli.commands.reading.show",
    "cat": "mlporter.cli.commands.reading.cat",
    "browse": "mlporter.cli.commands.browse",
    "unpack": "mlporter.cli.commands.unpack",
    "relocate": "mlporter.cli.commands.relocate",
    "rebuild": "mlporter.cli.commands.rebuild",
    "doctor": "mlporter.cli.commands.reading.doctor",
    "demo": "mlporter.cli.commands.demo",
}
"""Verbs and the modules whose `command` they are."""


_INTERRUPTED = (ExitCode.SIGINT, ExitCode.SIGPIPE, ExitCode.SIGTERM)


class _Verbs(click.Group):
    """Loads a verb's module when it is asked for, and lists verbs in the order of `VERBS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- Click's signature
        return list(VERBS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 -- Click's signature
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = import_module(VERBS[cmd_name]).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{VERBS[cmd_name]}.command is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in VERBS and not name.startswith("-") and not ctx.resilient_parsing:
            raise no_such_command(name, VERBS)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Verbs, context_settings=CONTEXT, epilog="More on a command: mlporter COMMAND --help"
)
@click.version_option(package_name="mlporter", message="%(prog)s %(version)s")
def mlporter() -> None:
    """Move MLflow registries, and prove that nothing was lost.

    A place (SOURCE, TARGET, ADDRESS) is a database (sqlite:///mlflow.db,
    postgresql://user@host/mlflow, mysql://user@host/mlflow), a tracking server
    (https://host:5000, databricks://profile), a file store (mlruns/), a bundle (a directory
    that `export` wrote), or a snapshot of a repository that `backup` wrote (backups/@latest).
    Sources are never changed.
    """


def run(argv: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code."""
    arguments = list(argv)
    with guarded_streams(), Session(arguments) as session, stopping_on_signals():
        if not arguments:
            print_now(error_console(), first_steps())
            return ExitCode.USAGE
        try:
            with mlporter.make_context("mlporter", arguments.copy(), obj=session) as context:
                return session.ended(_all_said(int(mlporter.invoke(context))))
        except click.exceptions.Exit as end:
            return end.exit_code
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 -- nothing is above us
            return int(session.fail(error))


def _all_said(code: int) -> int:
    """The exit code, once all of stdout is written.

    Raises:
        UnreachableError: it cannot be.
    """
    with last_words():
        sys.stdout.flush()
    return code


def _open_what_is_closed() -> None:
    """Give stdin, stdout and stderr something to be where the caller closed them (``>&-``).

    Else the next file that is opened, a database perhaps, would take the place of stdout.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _complete(instruction: str) -> NoReturn:
    """Say to the shell what a word may become; what is still waited for is left behind."""
    prepare_shells()
    if instruction.endswith("_complete"):
        # Whatever libraries say would stand in the middle of the line that is typed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        mlporter.main(prog_name="mlporter")
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(end.code if isinstance(end.code, int) else 0)
    os._exit(0)


def main() -> None:
    """Run the command line of this process, and exit.

    The shell asks for completions through the variable that Click documents.
    """
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that can't show a sign shows its code; no output fails over a name.
            stream.reconfigure(errors="backslashreplace")
    calm_environment()
    if "_MLPORTER_COMPLETE" in os.environ:
        _complete(os.environ["_MLPORTER_COMPLETE"])
    code = run(sys.argv[1:])
    if code in _INTERRUPTED or stopping.has_left():
        # All is closed. Python would wait for threads, and take apart what it has loaded.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
