"""One artifact file, named as MLflow names it: ``runs:/ID/path``, ``models:/NAME/3/path``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlporter.artifacts.uris.ownership import Location, VersionKey, Where
from mlporter.errors import UsageError
from mlporter.selection.not_found import nearest
from mlporter.selection.versions import VersionChoice, choose_versions
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import locations_of, rows_of, version_owner_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlporter.errors import LeftOut
    from mlporter.stores.protocols import ArtifactFile, Keep, Source

__all__ = ["Folder", "find_artifact", "folder_of_version", "has_row"]

_FORMS = "runs:/ID/path, models:/NAME/3/path, models:/NAME@ALIAS/path or models:/m-ID/path"
_SHOWN = 8


class Folder(NamedTuple):
    """A folder among the files of an owner: its kind, its id, and the path below its root."""

    owner_kind: str
    owner_id: str
    path: str

    def joined(self, below: str) -> Folder:
        """What lies below."""
        return self._replace(path="/".join(part for part in (self.path, below) if part))


def has_row(source: Source, table: str, column: str, value: str) -> bool:
    """Whether a table has a row with a value; no other row is asked for."""
    return any(True for _ in rows_of(source, table, (column,), Among(column, (value,))))


def folder_of_version(key: VersionKey, location: Location) -> Folder | None:
    """Where the files of a model version lie; None where it has none, or none that can be read."""
    if location.where is Where.ANCHORED and location.file_owner is not None:
        owner = location.file_owner
        return Folder(owner.owner_kind, owner.owner_id, owner.rest)
    if location.where is Where.OWN:
        return Folder("model_version", version_owner_id(key), "")
    return None


def find_artifact(source: Source, uri: str) -> ArtifactFile:
    """The artifact file that a URI names.

    Args:
        source: Where it is looked for.
        uri: ``runs:/ID/path``, ``models:/NAME/VERSION/path`` with a number, a stage or ``latest``,
            ``models:/NAME@ALIAS/path``, or ``models:/m-ID/path`` of a logged model.

    Raises:
        UsageError: it names nothing that is there; the hint says what is.
    """
    scheme, _, rest = uri.partition(":/")
    named = rest.strip("/")
    if scheme == "runs" and named:
        folders = list(_of_run(source, uri, *named.partition("/")[::2]))
    elif scheme == "models" and named:
        folders = [_of_model(source, uri, *named.partition("/")[::2])]
    else:
        raise UsageError(f"{uri!r} names no artifact", hint=f"as in {_FORMS}")
    seen: list[str] = []
    lost: list[LeftOut] = []
    for wanted in folders:
        for file in source.files(lost.append, _is(wanted)):
            if file.path == wanted.path:
                return file
            seen.append(file.path)
    raise _not_there(uri, folders[0].path, seen, lost)


def _is(wanted: Folder) -> Keep:
    return lambda kind, owner: (kind, owner) == (wanted.owner_kind, wanted.owner_id)


def _of_run(source: Source, uri: str, run: str, path: str) -> Iterator[Folder]:
    """Among the run's own files; or, as MLflow 3 reads it, those of a model it logged by a name."""
    if not has_row(source, "runs", "run_uuid", run):
        raise UsageError(f"there is no run {run!r}", subject=uri, hint="`show … runs` lists them")
    yield Folder("run", run, path)
    name, _, rest = path.partition("/")
    columns = ("model_id", "name", "source_run_id")
    for model, called, logged_by in rows_of(source, "logged_models", columns):
        if (called, logged_by) == (name, run):
            yield Folder("logged_model", model, rest)


def _of_model(source: Source, uri: str, name: str, path: str) -> Folder:
    if has_row(source, "logged_models", "model_id", name):
        return Folder("logged_model", name, path)
    model, at, alias = name.partition("@")
    version, _, below = (f"@{alias}", "", path) if at else path.partition("/")
    if not version:
        raise UsageError(f"{uri!r} names no version", hint=f"as in {_FORMS}")
    chosen = choose_versions(source, VersionChoice(model, version))
    if len(chosen) > 1:
        which = ", ".join(f"{number} in {workspace}" for workspace, _, number in chosen)
        raise UsageError(f"names several versions: {which}", subject=uri, hint="name a number")
    key = chosen[0]
    location = locations_of(source)[key]
    folder = folder_of_version(key, location)
    if folder is None:
        raise UsageError(f"has no files: {location.reason}", subject=f"models:/{model}/{key[2]}")
    return folder.joined(below)


def _not_there(uri: str, path: str, seen: list[str], lost: list[LeftOut]) -> UsageError:
    if lost:
        return UsageError(f"cannot be read: {lost[0].reason}", subject=uri)
    below = [name for name in seen if name.startswith(f"{path}/") or not path]
    if below:
        names = ", ".join(below[:_SHOWN]) + (", …" if len(below) > _SHOWN else "")
        return UsageError("is a folder", subject=uri, hint=f"name one of its files: {names}")
    near = ", ".join(nearest(path, seen))
    return UsageError(
        "there is no such file", subject=uri, hint=f"did you mean {near}?" if near else None
    )
