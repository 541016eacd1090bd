"""A stand-in for Databricks: its rules, enforced in front of a real ``mlflow server``.

What it enforces is what public sources say of the real one:

- requests carry a personal access token; only Databricks' own endpoints are there: no ``/version``,
  no ``/ajax-api``, no artifact proxy, no OpenTelemetry at ``/v1/traces``
  (https://docs.databricks.com/api/experiments/v1);
- "An experiment name must be an absolute path within the Databricks workspace" (mlflow/mlflow
  issue 8269), and "Parent directory … does not exist" (databricks-demos/dbdemos issue 155), which
  ``workspace/mkdirs`` makes;
- "Cannot update tag 'mlflow.log-model.history'" (mlflow/mlflow-export-import issue 187),
  'mlflow.rootRunId' (amesar/mlflow-export-import issue 12); the user of a run is who makes it;
- files are at ``dbfs:/databricks/mlflow-tracking``, reached by signed URLs that MLflow's own
  `DatabricksArtifactRepository` asks for; logged models in ``logged_models``;
- a deleted logged model is not there any more: ``allow_deleted`` is unknown;
- at most 3,000 experiments and 1,000 registered models a page.
"""

from __future__ import annotations

import json
import posixpath
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = "dapi-of-the-tests"
USER = "me@example.com"
HOME = f"/Users/{USER}"

_KEPT_TAGS = ("mlflow.user", "mlflow.rootRunId", "mlflow.log-model.history")
_ROOT = "dbfs:/databricks/mlflow-tracking"
_PROXY = "/api/2.0/mlflow-artifacts/artifacts"
_API = re.compile(r"/api/[23]\.0/mlflow/")
_SIGNED = "/signed/"
_MOST = {"experiments/search": 3000, "registered-models/search": 1000}


class Refused(Exception):  # noqa: N818 -- an answer, and no error of the tests
    """What Databricks answers instead of MLflow."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def _invalid(message: str) -> Refused:
    return Refused(400, "INVALID_PARAMETER_VALUE", message)


@dataclass
class Databricks:
    """The stand-in.

    Attributes:
        server: The address of the real server behind it.
        folders: Of the workspace.
        came: Method and path of each request.
    """

    server: str
    folders: set[str] = field(default_factory=lambda: {"/", "/Shared", "/Users", HOME})
    came: list[str] = field(default_factory=list)
    address: str = ""

    def __post_init__(self) -> None:
        self._behind = urllib3.PoolManager(maxsize=8)

    def profile(self, path: Path, name: str = "lab") -> None:
        """Write a ``.databrickscfg`` with a profile for it."""
        path.write_text(f"[{name}]\nhost = {self.address}\ntoken = {TOKEN}\n", encoding="utf-8")

    # --- Requests ---------------------------------------------------------------------------------

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        path, _, query = target.partition("?")
        self.came.append(f"{method} {path}")
        try:
            if path.startswith(_SIGNED):
                return self._send(method, f"{_PROXY}/{path.removeprefix(_SIGNED)}", "", body)
            if path == "/.well-known/databricks-config":
                return _json({"oidc_endpoint": f"{self.address}/oidc", "workspace_id": "7"})
            _check_token(headers)
            return self._api(method, path, query, body)
        except Refused as refused:
            said = {"error_code": refused.code, "message": str(refused)}
            return refused.status, "application/json", json.dumps(said).encode()

    def _api(self, method: str, path: str, query: str, body: bytes) -> tuple[int, str, bytes]:
        if path == "/api/2.0/workspace/mkdirs":
            return _json(self._make_folder(json.loads(body)["path"]))
        if not _API.match(path) or method == "OPTIONS":
            raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")
        rest = _API.sub("", path)
        if "credentials-for-" in rest:
            return _json(self._credentials(rest, json.loads(body or b"{}")))
        asked = dict(parse_qsl(query)) | (json.loads(body) if body else {})
        most = _MOST.get(rest)
        if most and int(asked.get("max_results", 0)) > most:
            raise _invalid(f"Invalid value for max_results. It must be at most {most}")
        pairs = [pair for pair in parse_qsl(query) if pair[0] != "allow_deleted"]
        rule = _RULES.get(rest)
        if rule:
            body = json.dumps(rule(self, asked)).encode()
        return self._send(method, path, urlencode(pairs), body)

    def _send(self, method: str, path: str, query: str, body: bytes) -> tuple[int, str, bytes]:
        is_json = not path.startswith(_PROXY)
        answer = self._behind.request(
            method,
            f"{self.server}{path}" + (f"?{query}" if query else ""),
            body=_to_mlflow(body) if is_json else body,
            headers={"Content-Type": "application/json" if is_json else "binary/octet-stream"},
        )
        data = _to_databricks(answer.data) if is_json else answer.data
        return answer.status, answer.headers.get("Content-Type", "application/json"), data

    # --- Rules ------------------------------------------------------------------------------------

    def _make_folder(self, path: str) -> dict[str, Any]:
        while path not in self.folders:
            self.folders.add(path)
            path = posixpath.dirname(path)
        return {}

    def _new_experiment(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["name"]
        if not name.startswith("/"):
            raise _invalid(
                f"Got an invalid experiment name '{name}'. An experiment name must be an absolute "
                "path within the Databricks workspace, e.g. '/Users/<some-username>/my-experiment'."
            )
        parent = posixpath.dirname(name)
        if parent not in self.folders:
            message = f"Parent directory {parent} does not exist."
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", message)
        return asked

    def _new_run(self, asked: dict[str, Any]) -> dict[str, Any]:
        tags = [tag for tag in asked.get("tags", ()) if tag["key"] != "mlflow.user"]
        return {**asked, "user_id": USER, "tags": [*tags, {"key": "mlflow.user", "value": USER}]}

    def _tags(self, asked: dict[str, Any]) -> dict[str, Any]:
        for tag in asked.get("tags", [asked]):
            if tag.get("key") in _KEPT_TAGS:
                raise _invalid(f"Cannot update tag '{tag['key']}'")
        return asked

    def _credentials(self, rest: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Signed URLs, of the kind that is used by a plain PUT or GET."""
        model = re.fullmatch(r"logged-models/([^/]+)/artifacts/credentials-for-\w+", rest)
        if model:
            root = self._root(f"/api/2.0/mlflow/logged-models/{model[1]}", "model", "artifact_uri")
            found = [{"credential_info": self._signed(root, path)} for path in asked["paths"]]
            return {"credentials": found}
        if rest.startswith("artifacts/"):
            root = self._root(
                f"/api/2.0/mlflow/runs/get?run_id={asked['run_id']}", "run", "artifact_uri"
            )
            infos = [{"run_id": asked["run_id"], **self._signed(root, p)} for p in asked["path"]]
            return {"credential_infos": infos}
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for {rest!r}")

    def _root(self, path: str, kind: str, key: str) -> str:
        found = json.loads(self._behind.request("GET", self.server + path).data)
        if kind not in found:
            raise Refused(404, "RESOURCE_DOES_NOT_EXIST", str(found.get("message")))
        return str(found[kind]["info"][key]).removeprefix("mlflow-artifacts:/")

    def _signed(self, root: str, path: str) -> dict[str, Any]:
        where = quote(f"{root}/{path}")
        return {"path": path, "signed_uri": f"{self.address}{_SIGNED}{where}",
                "type": "GCP_SIGNED_URL", "headers": []}  # fmt: skip


_RULES: dict[str, Callable[[Databricks, dict[str, Any]], dict[str, Any]]] = {
    "experiments/create": Databricks._new_experiment,
    "runs/create": Databricks._new_run,
    "runs/set-tag": Databricks._tags,
    "runs/log-batch": Databricks._tags,
}


def _check_token(headers: dict[str, str]) -> None:
    if headers.get("authorization") != f"Bearer {TOKEN}":
        raise Refused(403, "403", "Invalid access token.")


def _json(value: dict[str, Any]) -> tuple[int, str, bytes]:
    return 200, "application/json", json.dumps(value).encode()


def _to_databricks(body: bytes) -> bytes:
    body = re.sub(rb"mlflow-artifacts:/(\d+)/models/", rb"%s/\1/logged_models/" % _BYTES, body)
    return body.replace(b"mlflow-artifacts:", _BYTES)


def _to_mlflow(body: bytes) -> bytes:
    body = re.sub(rb"%s/(\d+)/logged_models/" % _BYTES, rb"mlflow-artifacts:/\1/models/", body)
    return body.replace(_BYTES, b"mlflow-artifacts:")


_BYTES = _ROOT.encode()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client hung up."""


@contextmanager
def databricks(server: str) -> Iterator[Databricks]:
    """The stand-in in front of a server, for the length of a block."""
    stand_in = Databricks(server)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, kind, data = stand_in.answer(self.command, self.path, headers, body)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    web = _Quiet(("127.0.0.1", 0), Handler)
    stand_in.address = f"http://127.0.0.1:{web.server_address[1]}"
    thread = threading.Thread(target=web.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield stand_in
    finally:
        web.shutdown()
        web.server_close()
        thread.join()
        stand_in._behind.clear()
