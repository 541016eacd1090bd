"""MLflow's REST API over HTTP: connections, credentials, retries, and what answers mean."""
