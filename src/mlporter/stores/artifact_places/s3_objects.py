"""Objects of a store that speaks S3: where the file of a place lies, and all of them, in order."""

from __future__ import annotations

from itertools import chain, islice
from posixpath import join
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from mlporter.artifacts.disk.presence import displayable
from mlporter.artifacts.disk.sorting import in_order
from mlporter.artifacts.listing import FoundFile, Problem, files_of
from mlporter.artifacts.uris.uri_text import safe_relative
from mlporter.errors import UnreachableError
from mlporter.redaction import redact
from mlporter.stopping import check

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlporter.artifacts.listing import Found

__all__ = ["UNSAFE", "lists_s3", "object_at", "objects_below", "objects_in_order", "speaks_s3"]

UNSAFE = "its name is not safe to use as a path, or the store lists it in another folder"
_PAGE = 1_000
"""Objects that S3 lists at a time."""


def object_at(address: str, path: str) -> tuple[str, str]:
    """Bucket and key of a file below an ``s3:`` address, as MLflow reads it.

    >>> object_at("s3://bucket/root/", "a/b?.txt")
    ('bucket', 'root/a/b?.txt')
    """
    parsed = urlparse(address)
    return parsed.netloc, join(parsed.path.removeprefix("/"), path)


def speaks_s3(repository: Any) -> bool:  # noqa: ANN401 -- MLflow's, of any store
    """Whether a repository of MLflow's is one of S3, or of what speaks it."""
    if urlparse(repository.artifact_uri).scheme != "s3":
        return False
    return isinstance(repository, _repository_class())


def lists_s3(repository: Any) -> bool:  # noqa: ANN401 -- as above
    """Whether such a repository lists as MLflow's own does, and not in a way of a plugin's."""
    return (
        speaks_s3(repository)
        and type(repository).list_artifacts is _repository_class().list_artifacts
    )


def _repository_class() -> Any:  # noqa: ANN401 -- as above
    from mlflow.store.artifact.s3_artifact_repo import (  # noqa: PLC0415 -- it is there by now
        S3ArtifactRepository,
    )

    return S3ArtifactRepository


def objects_below(repository: Any) -> Iterator[Found]:  # noqa: ANN401 -- as above
    """All objects of a place as its store lists them, a page at a time.

    Not folder by folder, as MLflow lists: S3 then answers once for 1,000 files, whatever folders
    they lie in. Markers of empty folders are no files.
    """
    bucket, below = object_at(repository.artifact_uri, "")
    prefix = f"{below.rstrip('/')}/" if below else ""
    pages = repository._get_s3_client().get_paginator("list_objects_v2")  # noqa: SLF001 -- MLflow has no other way in
    owner = repository._bucket_owner_params  # noqa: SLF001 -- likewise
    for page in pages.paginate(Bucket=bucket, Prefix=prefix, **owner):
        check()
        for found in page.get("Contents", ()):
            path, size = found["Key"].removeprefix(prefix), int(found["Size"])
            if size == 0 and (not path or path.endswith("/")):
                continue
            is_safe = safe_relative(path)
            yield (
                FoundFile(path, size)
                if is_safe
                else Problem(displayable(path), "unsafe-path", UNSAFE)
            )


def objects_in_order(address: str, found: Iterator[Found]) -> Iterator[Found]:
    """Objects by their key's UTF-8 bytes, as S3 lists those of any bucket but directory buckets.

    What a store lists first tells whether it does so too. If not, they are sorted on disk.

    Raises:
        UnreachableError: it began in order, and did not go on so.
    """
    first = list(islice(found, _PAGE))
    paths = [file.path.encode() for file in files_of(first)]
    every = chain(first, found)
    return _checked(address, every) if paths == sorted(paths) else _sorted(every)


def _checked(address: str, found: Iterable[Found]) -> Iterator[Found]:
    last = b""
    for item in found:
        if isinstance(item, FoundFile):
            path = item.path.encode()
            if path < last:
                raise UnreachableError(
                    f"the store lists {item.path} after others that come later by name: "
                    "not all files can be told apart",
                    subject=redact(address),
                )
            last = path
        yield item


def _sorted(found: Iterable[Found]) -> Iterator[Found]:
    problems: list[Problem] = []

    def files() -> Iterator[tuple[bytes, int]]:
        for item in found:
            if isinstance(item, FoundFile):
                yield item.path.encode(), item.size
            else:
                problems.append(item)

    for path, size in in_order(files()):
        yield FoundFile(path.decode(), size)
    yield from problems
