"""Options that say what is transferred, and what happens where the target has something already."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeAlias

import click

import mlporter
from mlporter.cli import completion
from mlporter.cli.options import (
    AnyCommand,
    allow_root_option,
    artifact_root_option,
    artifacts_option,
    auth_option,
    has_both_sides,
    include_secrets_option,
    jobs_option,
    map_uri_option,
    plan_out_option,
    registry_option,
    retry_time_option,
    strict_artifacts_option,
    target_auth_option,
    target_env_option,
    worker_options,
    workers_option,
)
from mlporter.wording import seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["include_table_option", "merge_options", "orphans_option", "selection_options"]
__all__ += ["seconds", "sync_options", "transfer_options", "watch_option"]

_Decorator: TypeAlias = "Callable[[Callable[..., int]], Callable[..., int]]"


def _no_more_options(command: AnyCommand) -> AnyCommand:
    """What says nothing of a target in use."""
    return command


def transfer_options(
    on_target: _Decorator = _no_more_options,
    *,
    from_bundle: bool = False,
    to_bundle: bool = False,
) -> _Decorator:
    """Add all that verbs take which copy a registry somewhere: what to copy, and how.

    Args:
        on_target: The options that say what becomes of what a target has.
        from_bundle: Whether it is read from a bundle, of which there is less to say.
        to_bundle: Whether it is written into one.
    """

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        options = (
            *(() if to_bundle else _INTO_REGISTRY),
            artifacts_option,
            strict_artifacts_option,
            map_uri_option,
            *(() if from_bundle else (allow_root_option,)),
            include_table_option,
            *(() if from_bundle else (orphans_option,)),
            include_secrets_option,
            *(() if from_bundle else (registry_option, auth_option)),
            *(() if to_bundle else (target_auth_option,)),
            on_target,
            selection_options,
            workers_option,
            jobs_option,
            worker_options,
            retry_time_option,
        )
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_INTO_REGISTRY = (target_env_option("TARGET"), artifact_root_option)


def include_table_option(command: AnyCommand) -> AnyCommand:
    """Add ``--include-table NAME``, repeatable."""
    return click.option(
        "--include-table",
        "include_tables",
        multiple=True,
        metavar="NAME",
        help="Include a table of another program in the same database. Repeatable.",
    )(command)


def orphans_option(command: AnyCommand) -> AnyCommand:
    """Add ``--orphans``."""
    return click.option(
        "--orphans",
        is_flag=True,
        help="Copy local files that no row points to, too; `mlporter inspect` lists them.",
    )(command)


def selection_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options that choose a part of a registry; the command gets ``selection``, or None."""

    @functools.wraps(command)
    def selected(*args: object, **options: object) -> int:
        words = {word: options.pop(word.replace("-", "_")) for word in _SELECTION}
        asked = {word: value for word, value in words.items() if value}
        # Loaded when needed: it brings pyarrow, which `--help` does without.
        selection = mlporter.Selection.from_words(asked) if asked else None
        return command(*args, **options, selection=selection)

    for word in reversed(_SELECTION):
        selected = click.option(f"--{word}", **_SELECTION[word])(selected)
    return selected


def _kinds(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> tuple[str, ...]:
    return tuple(kind.strip() for kind in value.split(",") if kind.strip()) if value else ()


_SELECTION: dict[str, dict[str, Any]] = {
    "experiment": {
        "multiple": True,
        "metavar": "NAME",
        "shell_complete": completion.experiments,
        "help": "Experiments of this name or glob, and all they hold. Repeatable.",
    },
    "run": {"multiple": True, "metavar": "ID", "help": "The run of this id. Repeatable."},
    "model": {
        "multiple": True,
        "metavar": "NAME",
        "shell_complete": completion.models,
        "help": "Registered models and prompts of this name or glob. Repeatable.",
    },
    "version": {
        "multiple": True,
        "metavar": "VERSION",
        "help": (
            "Only these versions of the models: a number, latest, @alias or a stage. Repeatable."
        ),
    },
    "since": {"metavar": "TIME", "help": "Runs that started at this date or time or later."},
    "until": {"metavar": "TIME", "help": "Runs that started at this date or time or earlier."},
    "filter": {"metavar": "TEXT", "help": "Runs that MLflow's search finds by this filter."},
    "workspace": {
        "multiple": True,
        "metavar": "NAME",
        "help": "Nothing outside this workspace. Repeatable.",
    },
    "exclude-deleted": {"is_flag": True, "help": "Nothing that is marked as deleted."},
    "only": {
        "metavar": "KINDS",
        "callback": _kinds,
        "help": "Nothing of other kinds, such as experiments,runs,models.",
    },
    "no-parents": {"is_flag": True, "help": "Leave out parent runs, and name them."},
}
"""What each option of a selection is made of; the words are those of `mlporter.Selection`."""


def seconds(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> float | None:
    """Seconds, from a number with a unit: ``30s``, ``5m``, ``1h``."""
    if value is None:
        return None
    try:
        return seconds_of(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no time such as 30s, 5m or 1h") from None


def watch_option(command: AnyCommand) -> AnyCommand:
    """Add ``--watch INTERVAL``, as seconds."""
    return click.option(
        "--watch",
        metavar="INTERVAL",
        callback=seconds,
        help="Repeat every INTERVAL (30s, 5m, 1h) until stopped; one line per round.",
    )(command)


def merge_options(command: AnyCommand) -> AnyCommand:
    """Add what says how to go into a registry in use, and ``--dry-run``."""
    for option in reversed(_MERGE):
        command = option(command)
    return command


_PLAN = (
    click.option(
        "-n", "--dry-run", is_flag=True, help="Show what would be done, and write nothing."
    ),
    plan_out_option,
)

_MEMORY = (
    click.option("--force", is_flag=True, help="Let the source win, whoever changed the target."),
    click.option(
        "--state",
        metavar="DIR",
        help="Remember in DIR, not in the user's folder, what was sent; or an earlier bundle: what "
        "is in it counts as sent.",
    ),
    click.option(
        "--rebase",
        is_flag=True,
        help="Forget what was sent: what differs now counts as edited at the target.",
    ),
)

_OLDER_TARGET = click.option(
    "--drop-unknown",
    is_flag=True,
    help="Leave out, and name, what the target's older MLflow cannot hold.",
)

_NAMES = (
    click.option(
        "--rename",
        multiple=True,
        metavar="OLD=NEW",
        callback=has_both_sides("OLD=NEW"),
        help="Give experiments and models of this name a new one. Repeatable.",
    ),
    click.option(
        "--rename-prefix",
        default="",
        metavar="TEXT",
        help="Put TEXT before the names of experiments, such as /Shared/ on Databricks.",
    ),
    click.option(
        "--to-workspace", metavar="NAME", help="The workspace in the target to copy into."
    ),
)

_SYNC = (
    *_PLAN,
    click.option(
        "--delete",
        is_flag=True,
        help="Delete what the source has no more, if it is still as it was sent.",
    ),
    click.option(
        "--max-delete",
        type=click.IntRange(min=0),
        metavar="N",
        help="Refuse to delete more than N of a kind.  [default: 10, or 20% if that is more]",
    ),
    click.option(
        "--ours",
        "prefer",
        flag_value="ours",
        help=(
            "Let the source win where the target was edited, or it is not known which side changed."
        ),
    ),
    click.option(
        "--theirs",
        "prefer",
        flag_value="theirs",
        help="Keep the target's where both sides changed, instead of a conflict.",
    ),
    click.option(
        "--full",
        is_flag=True,
        help="Read everything, not only what seems to have changed.",
    ),
    *_MEMORY,
    _OLDER_TARGET,
    *_NAMES,
)


def sync_options(command: AnyCommand) -> AnyCommand:
    """Add what says how a target follows a source."""
    for option in reversed(_SYNC):
        command = option(command)
    return command


_MERGE = (
    *_PLAN,
    click.option(
        "--on-conflict",
        type=click.Choice(["fail", "skip", "rename", "update"]),
        default="fail",
        show_default=True,
        help=(
            "What is there and differs: refuse everything; leave it out; copy it under a new "
            "name or id; or update what is unchanged there since it was sent."
        ),
    ),
    *_MEMORY,
    click.option(
        "--undelete",
        is_flag=True,
        help="Restore what is marked as deleted in the target, but not in the source.",
    ),
    _OLDER_TARGET,
    *_NAMES,
)
