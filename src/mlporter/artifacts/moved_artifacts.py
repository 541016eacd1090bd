"""Artifacts that are not where they were recorded, but beside the store they belong to.

People move a store with its files, and the URIs in it go on naming the old place: another
person's home, ``file:///C:/…``, a server's ``mlflow-artifacts:``. The files keep MLflow's layout,
and the ids of runs, logged models and traces are random, so that a folder of that name is theirs
wherever it is. An experiment's number says nothing: every store has an experiment 0.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlporter.artifacts.disk.presence import displayable, folders_in, is_folder
from mlporter.artifacts.orphan_folders import (
    BELOW,
    find_orphans,
    here_token,
    is_described,
    telling,
)
from mlporter.artifacts.uris.allowed_folders import is_below
from mlporter.artifacts.uris.uri_text import (
    UriMap,
    canonical,
    is_windows_path,
    local_path,
    safe_relative,
    scheme_of,
)
from mlporter.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from mlporter.artifacts.orphan_folders import Known, Lost
    from mlporter.artifacts.scan import Owner

__all__ = ["FOLDERS", "ArtifactsBeside", "MovedArtifacts", "Root"]

FOLDERS = ("mlruns", "mlartifacts")
"""What MLflow calls its artifact roots unless told: of a client, and of a server."""
_OWNED = re.compile(r"(?:^|/)([^/]+/(?:[0-9a-f]{32}|models/m-[0-9a-z]+)/artifacts(?:/.*)?)$")
"""The end of a URI that leads into a run or a logged model: it is below any root."""
_RANDOM = re.compile(r"(?:m-|tr-)?[0-9a-f]{32}")
"""The ids that MLflow makes: nothing else is called so, and a folder that is, is theirs."""
_SAMPLE = 2_000
_EXPERIMENTS = 4_096


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that may hold artifacts in MLflow's layout.

    Attributes:
        name: Its path below the store's folder, "" or ending in a slash.
        path: Where it is.
        workspace: The workspace whose files it holds, or None: of any.
    """

    name: str
    path: Path
    workspace: str | None = None


class ArtifactsBeside:
    """Finds artifacts below a store's own folder. Thread-safe.

    Args:
        folder: That of the database file, or the file store itself.
        known: Tells which ids the registry has.
    """

    def __init__(self, folder: Path, known: Known) -> None:
        self._folder = folder
        self._known = known
        self._is_home = lru_cache(_EXPERIMENTS)(self._holds_known)
        self.would_hold = lru_cache(_EXPERIMENTS)(self._would_hold)

    @cached_property
    def roots(self) -> tuple[Root, ...]:
        """The folder, ``mlruns`` and ``mlartifacts`` in it, and the workspaces of each."""
        found = [Root("", self._folder)]
        found += [
            Root(f"{name}/", self._folder / name)
            for name in FOLDERS
            if self._is_inside(self._folder / name)
        ]
        for root in tuple(found):
            found += [
                Root(f"{root.name}workspaces/{name}/", root.path / "workspaces" / name, name)
                for name in folders_in(root.path / "workspaces")
            ]
        return tuple(found)

    def find(self, owner: Owner) -> Path | None:
        """The folder of an owner's files, or None."""
        workspace = owner.id.partition("/")[0] if owner.kind == "model_version" else None
        for tail in _tails(owner):
            for root in self.roots:
                if workspace is not None and root.workspace not in {None, workspace}:
                    continue
                if not is_folder(f"{root.path}{os.sep}{tail}"):
                    continue  # of most owners: all is asked as a text, which is made sooner
                if self._is_inside(root.path / tail) and not is_described(root.path / tail):
                    return root.path / tail
        return None

    def is_home(self, owner: Owner) -> bool:
        """Whether the files of an owner's experiment lie here: then it simply has none itself."""
        return bool(owner.experiment) and self._is_home(owner.experiment or "")

    def _would_hold(self, uri: str) -> bool:
        """Whether a place lies in this folder as it was recorded: so the store was not moved.

        A relative one says nothing: it goes wherever the store does.
        """
        path = None if canonical(uri).store else local_path(uri)
        return path is not None and is_below(os.path.realpath(path), os.path.realpath(self._folder))

    def _holds_known(self, experiment: str) -> bool:
        return any(
            self.belongs(root.path / experiment)
            for root in self.roots
            if safe_relative(experiment) and self._is_inside(root.path / experiment)
        )

    def belongs(self, experiment: Path) -> bool:
        """Whether a folder holds something that the registry has."""
        return any(
            self._known(kind, tuple(sorted(folders_in(experiment / below)[:_SAMPLE])))
            for kind, below in BELOW.items()
        )

    def _is_inside(self, path: Path) -> bool:
        """Whether it is a folder here: a link that leads out of the store is not followed."""
        return is_folder(path) and is_below(os.path.realpath(path), os.path.realpath(self._folder))

    def orphans(
        self, recorded: Iterable[tuple[str, Path]], lost: Lost, *, is_empty: bool = False
    ) -> list[Owner]:
        """Folders of artifacts that no row points to, sorted by id.

        Looked at are the experiments' recorded folders, as far as they are here, and those beside
        the store if it has anything in one of them. A folder with a description of its own
        belongs to a file store, and is none.

        Args:
            recorded: The local folders that experiments' rows name, each with what the ids of
                its orphans begin with.
            lost: Called with folders that cannot be looked at.
            is_empty: Whether the registry has nothing that could own files: a new database, of
                which nothing says that the folders beside it are not its own.
        """
        folders = list(recorded)
        with telling(lost, ""):
            for root in self.roots:
                with telling(lost, root.name):
                    folders += self._numbered(root, lost, is_empty=is_empty)
        return find_orphans(folders, self._known, lost)

    def _numbered(self, root: Root, lost: Lost, *, is_empty: bool) -> list[tuple[str, Path]]:
        """The experiments' folders in a root, if one is of this registry."""
        found: list[tuple[str, Path]] = []
        is_ours = is_empty
        for name in filter(str.isdecimal, folders_in(root.path)):
            label, folder = f"{root.name}{name}/", root.path / name
            with telling(lost, label):
                if self._is_inside(folder):
                    found.append((label, folder))
                    is_ours = is_ours or self.belongs(folder)
        return found if is_ours else []


def _tails(owner: Owner) -> Iterator[str]:
    """Where below a root an owner's files may lie, most certain first."""
    if owner.kind == "model_version":
        yield from _version_tails(owner)
        return
    below = BELOW.get(owner.kind)
    if below is None or not _RANDOM.fullmatch(owner.id):
        return
    usual = f"{owner.experiment}/{below}{owner.id}/artifacts"
    is_usual = bool(owner.uri) and (owner.uri or "").endswith(f"/{usual}")
    parts = [] if is_usual else canonical(owner.uri or "").path.split("/")
    if owner.id in parts:
        start = parts.index(owner.id) - (2 if below else 1)
        tail = "/".join(parts[max(start, 0) :])
        if start >= 0 and safe_relative(tail):
            yield tail
    if owner.experiment and safe_relative(owner.experiment):
        yield usual


def _version_tails(owner: Owner) -> Iterator[str]:
    """A version's URI may lead into a run; else its folder must be called as it is."""
    path = canonical(owner.uri or "").path
    if (found := _OWNED.search(path)) and safe_relative(found[1]):
        yield found[1]
    named = f"models/{owner.id.partition('/')[2]}"
    if safe_relative(named) and (path == named or path.endswith(f"/{named}")):
        yield named


class MovedArtifacts:
    """`Elsewhere` of `scan_owners`: what is beside the store, unless the user says where it is.

    Args:
        beside: Where to look, or None to look nowhere.
        uri_map: What the user said.
        homes: By kind and id of owners in a file store the folders of their files there.
        shows_files: Tells whether anything in the registry shows that files were ever logged.

    Attributes:
        owners: How many owners' files were found so, by kind.
    """

    def __init__(
        self,
        beside: ArtifactsBeside | None,
        uri_map: UriMap,
        homes: Mapping[tuple[str, str], Path] = MappingProxyType({}),
        shows_files: Callable[[], bool] = lambda: True,
    ) -> None:
        self._beside = beside
        self._uri_map = uri_map
        self._homes = homes
        self._shows_files = shows_files
        self._lock = Lock()
        self.owners: Counter[str] = Counter()
        self._example: tuple[str, str] | None = None
        self._without: set[str] = set()

    def home(self, owner: Owner) -> str | None:
        """See `Elsewhere.home`."""
        folder = self._homes.get((owner.kind, owner.id))
        return None if folder is None or not self.is_asked(owner) else here_token(folder)

    def find(self, owner: Owner) -> str | None:
        """The place of an owner's files, counted; or None."""
        if self._beside is None or not self.is_asked(owner):
            return None
        path = self._beside.find(owner)
        if path is None:
            return None
        with self._lock:
            self.owners[owner.kind] += 1
            self._example = self._example or (owner.uri or "", os.fspath(path))
        return here_token(path)

    def is_home(self, owner: Owner) -> bool:
        """See `Elsewhere.is_home`."""
        if self._beside is None or not self.is_asked(owner):
            return False
        if (owner.kind, owner.id) in self._homes or self._beside.is_home(owner):
            return True
        if owner.kind != "run" or not self._beside.would_hold(owner.experiment_uri or ""):
            return False
        if self._shows_files():
            return False
        with self._lock:
            self._without.add(owner.id)
        return True

    def is_asked(self, owner: Owner) -> bool:
        """Whether an owner's files may lie here, unless the user says that they are elsewhere."""
        uri = owner.uri or ""
        return _may_lie_beside(uri) and self._uri_map.apply(uri) == uri

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know: where files were found, and where none are."""
        return (*self._found_beside(), *self._found_none())

    def _found_beside(self) -> Iterator[str]:
        if self._example is None:
            return
        counted = ", ".join(
            f"{count} {kind.replace('_', ' ')}{'s' if count > 1 else ''}"
            for kind, count in sorted(self.owners.items())
        )
        recorded, path = self._example
        yield (
            f"The files of {counted} are not where they were recorded; they were found next "
            f"to the store: of {redact(recorded)}, say, in {displayable(path)}. "
            "--map-uri FROM=FOLDER reads them from elsewhere."
        )

    def _found_none(self) -> Iterator[str]:
        count = len(self._without)
        if count:
            yield (
                f"{count} {'run has' if count == 1 else 'runs have'} no files: the artifact "
                "folder next to the store was never created, or is gone."
            )


def _may_lie_beside(uri: str) -> bool:
    """Whether a place is one that a store is moved away from: a disk's, or behind a server."""
    return (
        uri.startswith("/")
        or is_windows_path(uri)
        or scheme_of(uri) in {"", "file", "mlflow-artifacts"}
    )
