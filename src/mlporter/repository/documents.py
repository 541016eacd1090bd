"""``repository.yaml`` and ``snapshot.yaml``: what a repository is, and what a snapshot names."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlporter.bundle.documents.manifest_entries import Count, Hash, Time
from mlporter.bundle.documents.plain_yaml import emit
from mlporter.bundle.documents.safe_yaml import load_yaml
from mlporter.errors import BundleDamagedError, UnsupportedError
from mlporter.repository.layout import FORMAT, FORMAT_VERSION, NAME, SNAPSHOT_FORMAT

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["About", "Added", "Snapshot", "document_bytes", "parse_about", "parse_snapshot"]

_Model = TypeVar("_Model", bound=BaseModel)

_SUM = "sha256: "


class _Entry(BaseModel):
    """Fields that this release does not know are kept and ignored; types are never converted."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)


class About(_Entry):
    """All of ``repository.yaml``.

    ``append_only``: nothing is ever removed from it, as its place forbids that; ``recipients``: the
    public keys (age format) that everything but this document is encrypted to, if any.
    """

    format: Literal["mlporter-repository"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    repository_id: str
    created: Time
    append_only: bool = False
    recipients: tuple[str, ...] = Field(default=(), strict=False)


class Added(_Entry):
    """What a backup added to the repository: contents and table parts, and their bytes."""

    contents: Count
    content_bytes: Count
    parts: Count
    part_bytes: Count

    @property
    def bytes(self) -> int:
        """All bytes."""
        return self.content_bytes + self.part_bytes


class Snapshot(_Entry):
    """All of ``snapshot.yaml``: one registry, or a part of it, as it was at a time.

    ``place`` tells whether two snapshots are of the same registry: a digest of its address without
    user and password, and of what was asked for. ``rows`` counts what people ask for: experiments,
    runs, registered models, versions. ``not_listed`` counts owners of files on a server whose files
    were taken from the snapshot before, as they seemed unchanged. ``state``, if it is there, is a
    digest that is another one if any row has changed since. ``manifest_sha256`` begins the chain
    of hashes.
    """

    format: Literal["mlporter-snapshot"] = SNAPSHOT_FORMAT
    format_version: Literal[1] = 1
    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    started: Time
    finished: Time
    seconds: float = Field(ge=0, strict=False)
    source: str
    kind: str
    place: Hash
    tags: tuple[str, ...] = Field(default=(), strict=False)
    rows: dict[str, Count]
    files: Count
    file_bytes: Count
    left_out: Count
    not_listed: Count = 0
    added: Added
    upon: str | None = None
    state: Hash | None = None
    manifest_bytes: Count
    manifest_sha256: Hash
    mlporter: str

    @property
    def time(self) -> datetime:
        """When it was begun."""
        text = self.started.removesuffix("Z")
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)

    @property
    def id(self) -> str:
        """The short id at the end of its name."""
        return self.name.rpartition("-")[2]


def document_bytes(document: BaseModel) -> bytes:
    """A document as YAML, the same on every machine."""
    fields = document.model_dump(mode="json")
    if "seconds" in fields:
        fields["seconds"] = round(fields["seconds"])
    data = "".join(emit(fields)).encode()
    return data + f"{_SUM}{hashlib.sha256(data).hexdigest()}\n".encode()


def parse_about(data: bytes, where: str) -> About:
    """Read ``repository.yaml``.

    Raises:
        BundleDamagedError: it is not what docs/repository-format.md says.
        UnsupportedError: it is of a later format version.
    """
    return _parse(About, FORMAT, data, where)


def parse_snapshot(data: bytes, where: str) -> Snapshot:
    """Read ``snapshot.yaml``. Raises as `parse_about`."""
    return _parse(Snapshot, SNAPSHOT_FORMAT, data, where)


def _parse(model: type[_Model], format_: str, data: bytes, where: str) -> _Model:
    value = load_yaml(data, where)
    if not isinstance(value, dict) or value.get("format") != format_:
        raise BundleDamagedError(f"does not say format: {format_}", subject=where)
    _check_version(value, where)
    _check_sum(data, where)
    del value["sha256"]
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        reasons = tuple(
            f"{'.'.join(str(step)[:80] for step in problem['loc'])}: {problem['msg']}"
            for problem in problems[:10]
        )
        message = "is not as the format says"
        raise BundleDamagedError(message, subject=where, reasons=reasons) from None


def _check_sum(data: bytes, where: str) -> None:
    """The last line of a document is the SHA-256 of all before it."""
    document, _, found = data.rpartition(_SUM.encode())
    if found != f"{hashlib.sha256(document).hexdigest()}\n".encode():
        raise BundleDamagedError("is not what its last line says", subject=where)


def _check_version(value: Mapping[str, Any], where: str) -> None:
    version = value.get("format_version")
    if type(version) is not int or version < 1:
        raise BundleDamagedError("format_version is not a positive number", subject=where)
    if version > FORMAT_VERSION:
        raise UnsupportedError(
            f"format {version}; this release reads format {FORMAT_VERSION}",
            subject=where,
            hint="use the release that wrote it, or a later one: pip install --upgrade mlporter",
        )
