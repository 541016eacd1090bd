"""Tags that copies on a tracking server have: whose copies they are.

The request that creates something sends them, so that an import that is run again finds what it
made, even where it never heard of it.
"""

from __future__ import annotations

__all__ = ["DATASET", "DELETED_MODEL", "EXPERIMENT", "HELD", "HOLDS", "LOGGED_MODEL", "METRICS"]
__all__ += ["OF_VERSIONS", "OURS", "PLACEHOLDER", "REGISTERED_MODEL", "RUN", "SERVERS_OWN"]
__all__ += ["TAG_TABLES", "VERSION"]

OURS = "mlporter."
"""How these tags begin."""
EXPERIMENT = "mlporter.source.experiment_id"
RUN = "mlporter.source.run_id"
LOGGED_MODEL = "mlporter.source.model_id"
DATASET = "mlporter.source.dataset_id"
"""Of an evaluation dataset."""
REGISTERED_MODEL = "mlporter.source.registered_model"
VERSION = "mlporter.source.version"
HELD = "version:"
"""Before the owner id of a model version, as the value of `LOGGED_MODEL`: a logged model that holds
files which the version had of its own."""
HOLDS = "mlporter.holds_copies"
"""On an experiment that was there before, and got copies; it is not a copy itself."""
PLACEHOLDER = "mlporter.placeholder"
"""On a version that only takes a number, until it is deleted; on a model, the last such number."""
DELETED_MODEL = "mlporter.deleted_model."
"""Before the source's id of a deleted logged model, on its experiment; the value is the copy's."""
METRICS = "mlporter.proved.metrics"
"""On an experiment: digests of the points that were read back, by groups of its runs."""

OF_VERSIONS = "mlflow.modelVersions"
"""No tag of ours: a server writes it itself on the logged model that a version is made of."""

SERVERS_OWN = (OF_VERSIONS, "mlflow.trace.infoFinalized")
"""What a server sets on a copy, whether the original has it or not."""

TAG_TABLES = {
    "experiment_tags": "key",
    "tags": "key",
    "logged_model_tags": "tag_key",
    "registered_model_tags": "key",
    "model_version_tags": "key",
    "evaluation_dataset_tags": "key",
}
"""Tables in which these tags are, and the column of their keys."""
