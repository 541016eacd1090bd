"""Folders of artifacts that no row points to: where they are, and how such places are named."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlporter.artifacts.disk.presence import folders_in, is_there
from mlporter.artifacts.scan import Owner
from mlporter.artifacts.uris.uri_text import (
    safe_relative,
)
from mlporter.errors import UnreachableError

__all__ = ["BELOW", "Known", "Lost", "find_orphans", "here_path", "here_token", "is_described"]
__all__ += ["telling"]

Known = Callable[[str, tuple[str, ...]], frozenset[str]]
"""Of some ids (sorted) of owners of a kind (``run``, ``logged_model``, ``trace``), those that the
registry has."""

Lost = Callable[[str, UnreachableError], None]
"""Called with how the ids of orphans in a folder would begin that cannot be looked at."""

BELOW = {"run": "", "logged_model": "models/", "trace": "traces/"}
"""Where owners of a kind lie in their experiment's folder."""

_DESCRIBED = ("meta.yaml", "trace_info.yaml")
"""What a file store keeps in the folders of its own runs, models and traces."""

_HERE = "here:"
_CHUNK = 5_000


@contextmanager
def telling(lost: Lost, label: str) -> Iterator[None]:
    """Tell of a folder that cannot be looked at, and go on."""
    try:
        yield
    except UnreachableError as error:
        lost(label, error)


def find_orphans(
    folders: Iterable[tuple[str, Path]], known: Known, lost: Lost, *, described: bool = False
) -> list[Owner]:
    """Folders of artifacts in experiments' folders whose ids are not known, sorted by id.

    Args:
        folders: Experiments' folders, each with what the ids of its orphans begin with.
        known: Tells which ids the registry has.
        lost: Called with folders that cannot be looked at.
        described: Whether a folder with a description of its own is one too: the registry is
            the file store that it belongs to, and the description could not be read.
    """
    seen: set[str] = set()
    found: dict[str, Path] = {}
    for label, folder in folders:
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        here = _in_experiment(label, folder, known, lost, described=described)
        found = {f"{name}/artifacts": path for name, path in here} | found
    return [
        Owner("orphan", owner, here_token(found[owner] / "artifacts"))
        for owner in sorted(found, key=str.encode)
    ]


def _in_experiment(
    label: str, folder: Path, known: Known, lost: Lost, *, described: bool
) -> Iterator[tuple[str, Path]]:
    """Folders of orphans in an experiment's folder, each by its label."""
    below = {kind: name for kind, name in BELOW.items() if name}
    with telling(lost, label):
        for name in _unknown(folder, "run", known, described=described):
            yield f"{label}{name}", folder / name
        for kind, within in below.items():
            with telling(lost, f"{label}{within}"):
                for name in _unknown(folder / within, kind, known, described=described):
                    yield f"{label}{within}{name}", folder / within / name


def _unknown(folder: Path, kind: str, known: Known, *, described: bool) -> Iterator[str]:
    names = sorted(name for name in folders_in(folder) if safe_relative(name))
    for start in range(0, len(names), _CHUNK):
        chunk = tuple(names[start : start + _CHUNK])
        for name in sorted(frozenset(chunk) - known(kind, chunk)):
            if _may_have_something(folder / name / "artifacts") and (
                described or not is_described(folder / name)
            ):
                yield name


def _may_have_something(folder: Path) -> bool:
    """Whether there are files; one that cannot be looked at is listed, to say so."""
    try:
        return any(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def is_described(folder: Path) -> bool:
    """Whether it is a file store's; one that cannot be looked at is listed, to say so."""
    try:
        return any(is_there(folder / name) for name in _DESCRIBED)
    except UnreachableError:
        return False


def here_token(path: Path) -> str:
    """A folder that was found, as a place to open; `--map-uri` does not apply to it."""
    return f"{_HERE}{os.fspath(path)}"


def here_path(uri: str) -> Path | None:
    """The folder that `here_token` names; None for any other place."""
    return Path(uri[len(_HERE) :]) if uri.startswith(_HERE) else None
