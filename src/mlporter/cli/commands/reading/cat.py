"""`mlporter cat`: one artifact file, to stdout."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO

import click

import mlporter
from mlporter.cli.completion import models, places
from mlporter.cli.options import (
    CONTEXT,
    output_options,
    registry_option,
    retry_time_option,
    source_env_option,
)
from mlporter.cli.terminal.streams import write_bytes
from mlporter.errors import ExitCode, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.cli.session import Session

__all__ = ["command"]

_CHUNK = 1 << 20


@click.command("cat", context_settings=CONTEXT, short_help="One artifact file, to stdout.")
@click.argument("address", shell_complete=places)
@click.argument("uri", shell_complete=models)
@registry_option
@retry_time_option
@source_env_option("ADDRESS")
@output_options
def command(
    session: Session,
    /,
    *,
    address: str,
    uri: str,
    registry: str | None,
    retry_time: float,
    source_env: str | None,
) -> int:
    """Write one artifact file of ADDRESS to stdout, byte by byte as it is stored.

    URI is runs:/ID/path, models:/NAME/3/path (or a stage, or latest), models:/NAME@ALIAS/path, or
    models:/m-ID/path of a logged model. With --json, its size and SHA-256 instead.
    """
    with (
        session.working(),
        mlporter.open(
            address, registry=registry, retry_time=retry_time, source_env=source_env
        ) as opened,
        opened.open_artifact(uri) as stream,
    ):
        if session.writes_json:
            digest, size = sha256(), 0
            for chunk in _chunks(stream, uri):
                digest.update(chunk)
                size += len(chunk)
            found = {"uri": uri, "size": size, "sha256": digest.hexdigest()}
            session.output.told(found, ())
        else:
            write_bytes(_chunks(stream, uri))
    return ExitCode.OK


def _chunks(stream: BinaryIO, uri: str) -> Iterator[bytes]:
    try:
        while chunk := stream.read(_CHUNK):
            yield chunk
    except OSError as error:
        raise UnreachableError(f"cannot be read to its end: {error}", subject=uri) from error
