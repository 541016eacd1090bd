"""`mlporter browse`: MLflow's own UI over a backup, or any other place that has none."""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import TYPE_CHECKING

import click

import mlporter
from mlporter.cli.completion import places
from mlporter.cli.options import (
    CONTEXT,
    allow_root_option,
    map_uri_option,
    output_options,
    registry_option,
    source_env_option,
)
from mlporter.cli.render.backups.browsing import render_browsing
from mlporter.errors import ExitCode

if TYPE_CHECKING:
    from mlporter.cli.session import Session

__all__ = ["command"]

_HIGHEST_PORT = 65_535


@click.command("browse", context_settings=CONTEXT, short_help="MLflow's UI over a backup.")
@click.argument("address", shell_complete=places)
@click.option(
    "--port",
    type=click.IntRange(1, _HIGHEST_PORT),
    metavar="N",
    help="The port of 127.0.0.1.  [default: a free one]",
)
@click.option("--no-open", is_flag=True, help="Open no browser; only say where it is.")
@source_env_option("ADDRESS")
@registry_option
@map_uri_option
@allow_root_option
@output_options
def command(
    session: Session,
    /,
    *,
    address: str,
    port: int | None,
    no_open: bool,
    source_env: str | None,
    registry: str | None,
    uri_map: tuple[str, ...],
    allow_root: tuple[str, ...],
) -> int:
    """Look at ADDRESS in MLflow's own UI.

    ADDRESS is a bundle, a snapshot, a database or a file store. Nothing is
    imported by hand, and nothing in it is changed: whatever would write is
    refused. The UI is for this machine only, until Ctrl-C.
    """
    with session.working() as on_progress:
        browsing = mlporter.browse(
            address,
            port=port,
            source_env=source_env,
            registry=registry,
            uri_map=uri_map,
            allow_root=allow_root,
            on_progress=on_progress,
        )
    with browsing:
        try:
            session.output.told(browsing.as_dict(), render_browsing(browsing))
            if not no_open and _has_screen():
                webbrowser.open(browsing.url)
            browsing.wait()
        except KeyboardInterrupt:  # SIGTERM, too: it is how it ends
            return ExitCode.OK
    return ExitCode.OK


def _has_screen() -> bool:
    """Whether somebody sits there who would see a window."""
    if not sys.stdout.isatty():
        return False
    named = any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
    return named or sys.platform == "darwin"
