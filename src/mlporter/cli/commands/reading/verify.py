"""`mlporter verify`: is a bundle what its manifest says?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.completion import places
from mlporter.cli.options import (
    CONTEXT,
    allow_root_option,
    epoch_option,
    explain_option,
    html_option,
    jobs_option,
    map_uri_option,
    output_options,
    require_signature_option,
    retry_time_option,
    source_env_option,
    worker_options,
    workers_option,
)

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]


def _as_share(
    _context: click.Context, _parameter: click.Parameter, value: str | None
) -> float | None:
    if value is None:
        return None
    text = value.strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise click.BadParameter(f"{text!r} is not a share such as 5% or 0.05")
    return share


@click.command("verify", context_settings=CONTEXT, short_help="Check a bundle for damage.")
@click.argument("bundle", shell_complete=places)
@click.option("--quick", is_flag=True, help="Check names and sizes only; read no file's content.")
@click.option(
    "--sample",
    "--read-data",
    "sample",
    metavar="SHARE",
    callback=_as_share,
    help="Read the content of only this share of the artifact files, such as 5%.",
)
@click.option("--against", metavar="ADDRESS", help="Compare the bundle with this place too.")
@click.option(
    "--restore-test",
    is_flag=True,
    help="Restore it into a scratch database, too; MLflow counts, and loads some models.",
)
@click.option(
    "--restore-models",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    metavar="N",
    help="How many model versions --restore-test loads.",
)
@source_env_option("that place")
@map_uri_option
@allow_root_option
@require_signature_option("The bundle")
@html_option
@workers_option
@jobs_option
@worker_options
@retry_time_option
@epoch_option
@explain_option
@output_options
def command(
    session: Session,
    /,
    *,
    bundle: str,
    quick: bool,
    sample: float | None,
    against: str | None,
    uri_map: tuple[str, ...],
    allow_root: tuple[str, ...],
    workers: int,
    jobs: int | None,
    processes: int | None,
    dask: str | None,
    retry_time: float,
    source_env: str | None,
    require_signature: str | None,
    html: str | None,
    restore_test: bool,
    restore_models: int,
) -> int:
    """Check that BUNDLE is complete and unchanged.

    BUNDLE may be a repository of backups, too, or a snapshot of it. Any single changed byte is
    found. This needs neither MLflow nor the place that the bundle came from; --restore-test needs
    MLflow, and runs the code of the models that it loads.
    """
    if quick and sample is not None:
        raise click.UsageError("--quick and --sample exclude each other.")
    with session.working() as on_progress:
        result = mlporter.verify(
            bundle,
            quick=quick,
            sample=sample,
            against=against,
            uri_map=uri_map,
            allow_root=allow_root,
            workers=workers,
            jobs=jobs,
            processes=processes,
            dask=dask,
            retry_time=retry_time,
            source_env=source_env,
            require_signature=require_signature,
            html=html,
            restore_test=restore_test,
            restore_models=restore_models,
            on_progress=on_progress,
        )
    session.output.verified(result)
    return result.exit_code
