"""A backup of an MLflow registry every night, by Airflow 3 (or 2.9 and newer).

mlporter is in an environment of its own on the workers, as MLflow and Airflow want other versions
of what they share, and the manifests are in /opt/mlporter/manifests:

    python -m venv /opt/mlporter && /opt/mlporter/bin/pip install 'mlporter[s3]'

The registry and the repository are the Airflow variables `mlflow_tracking_uri` and
`mlporter_backups`; log-ins (MLFLOW_TRACKING_TOKEN, AWS_ACCESS_KEY_ID …) come from the workers'
environment.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task

MLPORTER = "/opt/mlporter/bin/mlporter"
MANIFESTS = "/opt/mlporter/manifests"
VARIABLES = {
    "MLFLOW_TRACKING_URI": "{{ var.value.mlflow_tracking_uri }}",
    "BACKUPS": "{{ var.value.mlporter_backups }}",
}


@dag(
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    # A new try goes on where the last one was.
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
    tags=["mlflow", "backup"],
)
def mlporter_backup() -> None:
    """Back up, look whether all is there, and only then forget what is old."""

    @task.bash(env=VARIABLES, append_env=True, execution_timeout=timedelta(hours=6))
    def backup() -> str:
        return f"{MLPORTER} run {MANIFESTS}/nightly-backup.yaml"

    @task.bash(env=VARIABLES, append_env=True)
    def verify() -> str:
        return f'{MLPORTER} verify "$BACKUPS" --quick'

    @task.bash(env=VARIABLES, append_env=True)
    def forget() -> str:
        return f"{MLPORTER} run {MANIFESTS}/forget-old-backups.yaml"

    backup() >> verify() >> forget()


mlporter_backup()
