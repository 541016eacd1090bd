"""Whose copy something on a server is: tags that the request which creates it carries."""

from __future__ import annotations

__all__ = ["DELETED_MODEL", "EXPERIMENT", "LOGGED_MODEL", "OURS", "PLACEHOLDER"]
__all__ += ["REGISTERED_MODEL", "RUN", "VERSION"]

OURS = "mlporter."
"""How our tags begin."""
EXPERIMENT = "mlporter.source.experiment_id"
RUN = "mlporter.source.run_id"
LOGGED_MODEL = "mlporter.source.model_id"
REGISTERED_MODEL = "mlporter.source.registered_model"
VERSION = "mlporter.source.version"
PLACEHOLDER = "mlporter.placeholder"
"""On a version that only takes a number, until it is deleted."""
DELETED_MODEL = "mlporter.deleted_model."
"""Before the source's id of a deleted logged model, on its experiment; the value is the copy's."""
