"""What lies where in a file store.

<root>/meta.yaml is nowhere: a root is known by what is in it
<root>/<experiment id>/meta.yaml, tags/, datasets/, traces/, models/, <run id>/
<root>/<experiment id>/<run id>/meta.yaml, metrics/, params/, tags/, inputs/, outputs/
<root>/models/<name>/meta.yaml, tags/, aliases/, version-<number>/
<root>/.trash/<experiment id>/                   deleted experiments
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["META", "MODELS", "RESERVED", "TRASH", "is_file_store", "stores_in"]

META = "meta.yaml"
MODELS = "models"
TRASH = ".trash"
RESERVED = frozenset({"tags", "datasets", "traces", "models", TRASH})
"""Folders of an experiment that are no runs."""

_LOOKED_AT = 10_000
"""Entries of a folder that are looked at to tell what it is."""


def is_file_store(path: Path | str) -> bool:
    """Whether a folder is the root of a file store, whatever it is called.

    It is one if it holds an experiment (a folder with a number for its name and a description,
    or with a run in it), deleted experiments, or a registered model.
    """
    return any(
        _is_experiment(entry)
        or (entry.name == TRASH and any(map(_is_experiment, _folders(entry.path))))
        or (entry.name == MODELS and any(map(_is_model, _folders(entry.path))))
        for entry in _folders(path)
    )


def stores_in(path: Path | str) -> list[str]:
    """The names of the folders in a folder that are file stores."""
    return sorted(entry.name for entry in _folders(path) if is_file_store(entry.path))


def _is_experiment(entry: os.DirEntry[str]) -> bool:
    if not (entry.name.isascii() and entry.name.isdigit()):
        return False
    return _has_meta(entry.path) or any(_has_meta(run.path) for run in _folders(entry.path))


def _is_model(entry: os.DirEntry[str]) -> bool:
    return _has_meta(entry.path) or any(
        version.name.startswith("version-") and _has_meta(version.path)
        for version in _folders(entry.path)
    )


def _has_meta(path: str) -> bool:
    return os.path.isfile(os.path.join(path, META))  # noqa: PTH113, PTH118 -- as scandir's texts


def _folders(path: Path | str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from (e for e in islice(entries, _LOOKED_AT) if e.is_dir(follow_symlinks=False))
    except OSError:
        return
