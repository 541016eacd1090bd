"""Reading a manifest: plain YAML, variables filled in, checked to the last key."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, cast

from pydantic import ValidationError

from mlporter.bundle.documents.safe_yaml import load_yaml
from mlporter.bundle.folder.layout import MAX_MANIFEST_BYTES
from mlporter.errors import BundleDamagedError, UnreachableError, UsageError
from mlporter.manifests.faults import add_pydantic, nearest
from mlporter.manifests.kinds import KINDS
from mlporter.manifests.positions import Faults, lines_of
from mlporter.manifests.variables import Filled, fill, mapped, secrets_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlporter.manifests.kinds import Kind
    from mlporter.manifests.variables import Path

__all__ = ["ReadManifest", "parse_manifest", "read_manifest"]

_NO_PASSWORDS = (
    "it contains a password or another secret: take it out, and give it by a variable "
    "(PGPASSWORD, MLFLOW_TRACKING_PASSWORD …) or the whole address as ${NAME}"
)


@dataclass(frozen=True)
class ReadManifest:
    """A manifest that makes sense.

    Attributes:
        file: Where it is.
        kind: Which verb it is for.
        arguments: What that verb is called with.
    """

    file: str
    kind: Kind
    arguments: dict[str, Any]


def read_manifest(file: str, given: Mapping[str, object]) -> ReadManifest:
    """Read a manifest, and what `given` says in its place.

    Args:
        file: The manifest.
        given: Values by key (``selection.model``), as `parse_manifest` takes them.

    Raises:
        UnreachableError: the file cannot be read.
        UsageError: it is no manifest; file, line and key are named.
    """
    try:
        with FilePath(file).open("rb") as stream:
            data = stream.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise UnreachableError(f"cannot read: {error.strerror or error}", subject=file) from error
    return parse_manifest(data, file, given, os.environ)


def parse_manifest(
    data: bytes, file: str, given: Mapping[str, object], environment: Mapping[str, str]
) -> ReadManifest:
    """The same of its bytes.

    Raises:
        UsageError: it is no manifest.
    """
    try:
        tree = load_yaml(data, file)
    except BundleDamagedError as error:
        raise UsageError(error.message, subject=file) from None
    text = data.decode()
    overridden = {tuple(key.split(".")): _as_filled(value) for key, value in given.items()}
    if not isinstance(tree, dict):
        raise UsageError(
            "is not a manifest: expected keys with values, such as kind: copy", subject=file
        )
    _check_secrets(Faults(file, lines_of(text)), tree, text)
    faults = Faults(file, lines_of(text), frozenset(overridden))
    for path in overridden:
        _take_out(tree, path)
    tree = _filled(tree, environment, faults)
    for path, value in overridden.items():
        _put(tree, path, value, faults)
    faults.check()
    _check_empty(tree, faults)
    faults.check()
    kind = _kind(tree, faults)
    return ReadManifest(file, kind, _arguments(kind, tree, faults))


def _check_secrets(faults: Faults, tree: dict[str, Any], text: str) -> None:
    for place in secrets_in(tree, text):
        if isinstance(place, int):
            faults.add_line(place, _NO_PASSWORDS)
        else:
            faults.add(place, _NO_PASSWORDS)
    faults.check()


def _filled(tree: dict[str, Any], environment: Mapping[str, str], faults: Faults) -> dict[str, Any]:
    def change(path: Path, value: str) -> str:
        try:
            return fill(value, environment)
        except ValueError as error:
            faults.add(path, str(error))
            return value

    return cast("dict[str, Any]", mapped(tree, change))


def _as_filled(value: object) -> object:
    """What is given in a value's place is a text from outside, or a list of such."""
    if isinstance(value, (list, tuple)):
        return [_as_filled(item) for item in value]
    return Filled(value) if isinstance(value, str) else value


def _take_out(tree: dict[str, Any], path: Path) -> None:
    """Forget what the file says there: its variables need not be set."""
    around: object = tree
    for part in path[:-1]:
        around = around.get(part) if isinstance(around, dict) else None
    if isinstance(around, dict):
        around.pop(path[-1], None)


def _put(tree: dict[str, Any], path: Path, value: object, faults: Faults) -> None:
    around: Any = tree
    for part in path[:-1]:
        around = around.setdefault(part, {})
        if not isinstance(around, dict):
            faults.add(path, f"{part} has no keys below it")
            return
    around[path[-1]] = value


def _check_empty(tree: object, faults: Faults, path: Path = ()) -> None:
    """A key without a value says nothing, where somebody meant to say something.

    An empty selection above all: it would be everything.
    """
    if tree is None or tree == {}:
        faults.add(path, "has no value: give it one, or leave the key out")
    pairs = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in pairs:
        _check_empty(value, faults, (*path, key))


def _kind(tree: dict[str, Any], faults: Faults) -> Kind:
    said = tree.get("kind")
    if said is None:
        faults.add((), f"kind is missing; {nearest('', KINDS)}")
    elif not isinstance(said, str) or said not in KINDS:
        faults.add(("kind",), f"is none that there is; {nearest(str(said), KINDS)}")
    faults.check()
    return cast("Kind", str(said))


def _arguments(kind: Kind, tree: dict[str, Any], faults: Faults) -> dict[str, Any]:
    try:
        manifest = KINDS[kind].model_validate({**tree, "kind": kind})
    except ValidationError as error:
        add_pydantic(faults, kind, error.errors(include_url=False))
        faults.check()
        raise
    try:
        return manifest.arguments()
    except UsageError as error:
        faults.add(("selection",), error.message)
        faults.check()
        raise
