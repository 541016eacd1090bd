"""What is known of one model version: what gates look at, and what a receipt says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlporter.artifacts.uris.ownership import FileOwner, Where
from mlporter.bundle.documents.safe_yaml import load_yaml
from mlporter.catalogue.source_tags import OURS
from mlporter.errors import BundleDamagedError, RefusedError
from mlporter.stores.protocols import Among
from mlporter.stores.rows.version_locations import locations_of, rows_of, version_owner_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlporter.artifacts.uris.ownership import VersionKey
    from mlporter.errors import LeftOut
    from mlporter.stores.protocols import ArtifactFile, Source

__all__ = ["MLMODEL", "ModelFile", "VersionFacts", "read_facts", "read_mlmodel"]

_PICKLES = (".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".pt", ".pth")
"""Files that Python unpickles when a model is loaded."""
MLMODEL = "MLmodel"
"""The file of a model that says what it is."""
_PARAM = ("param_key", "param_value")
_MOST = 1 << 20


@dataclass(frozen=True)
class ModelFile:
    """A file of a model: its path below the model's folder, and the file in its registry."""

    path: str
    file: ArtifactFile

    @property
    def size(self) -> int:
        """Bytes."""
        return self.file.size


@dataclass(frozen=True)
class VersionFacts:
    """A model version, its run and its files.

    Attributes:
        key: Workspace, name and number.
        row: Its row of `model_versions`.
        tags: Its own tags, without mlporter's.
        run: Its run's row of `runs`, or None where it has none.
        run_tags: Tags of the run.
        params: Parameters of the run and of the logged model.
        metrics: Their last values.
        owner: Whose files the model's files are, and where below the owner's root.
        files: The model's files.
        mlmodel: What the file MLmodel says; empty where there is none.
        problems: What could not be listed, by name.
    """

    key: VersionKey
    row: Mapping[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)
    run: Mapping[str, Any] | None = None
    run_tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    owner: FileOwner | None = None
    files: tuple[ModelFile, ...] = ()
    mlmodel: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def model_id(self) -> str | None:
        """The logged model that it was made of."""
        is_logged = self.owner is not None and self.owner.owner_kind == "logged_model"
        return self.owner.owner_id if is_logged and self.owner is not None else None

    @property
    def run_id(self) -> str | None:
        """The run that made it."""
        return self.row["run_id"] or None

    @property
    def size(self) -> int:
        """Bytes of the model's files."""
        return sum(one.size for one in self.files)

    @property
    def flavors(self) -> tuple[str, ...]:
        """The flavors that MLmodel names."""
        found = self.mlmodel.get("flavors")
        return tuple(sorted(map(str, found))) if isinstance(found, dict) else ()

    @property
    def has_signature(self) -> bool:
        """Whether MLmodel says what goes in and what comes out."""
        return bool(self.mlmodel.get("signature"))

    @property
    def has_example(self) -> bool:
        """Whether it has an input example."""
        return bool(self.mlmodel.get("saved_input_example_info"))

    @property
    def pickles(self) -> tuple[str, ...]:
        """Files that Python unpickles."""
        return tuple(one.path for one in self.files if one.path.lower().endswith(_PICKLES))

    def __str__(self) -> str:
        """Name and number."""
        return f"{self.key[1]}/{self.key[2]}"


def read_facts(source: Source, key: VersionKey) -> VersionFacts:
    """What a registry says of a version of its. Of files only MLmodel is read.

    Raises:
        RefusedError: it names files that are not there.
    """
    row = _row(source, key)
    location = locations_of(source)[key]
    owner = location.file_owner
    if location.where is Where.OWN:
        owner = FileOwner("model_version", version_owner_id(key), "")
    if owner is None and location.reason != "prompt":
        raise RefusedError(
            f"its files cannot be found: {row['storage_location'] or row['source']}",
            subject=f"models:/{key[1]}/{key[2]}",
            hint="a version without a model cannot be promoted",
        )
    problems: list[str] = []
    files = tuple(_files(source, owner, problems)) if owner is not None else ()
    run_id = row["run_id"] or None
    model = owner.owner_id if owner is not None and owner.owner_kind == "logged_model" else None
    tags = dict(_of_version(source, "model_version_tags", key, ("key", "value")))
    return VersionFacts(
        key=key,
        row=row,
        tags={name: value for name, value in tags.items() if not name.startswith(OURS)},
        run=next(_rows(source, "runs", "run_uuid", run_id), None),
        run_tags=_pairs(source, "tags", "run_uuid", run_id, ("key", "value")),
        params=_pairs(
            source, "logged_model_params", "model_id", model, ("param_key", "param_value")
        )
        | _pairs(source, "params", "run_uuid", run_id, ("key", "value")),
        metrics=_metrics(source, "logged_model_metrics", "model_id", model)
        | _metrics(source, "metrics", "run_uuid", run_id),
        owner=owner,
        files=files,
        mlmodel=_mlmodel(source, files),
        problems=tuple(problems),
    )


def _row(source: Source, key: VersionKey) -> Mapping[str, Any]:
    """The row of a version."""
    return next(
        row
        for row in _rows(source, "model_versions", "name", key[1])
        if (row.get("workspace") or "default", row["version"]) == (key[0], key[2])
    )


def _rows(source: Source, table: str, column: str, value: str | None) -> Iterator[dict[str, Any]]:
    """Rows of a table in which a column has a value; none where there is no such table."""
    if value is None or not any(entry.name == table for entry in source.tables):
        return
    for batch in source.read(table, None, Among(column, (value,))):
        yield from batch.to_pylist()


def _pairs(
    source: Source, table: str, column: str, value: str | None, pair: tuple[str, str]
) -> dict[str, str]:
    return {row[pair[0]]: row[pair[1]] or "" for row in _rows(source, table, column, value)}


def _of_version(
    source: Source, table: str, key: VersionKey, columns: tuple[str, ...]
) -> Iterator[tuple[Any, ...]]:
    wanted = ("workspace", "name", "version")
    for workspace, name, version, *rest in rows_of(source, table, (*wanted, *columns)):
        if (workspace or "default", name, version) == key:
            yield tuple(rest)


def _metrics(source: Source, table: str, column: str, value: str | None) -> dict[str, float]:
    """The last value of each metric: of the highest step, then the latest, then the greatest.

    As MLflow keeps its `latest_metrics`.
    """
    last: dict[str, tuple[int, int, float]] = {}
    if value is None or not any(entry.name == table for entry in source.tables):
        return {}
    names = ("metric_name", "metric_step", "metric_timestamp_ms", "metric_value")
    if table == "metrics":
        names = ("key", "step", "timestamp", "value")
    flag = ("is_nan",) if table == "metrics" else ()
    for batch in source.read(table, (*names, *flag), Among(column, (value,))):
        for row in batch.to_pylist():
            number = float("nan") if row.get("is_nan") else row[names[3]]
            point = (row[names[1]] or 0, row[names[2]] or 0, number)
            name = row[names[0]]
            if name not in last or point[:2] > last[name][:2] or point > last[name]:
                last[name] = point
    return {name: point[2] for name, point in last.items()}


def _files(source: Source, owner: FileOwner, problems: list[str]) -> Iterator[ModelFile]:
    below = f"{owner.rest}/" if owner.rest else ""

    def note(item: LeftOut) -> None:
        if not item.expected and (item.path.startswith(below) or not item.path):
            problems.append(f"{item.path or item.id}: {item.detail}")

    def is_owner(kind: str, id_: str) -> bool:
        return (kind, id_) == (owner.owner_kind, owner.owner_id)

    for file in source.files(note, is_owner):
        if file.path.startswith(below):
            yield ModelFile(file.path[len(below) :], file)


def _mlmodel(source: Source, files: tuple[ModelFile, ...]) -> Mapping[str, Any]:
    file = next((one.file for one in files if one.path == MLMODEL), None)
    return {} if file is None else read_mlmodel(source, file)


def read_mlmodel(source: Source, file: ArtifactFile) -> Mapping[str, Any]:
    """What a file MLmodel says, where it can be read: it is as untrusted as any other file."""
    if file.size > _MOST:
        return {}
    try:
        with source.open_file(file) as stream:
            found = load_yaml(stream.read(), MLMODEL)
    except (OSError, BundleDamagedError):
        return {}
    return found if isinstance(found, dict) else {}
