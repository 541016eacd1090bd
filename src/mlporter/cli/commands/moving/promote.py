"""`mlporter promote`: a model version from one registry to another, with gates and a way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import mlporter
from mlporter.cli.completion import models, places
from mlporter.cli.options import (
    CONTEXT,
    allow_root_option,
    artifact_root_option,
    html_option,
    map_uri_option,
    output_options,
    plan_out_option,
    require_signature_option,
    retry_time_option,
    sign_option,
    source_env_option,
    target_env_option,
    worker_options,
    workers_option,
)

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]

_STOPPED = "alias and stage have not moved; run the same command again to continue"


@click.command("promote", context_settings=CONTEXT, short_help="Promote a model version.")
@click.argument("model", nargs=-1, metavar="[MODEL]...", shell_complete=models)
@click.option(
    "--from", "source", metavar="SOURCE", shell_complete=places, help="Where the model is."
)
@click.option(
    "--to",
    "target",
    metavar="TARGET",
    shell_complete=places,
    help="Where to write: a database or a server.",
)
@source_env_option("SOURCE")
@target_env_option("TARGET")
@click.option("--as", "name", metavar="NAME", help="The model's name in TARGET.")
@click.option("--alias", multiple=True, help="An alias to point at it afterwards. Repeatable.")
@click.option("--stage", metavar="STAGE", help="The stage to put it in.")
@click.option("--archive-existing", is_flag=True, help="Archive what is in that stage now.")
@click.option(
    "--tag", multiple=True, metavar="KEY=VALUE", help="Set a tag on it there. Repeatable."
)
@click.option("--description", metavar="TEXT", help="Its description there; default: as in SOURCE.")
@click.option(
    "--require-tag",
    multiple=True,
    metavar="KEY=VALUE",
    help="Gate: it, or its run, has this tag. Repeatable.",
)
@click.option(
    "--require",
    multiple=True,
    metavar="LIMIT",
    help='Gate: such as "metrics.rmse < 0.2". Repeatable.',
)
@click.option(
    "--better-than",
    multiple=True,
    metavar="ALIAS:METRIC:min|max",
    help="Gate: better than what ALIAS names in TARGET: champion:metrics.rmse:min. Repeatable.",
)
@click.option("--require-finished", is_flag=True, help="Gate: its run is FINISHED.")
@click.option("--require-model-signature", is_flag=True, help="Gate: it has a model signature.")
@click.option("--flavor", multiple=True, help="Gate: it has this flavor, or another. Repeatable.")
@click.option("--no-pickle", is_flag=True, help="Gate: no file that Python unpickles.")
@click.option("--max-size", metavar="SIZE", help="Gate: no larger than this, such as 500MB.")
@click.option("--load-check", is_flag=True, help="Load it in TARGET, and compare predictions.")
@sign_option("the model in TARGET")
@require_signature_option("Gate: it")
@click.option("--with-parents", is_flag=True, help="Copy the parents of its run too.")
@click.option("--model-only", is_flag=True, help="Do not copy the other files of its run.")
@click.option(
    "--keep-version", is_flag=True, help="Keep its version number; default: the next free one."
)
@click.option("--reference", is_flag=True, help="Refer to the files of SOURCE; copy none.")
@artifact_root_option
@map_uri_option
@allow_root_option
@click.option("--receipt", metavar="FILE", help="Where the receipt is written.")
@html_option
@plan_out_option
@click.option("--undo", metavar="RECEIPT", help="Put aliases and stages back as they were.")
@click.option("-n", "--dry-run", is_flag=True, help="Check the gates and plan; write nothing.")
@workers_option
@worker_options
@retry_time_option
@output_options
def command(
    session: Session,
    /,
    *,
    model: tuple[str, ...],
    source: str | None,
    target: str | None,
    undo: str | None,
    **options: Any,
) -> int:
    """Bring a model version from one registry to another.

    MODEL is models:/NAME/3, models:/NAME@ALIAS, models:/NAME/Production, models:/NAME/latest, or
    models:/NAME for all versions. Its run, logged model and artifacts are copied with it. Every
    gate is checked before anything is written (exit code 4 if one is closed). The files are read
    back and compared with the source's; stage and alias move last.

    A receipt records what was done. `--undo RECEIPT` puts alias and stages back, unless someone
    changed them since; the version stays.
    """
    if undo is not None:
        if model or source:
            raise click.UsageError("--undo takes a receipt, and neither MODEL nor --from.")
        if options["html"] is not None:
            raise click.UsageError("--html is about a promotion, and not about --undo.")
        if options["plan_out"] is not None:
            raise click.UsageError("--undo has no plan file; --dry-run says what it would do.")
        with session.working() as on_progress:
            result = mlporter.undo_promotion(
                undo,
                target=target,
                target_env=options["target_env"],
                retry_time=options["retry_time"],
                dry_run=options["dry_run"],
                on_progress=on_progress,
            )
    else:
        if not model or source is None or target is None:
            raise click.UsageError("MODEL, --from SOURCE and --to TARGET are needed.")
        session.when_interrupted = _STOPPED
        with session.working() as on_progress:
            result = mlporter.promote(model, source, target, **options, on_progress=on_progress)
    session.output.promoted(result)
    return int(result.exit_code)
