"""Arguments and options that several commands share, each a decorator."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import click

from mlporter.cli import completion
from mlporter.cli.session import Session, Settings
from mlporter.workers.choice import MOST_JOBS, MOST_PROCESSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlporter.cli.terminal.logs import LogFormat

__all__ = [
    "CONTEXT",
    "ROUNDS_STAY",
    "AnyCommand",
    "allow_root_option",
    "artifact_root_option",
    "artifacts_option",
    "auth_of_a_option",
    "auth_of_b_option",
    "auth_option",
    "epoch_option",
    "explain_option",
    "has_both_sides",
    "html_option",
    "include_secrets_option",
    "jobs_option",
    "map_uri_option",
    "output_options",
    "plan_out_option",
    "registry_of_a_option",
    "registry_option",
    "require_signature_option",
    "retry_time_option",
    "said_when_interrupted",
    "sign_option",
    "source_and",
    "source_env_option",
    "strict_artifacts_option",
    "target_auth_option",
    "target_env_option",
    "worker_options",
    "workers_option",
]

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 80}
"""Settings of every command."""

NOTHING_LEFT_BEHIND = "the target is unchanged; run the same command to start over"
"""What an interrupted import or copy says: it is one transaction."""

GOES_ON = "what the server received stays; run the same command to continue"
"""The same into a server, which takes no transaction."""

ROUNDS_STAY = "what earlier rounds did stays; run the same command to continue"
"""The same of `--watch`."""

AnyCommand = TypeVar("AnyCommand", bound="Callable[..., int]")

_TRACKING_URI = "MLFLOW_TRACKING_URI"
_MOST_WORKERS = 64
_NARROWEST = 40
_EXPLAIN = "mlporter.explain"
_EPOCH = "mlporter.epoch"


plan_out_option = click.option(
    "--plan-out",
    metavar="FILE",
    shell_complete=completion.files,
    help="Write what would be done to FILE, for `mlporter apply`, and nothing else.",
)


def output_options(command: Callable[..., int]) -> Callable[..., int]:
    """Add the options that every command takes; the command gets the `Session` first."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
    @click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
    @click.option(
        "-v", "--verbose", count=True, help="Show everything, and log to stderr; -vv logs more."
    )
    @click.option(
        "--width",
        type=click.IntRange(min=_NARROWEST),
        metavar="COLUMNS",
        help="Width of lines.  [default: the terminal's, 120 at most]",
    )
    @click.option(
        "--log-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Append a detailed log to this file.",
    )
    @click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        help="Log lines as text, or as JSON objects.",
    )
    @click.option(
        "--progress",
        type=click.Choice(["bar", "json", "none"]),
        default="bar",
        help="Bars on a terminal, or a JSON object a line on stderr.",
    )
    @click.option("--no-progress", is_flag=True, help="As --progress none.")
    @click.pass_obj
    @functools.wraps(command)
    def configured(
        session: Session,
        /,
        *args: object,
        as_json: bool,
        quiet: bool,
        verbose: int,
        log_file: Path | None,
        log_format: LogFormat,
        progress: Literal["bar", "json", "none"],
        no_progress: bool,
        width: int | None,
        **options: object,
    ) -> int:
        asked = click.get_current_context().meta
        settings = Settings(
            as_json=as_json,
            quiet=quiet,
            verbose=verbose,
            log_file=log_file,
            log_format=log_format,
            progress="none" if no_progress else progress,
            width=width,
            explain=asked.get(_EXPLAIN, False),
            epoch=asked.get(_EPOCH, False),
        )
        session.configure(settings)
        return command(session, *args, **options)

    return configured


def _noted(key: str) -> Callable[[click.Context, click.Parameter, bool], None]:
    """A callback that notes a flag for `output_options`: no verb asks for it."""

    def note(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        context.meta[key] = value

    return note


explain_option = click.option(
    "--explain",
    is_flag=True,
    expose_value=False,
    callback=_noted(_EXPLAIN),
    help="Explain what is left out or not compared.",
)
epoch_option = click.option(
    "--epoch",
    is_flag=True,
    expose_value=False,
    callback=_noted(_EPOCH),
    help="Show times as the numbers that MLflow stores, not as dates.",
)


def said_when_interrupted(target: str) -> str:
    """What an interrupted import or copy into a target says."""
    # Loaded when needed: `--help` does without.
    from mlporter.stores.addresses.locating import address_text  # noqa: PLC0415

    is_server = address_text(target).startswith(("http://", "https://", "databricks"))
    return GOES_ON if is_server else NOTHING_LEFT_BEHIND


def source_and(second: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add the arguments SOURCE and another, as ``source`` and the other's name.

    With one argument, that is the second, and SOURCE comes from ``MLFLOW_TRACKING_URI``, or this
    side's own: the environment may say where to read, but never where to write. Adds
    ``--source-env``, too.
    """

    def split(values: tuple[str, ...], source_env: str | None) -> tuple[str, str]:
        if len(values) == 2:  # noqa: PLR2004 -- both were given
            return values[0], values[1]
        if len(values) != 1:
            raise click.UsageError(f"Give SOURCE and {second}, and nothing else.")
        # Loaded when needed: `--help` does without.
        from mlporter.stores.addresses.locating import tracking_uri  # noqa: PLC0415

        source = tracking_uri(source_env)
        if not source:
            message = f"SOURCE or {second} is missing ({_TRACKING_URI} is not set either)."
            raise click.UsageError(message)
        return source, values[0]

    def decorate(command: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(command)
        def named(
            *args: object, places: tuple[str, ...], source_env: str | None, **options: object
        ) -> int:
            source, other = split(places, source_env)
            options |= {"source": source, second.lower(): other, "source_env": source_env}
            return command(*args, **options)

        argument = click.argument(
            "places",
            nargs=-1,
            metavar=f"[SOURCE] {second}",
            required=False,
            shell_complete=completion.places,
        )
        return argument(source_env_option("SOURCE")(named))

    return decorate


def has_both_sides(form: str) -> Callable[[object, object, tuple[str, ...]], tuple[str, ...]]:
    """A callback that takes values of a form with both of its sides, such as ``FROM=TO``."""

    def check(_context: object, _parameter: object, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            before, _, after = value.partition("=")
            if not before or not after:
                raise click.BadParameter(f"{value!r} is not {form}")
        return values

    return check


def artifacts_option(command: AnyCommand) -> AnyCommand:
    """Add ``--artifacts copy|reference|none``."""
    return click.option(
        "--artifacts",
        type=click.Choice(["copy", "reference", "none"]),
        default="copy",
        show_default=True,
        help="Copy the files, keep only their URIs, or leave them out.",
    )(command)


def artifact_root_option(command: AnyCommand) -> AnyCommand:
    """Add ``--artifact-root URI``."""
    return click.option(
        "--artifact-root",
        metavar="URI",
        shell_complete=completion.folders,
        help="Where the target keeps files: a directory, or a URI such as s3://bucket/mlflow.",
    )(command)


strict_artifacts_option = click.option(
    "--strict-artifacts",
    is_flag=True,
    help="Refuse to start if files are missing or unreadable, and name them.",
)
include_secrets_option = click.option(
    "--include-secrets",
    is_flag=True,
    help="Copy secrets too, encrypted as they are, instead of leaving them out.",
)
html_option = click.option(
    "--html", metavar="FILE", help="Write a report to this file, to open in a browser."
)
auth_option = click.option(
    "--auth",
    metavar="DATABASE",
    help="Where its users are, if elsewhere, such as sqlite:///basic_auth.db.",
)
auth_of_a_option = click.option(
    "--auth", metavar="DATABASE", help="Where the users of A are, if elsewhere."
)
auth_of_b_option = click.option(
    "--target-auth", metavar="DATABASE", help="Where the users of B are, if elsewhere."
)
target_auth_option = click.option(
    "--target-auth", metavar="DATABASE", help="Where the users of TARGET are, if not in it."
)
registry_option = click.option(
    "--registry",
    metavar="ADDRESS",
    shell_complete=completion.places,
    help="Where its registered models are, if elsewhere (--registry-store-uri).",
)
registry_of_a_option = click.option(
    "--registry", metavar="ADDRESS", help="Where the registered models of A are, if elsewhere."
)


def source_env_option(place: str) -> Callable[[AnyCommand], AnyCommand]:
    """Add ``--source-env PREFIX``, for the place that is called so."""
    return click.option("--source-env", metavar="PREFIX", help=_OF_ONE_SIDE.format(place, "DEV_"))


def target_env_option(place: str) -> Callable[[AnyCommand], AnyCommand]:
    """Add ``--target-env PREFIX``, for the place that is called so."""
    return click.option("--target-env", metavar="PREFIX", help=_OF_ONE_SIDE.format(place, "PROD_"))


_OF_ONE_SIDE = "Variables for {0} alone begin with this: {1} for {1}AWS_ACCESS_KEY_ID."


def map_uri_option(command: AnyCommand) -> AnyCommand:
    """Add ``--map-uri FROM=TO``, repeatable."""
    return click.option(
        "--map-uri",
        "uri_map",
        multiple=True,
        metavar="FROM=TO",
        callback=has_both_sides("FROM=TO"),
        help="Look for files under TO where their recorded URI begins with FROM. Repeatable.",
    )(command)


def allow_root_option(command: AnyCommand) -> AnyCommand:
    """Add ``--allow-root DIR``, repeatable."""
    return click.option(
        "--allow-root",
        multiple=True,
        metavar="DIR",
        shell_complete=completion.folders,
        help=(
            "Also read files below DIR, though it is not an artifact root of the source. "
            "Repeatable."
        ),
    )(command)


def workers_option(command: AnyCommand) -> AnyCommand:
    """Add ``--workers N``."""
    return click.option(
        "--workers",
        type=click.IntRange(1, _MOST_WORKERS),
        default=4,
        show_default=True,
        help="How many files, or requests to a server, at a time.",
    )(command)


def jobs_option(command: AnyCommand) -> AnyCommand:
    """Add ``--jobs N``."""
    return click.option(
        "--jobs",
        type=click.IntRange(1, MOST_JOBS),
        metavar="N",
        help="Read or fill large tables of PostgreSQL by N connections.  "
        "[default: by the processors]",
    )(command)


def worker_options(command: AnyCommand) -> AnyCommand:
    """Add ``--processes N`` and ``--dask ADDRESS``."""
    command = click.option(
        "--dask",
        metavar="ADDRESS",
        help="Hand files to the workers of this Dask scheduler (tcp://…), or local:N.",
    )(command)
    return click.option(
        "--processes",
        type=click.IntRange(1, MOST_PROCESSES),
        metavar="N",
        help="Hand files to N processes instead of threads.",
    )(command)


def retry_time_option(command: AnyCommand) -> AnyCommand:
    """Add ``--retry-time SECONDS``."""
    return click.option(
        "--retry-time",
        type=click.FloatRange(min=0),
        default=120,
        show_default=True,
        metavar="SECONDS",
        help="For how long to retry what fails at a tracking server.",
    )(command)


def require_signature_option(what: str) -> Callable[[AnyCommand], AnyCommand]:
    """Add ``--require-signature PUBKEY``, for what is called so."""
    return click.option(
        "--require-signature",
        metavar="PUBKEY",
        help=f"{what} must be signed with the private key of this public one.",
    )


def sign_option(what: str) -> Callable[[AnyCommand], AnyCommand]:
    """Add ``--sign KEY``, for what is called so."""
    return click.option("--sign", metavar="KEY", help=f"Sign {what} with this private key.")
