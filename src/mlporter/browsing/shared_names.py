"""Names that both processes know: this one, and that of MLflow's server."""

from __future__ import annotations

__all__ = ["ARTIFACT_ROOT", "DATABASE", "DESTINATION", "HOST", "INDEX", "SCHEME", "TEMPORARY"]

HOST = "127.0.0.1"
"""Nobody but this machine gets at it: there are no log-ins."""
ARTIFACT_ROOT = "mlflow-artifacts:/"
"""Where the rows of the scratch say that files lie: behind the server, whoever asks."""
SCHEME = "mlporter-browse"
DESTINATION = f"{SCHEME}:///"
"""Where the server itself finds them: its ``--artifacts-destination``."""
DATABASE = "registry.db"
INDEX = "files.db"
TEMPORARY = "tmp"
"""What the scratch folder holds."""
