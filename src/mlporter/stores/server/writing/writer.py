"""What is written to a server, one method for each request; none is ever carried out twice.

Most requests say what is to be, and do no harm if they are sent again. Those that create something
have a tag that tells whose copy it is: where the answer of one is lost, what it made is looked for
by that tag before it is sent again.
"""

from __future__ import annotations

from posixpath import dirname
from typing import TYPE_CHECKING
from urllib.parse import quote

from mlporter.stores.rest.answers import ApiError
from mlporter.stores.rest.client import quoted_path
from mlporter.stores.server.reading.calls import API, API3
from mlporter.stores.server.writing.registry import RegistryWriter
from mlporter.stores.server.writing.sending import is_there_already, tag_list
from mlporter.stores.server.writing.trace_bodies import TRACES_PATH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlporter.stores.rest.client import Json

__all__ = ["LOGGED_MODEL_STATUS", "Writer"]

LOGGED_MODEL_STATUS = {
    1: "LOGGED_MODEL_PENDING",
    2: "LOGGED_MODEL_READY",
    3: "LOGGED_MODEL_UPLOAD_FAILED",
}
"""Statuses of logged models, as the database stores them and as the API says them."""


class Writer(RegistryWriter):
    """Writes into one workspace of a server. Safe to use from several threads."""

    # --- Workspaces and experiments ---------------------------------------------------------------

    def create_workspace(self, name: str, description: str | None) -> None:
        """Make a workspace that is not there."""
        body = {"name": name} | ({"description": description} if description else {})
        try:
            self._client.post(f"{API3}/workspaces", body)
        except ApiError as error:
            if not is_there_already(error):
                raise

    def create_experiment(self, name: str, tags: Mapping[str, str]) -> Json:
        """Make an experiment; as `experiments/get` gives it."""
        try:
            self._send_experiment(name, tags)
        except ApiError as error:
            if not self._client.databricks or error.code != "RESOURCE_DOES_NOT_EXIST":
                raise
            # There, an experiment is in a folder, which must be there.
            self._client.post("/api/2.0/workspace/mkdirs", {"path": dirname(name)})
            self._send_experiment(name, tags)
        answer = self._client.get(f"{API}/experiments/get-by-name", {"experiment_name": name})
        found: Json = answer["experiment"]
        return found

    def _send_experiment(self, name: str, tags: Mapping[str, str]) -> None:
        self._create(
            f"{API}/experiments/create",
            {"name": name, "tags": tag_list(tags)},
            lambda answer: str(answer["experiment_id"]),
            lambda: self._experiment_named(name),
        )

    def _experiment_named(self, name: str) -> str | None:
        try:
            answer = self._client.get(f"{API}/experiments/get-by-name", {"experiment_name": name})
        except ApiError:
            return None
        return str(answer["experiment"]["experiment_id"])

    def rename_experiment(self, experiment: int, name: str) -> None:
        """Give an experiment another name."""
        body = {"experiment_id": str(experiment), "new_name": name}
        self._client.post(f"{API}/experiments/update", body)

    def delete_experiment_tag(self, experiment: int, key: str) -> None:
        """Delete a tag of an experiment."""
        body = {"experiment_id": str(experiment), "key": key}
        self._client.post(f"{API}/experiments/delete-experiment-tag", body)

    def set_experiment_tag(self, experiment: int, key: str, value: str) -> None:
        """Set a tag of an experiment."""
        body = {"experiment_id": str(experiment), "key": key, "value": value}
        self._client.post(f"{API}/experiments/set-experiment-tag", body)

    def delete_experiment(self, experiment: int) -> None:
        """Mark an experiment, with its runs, as deleted."""
        self._client.post(f"{API}/experiments/delete", {"experiment_id": str(experiment)})

    def restore_experiment(self, experiment: int) -> None:
        """Mark an experiment as active, with the runs that were deleted with it."""
        self._client.post(f"{API}/experiments/restore", {"experiment_id": str(experiment)})

    # --- Runs -------------------------------------------------------------------------------------

    def create_run(self, body: Json, tag: tuple[str, str]) -> str:
        """Make a run; its id.

        Args:
            body: As the API takes it; `tags` is added to.
            tag: What it is found again by.
        """
        body = {**body, "tags": [*body.get("tags", ()), *tag_list([tag])]}
        return self._create(
            f"{API}/runs/create",
            body,
            lambda answer: str(answer["run"]["info"]["run_id"]),
            lambda: self.run_tagged(body["experiment_id"], tag),
        )

    def run_tagged(self, experiment: str, tag: tuple[str, str]) -> str | None:
        """The id of a run that has a tag, if there is one."""
        body = {
            "experiment_ids": [experiment],
            "filter": f"tags.`{tag[0]}` = '{tag[1]}'",
            "run_view_type": "ALL",
            "max_results": 2,
        }
        found = self._client.post(f"{API}/runs/search", body).get("runs", ())
        return str(found[0]["info"]["run_id"]) if found else None

    def log_batch(self, run: str, batch: Mapping[str, Sequence[Json]]) -> None:
        """Log metrics, params and tags of a run; what is there already does no harm."""
        self._client.post(f"{API}/runs/log-batch", {"run_id": run, **batch})

    def update_run(self, run: str, changes: Json) -> None:
        """Change status, end_time or run_name."""
        self._client.post(f"{API}/runs/update", {"run_id": run, **changes})

    def log_inputs(self, run: str, datasets: Sequence[Json], models: Sequence[Json]) -> None:
        """Log what a run used."""
        body = {"run_id": run, "datasets": list(datasets), "models": list(models)}
        self._client.post(f"{API}/runs/log-inputs", body)

    def log_output(self, run: str, output: Json) -> None:
        """Log a model that a run made, with the step at which it did."""

        def found() -> bool | None:
            outputs = self._client.get(f"{API}/runs/get", {"run_id": run})["run"].get("outputs", {})
            models = (made["model_id"] for made in outputs.get("model_outputs", ()))
            return True if output["model_id"] in models else None

        body = {"run_id": run, "models": [output]}
        self._create(f"{API}/runs/outputs", body, lambda _: True, found)

    def delete_run(self, run: str) -> None:
        """Mark a run as deleted."""
        self._client.post(f"{API}/runs/delete", {"run_id": run})

    def delete_tag(self, run: str, key: str) -> None:
        """Delete a tag of a run."""
        self._client.post(f"{API}/runs/delete-tag", {"run_id": run, "key": key})

    def restore_run(self, run: str) -> None:
        """Mark a run as active."""
        self._client.post(f"{API}/runs/restore", {"run_id": run})

    # --- Logged models ----------------------------------------------------------------------------

    def create_logged_model(self, body: Json, tag: tuple[str, str]) -> str:
        """Make a logged model; its id. Arguments as `create_run`."""
        body = {**body, "tags": [*body.get("tags", ()), *tag_list([tag])]}
        return self._create(
            f"{API}/logged-models",
            body,
            lambda answer: str(answer["model"]["info"]["model_id"]),
            lambda: self.logged_model_tagged(body["experiment_id"], tag),
        )

    def logged_model_location(self, model: str) -> str:
        """Where the files of a logged model are."""
        answer = self._client.get(f"{API}/{quoted_path('logged-models', model)}")
        return str(answer["model"]["info"]["artifact_uri"])

    def logged_model_tags(self, model: str) -> dict[str, str]:
        """The tags that a logged model has now."""
        answer = self._client.get(f"{API}/{quoted_path('logged-models', model)}")
        tags = answer["model"]["info"].get("tags", ())
        return {str(tag["key"]): str(tag.get("value", "")) for tag in tags}

    def logged_model_tagged(self, experiment: str, tag: tuple[str, str]) -> str | None:
        """The logged model of an experiment that has a tag."""
        body = {
            "experiment_ids": [experiment],
            "filter": f"tags.`{tag[0]}` = '{tag[1]}'",
            "max_results": 2,
        }
        found = self._client.post(f"{API}/logged-models/search", body).get("models", ())
        return str(found[0]["info"]["model_id"]) if found else None

    def set_logged_model_tags(self, model: str, tags: Iterable[tuple[str, str]]) -> None:
        """Set tags of a logged model."""
        path = f"{API}/{quoted_path('logged-models', model)}/tags"
        self._client.patch(path, {"model_id": model, "tags": tag_list(tags)})

    def log_logged_model_params(self, model: str, params: Iterable[tuple[str, str]]) -> None:
        """Log parameters of a logged model that it has not."""
        path = f"{API}/{quoted_path('logged-models', model)}/params"
        self._client.post(path, {"model_id": model, "params": tag_list(params)})

    def finalize_logged_model(self, model: str, status: int) -> None:
        """Set the status of a logged model."""
        path = f"{API}/{quoted_path('logged-models', model)}"
        body = {"model_id": model, "status": LOGGED_MODEL_STATUS[status]}
        self._client.patch(path, body)

    def delete_logged_model_tag(self, model: str, key: str) -> None:
        """Delete a tag of a logged model."""
        path = f"{API}/{quoted_path('logged-models', model)}/tags/{quote(key, safe='')}"
        self._client.delete(path)

    def delete_logged_model(self, model: str) -> None:
        """Mark a logged model as deleted."""
        self._client.delete(f"{API}/{quoted_path('logged-models', model)}")

    # --- Traces -----------------------------------------------------------------------------------

    def experiment_of_trace(self, trace: str) -> int | None:
        """The experiment that a trace is in; None if there is no such trace.

        Making a trace that is there would move it.
        """
        try:
            answer = self._client.get(f"{API3}/{quoted_path('traces', trace)}")
        except ApiError as error:
            if error.code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
                return None
            raise
        place = answer["trace"]["trace_info"]["trace_location"]
        return int(place["mlflow_experiment"]["experiment_id"])

    def start_trace(self, body: Json) -> None:
        """Make a trace, or add tags, metadata and assessments to it."""
        self._client.post(f"{API3}/traces", body)

    def log_spans(self, experiment: int, body: bytes) -> None:
        """Log spans, as OpenTelemetry sends them; what is there already does no harm."""
        headers = {
            "Content-Type": "application/x-protobuf",
            "x-mlflow-experiment-id": str(experiment),
        }
        self._client.send(TRACES_PATH, body, headers)

    def create_assessment(self, trace: str, assessment: Json) -> None:
        """Make an assessment of a trace; the one that it overrides becomes invalid."""
        path = f"{API3}/{quoted_path('traces', trace)}/assessments"
        id_ = str(assessment["assessment_id"])

        def found() -> bool | None:
            try:
                self._client.get(f"{path}/{quote(id_, safe='')}")
            except ApiError:
                return None
            return True

        self._create(path, {"assessment": assessment}, lambda _: True, found)

    def delete_trace_tag(self, trace: str, key: str) -> None:
        """Delete a tag of a trace."""
        path = f"{API}/{quoted_path('traces', trace)}/tags"
        self._client.delete(path, {"key": key})

    def delete_traces(self, experiment: int, traces: Sequence[str]) -> None:
        """Delete traces for good, at most 100."""
        body = {"experiment_id": str(experiment), "request_ids": list(traces)}
        self._client.post(f"{API}/traces/delete-traces", body)

    def delete_assessment(self, trace: str, assessment: str) -> None:
        """Delete an assessment, if it is there; the one that it overrides becomes valid again."""
        path = f"{API3}/{quoted_path('traces', trace)}/assessments/{quote(assessment, safe='')}"
        self._client.delete(path)

    def link_traces(self, traces: Sequence[str], run: str) -> None:
        """Link at most 100 traces to a run."""
        body = {"trace_ids": list(traces), "run_id": run}
        self._client.post(f"{API}/traces/link-to-run", body)
