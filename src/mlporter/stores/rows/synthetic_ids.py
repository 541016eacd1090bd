"""Ids that MLflow's REST API does not show, made of what things are known by.

The same thing gets the same id every time, so that two exports of it can be compared, and a second
import finds the first.
"""

from __future__ import annotations

from hashlib import sha256

__all__ = ["association_id", "dataset_uuid", "input_uuid"]


def _made_up(*parts: object) -> str:
    """32 hexadecimal digits, as MLflow's own ids."""
    return sha256("\0".join(str(part) for part in parts).encode()).hexdigest()[:32]


def dataset_uuid(experiment_id: int, name: str, digest: str) -> str:
    """The id of a dataset."""
    return _made_up("dataset", experiment_id, name, digest)


def input_uuid(destination: str, destination_type: str, source_type: str, source: str) -> str:
    """The id of an edge of `inputs`."""
    return _made_up("input", destination, destination_type, source_type, source)


def association_id(source: str, source_type: str, end_type: str, end: str) -> str:
    """The id of an edge of `entity_associations`."""
    return _made_up("association", source, source_type, end_type, end)
