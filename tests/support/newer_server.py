"""A stand-in for the server of a later MLflow: a real one, whose answers have more in them."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Objects of answers: what they are called there, and where their id is.
_OBJECTS = {
    "experiment": ("experiment_id",),
    "run": ("info", "run_id"),
    "registered_model": ("name",),
    "model_version": ("name",),
    "trace": ("trace_id",),
}


def _has(*names: str, without: str = "") -> Callable[[dict[str, Any]], bool]:
    return lambda it: set(names) <= it.keys() and without not in it


_DEFINITION = {"model_definition_id", "name"}
#: What stands deep in answers and requests: how it is known, and what names it.
_DEEP: dict[
    str, tuple[Callable[[dict[str, Any]], bool], Callable[[dict[str, Any], str], object]]
] = {
    "assessment": (_has("assessment_id", "assessment_name"), lambda it, _: it["assessment_id"]),
    "trace": (_has("trace_id", "request_time"), lambda it, _: it["trace_id"]),
    "input": (_has("dataset"), lambda it, run: (run, it["dataset"]["name"])),
    "dataset": (_has("digest", "source_type"), lambda it, run: (run, it["name"])),
    "output": (_has("model_id", "step", without="key"), lambda it, run: (run, it["model_id"])),
    "model_point": (_has("model_id", "key", "step"), lambda it, _: (it["model_id"], it["step"])),
    "definition": (
        lambda it: _has("provider", "model_name", "name")(it) or it.keys() >= _DEFINITION,
        lambda it, _: it["name"],
    ),
    "endpoint": (
        lambda it: "model_configs" in it or it.keys() >= {"endpoint_id", "name"},
        lambda it, _: it["name"],
    ),
    "behind": (_has("model_definition_id", "linkage_type"), lambda it, _: it["linkage_type"]),
    "endpoint_tag": (lambda it: str(it.get("key")).startswith("gateway."), lambda it, _: it["key"]),
}
#: Requests that change one, and what names it.
_CHANGES = {
    "/api/2.0/mlflow/experiments/update": ("experiment", "experiment_id"),
    "/api/2.0/mlflow/runs/update": ("run", "run_id"),
    "/api/2.0/mlflow/registered-models/update": ("registered_model", "name"),
    "/api/2.0/mlflow/model-versions/update": ("model_version", "name"),
}


@dataclass
class NewerServer:
    """What it adds.

    Attributes:
        real: The address of the real server.
        version: What it says of itself.
        adds: Fields by kind of object, with what they are before anybody sets them. A field of a
            run is one of its `info`.
        inside: The same of what stands in lists: `params`, `tags` and `metrics` of runs, `aliases`.
            As with MLflow's own fields, the first word on a parameter or a point is the last.
        deep: The same of what stands deeper: by kind of `_DEEP`.
        beside: What each page of a list has beside its items.
        things: Objects of a kind of its own that it lists.
        kept: What was set, by kind, id and field.
        takes: Whether it keeps what is set.
        takes_new: Whether it keeps what is said of a run that is made.
    """

    real: str
    version: str = "9.9.0"
    adds: dict[str, dict[str, Any]] = field(default_factory=dict)
    inside: dict[str, dict[str, Any]] = field(default_factory=dict)
    deep: dict[str, dict[str, Any]] = field(default_factory=dict)
    beside: dict[str, Any] = field(default_factory=dict)
    things: list[Any] = field(default_factory=list)
    kept: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    takes: bool = True
    takes_new: bool = False
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def changed(self, path: str, body: bytes) -> None:
        """Keep what a request sets."""
        if self.takes and path.endswith(("/runs/log-batch", "/registered-models/alias")) and body:
            self._set_inside(json.loads(body))
        if self.takes and self.deep and body.startswith(b"{"):
            sent = json.loads(body)
            if path.endswith("/log-inputs"):
                sent = {"inputs": {"dataset_inputs": sent.get("datasets", [])}} | sent
            if path.endswith("/outputs"):
                sent = {"outputs": {"model_outputs": sent.get("models", [])}} | sent
            self._deeper(sent, str(sent.get("run_id", "")), self._keep)
        if path not in _CHANGES or not self.takes:
            return
        kind, name = _CHANGES[path]
        sent = json.loads(body)
        for added in self.adds.get(kind, {}):
            if added in sent:
                self.kept[kind, str(sent[name]), added] = sent[added]

    def _set_inside(self, sent: dict[str, Any]) -> None:
        lists = {**sent, "aliases": [sent]} if "alias" in sent else sent
        for kind, added in self.inside.items():
            for item in lists.get(kind, ()):
                for name in added.keys() & item.keys():
                    key = kind, _which(sent.get("run_id") or sent["name"], kind, item), name
                    again = kind in {"tags", "aliases"}
                    self.kept[key] = item[name] if again else self.kept.get(key, item[name])

    def made(self, path: str, body: bytes, answer: bytes) -> None:
        """Keep what the request says that makes a run."""
        if self.takes_new and path == "/api/2.0/mlflow/runs/create":
            run, sent = json.loads(answer)["run"]["info"]["run_id"], json.loads(body)
            names = self.adds["run"].keys() & sent.keys()
            self.kept.update({("run", run, name): sent[name] for name in names})

    def _keep(self, kind: str, key: str, item: dict[str, Any]) -> None:
        for name in self.deep[kind].keys() & item.keys():
            self.kept[kind, key, name] = item[name]

    def _tell(self, kind: str, key: str, item: dict[str, Any]) -> None:
        for name, value in self.deep[kind].items():
            item[name] = self.kept.get((kind, key, name), value)

    def _deeper(self, found: Any, owner: str, each: Callable[..., None]) -> None:
        """Come to all that is deep in a request or an answer."""
        for item in found if isinstance(found, list) else ():
            self._deeper(item, owner, each)
        if not isinstance(found, dict):
            return
        owner = str(found.get("info", {}).get("run_id") or found.get("run_id") or owner)
        for kind, (has, key) in _DEEP.items():
            if kind in self.deep and has(found):
                each(kind, str(key(found, owner)), found)
        for inner in found.values():
            self._deeper(inner, owner, each)

    def more(self, answer: Any, run: str = "") -> Any:
        """An answer with what a newer MLflow has in it; to a request that names a run."""
        if self.deep:
            self._deeper(answer, run, self._tell)
        for found in [answer.get("run"), *(answer.get("runs") or ())]:
            if found:
                self._add_inside(found["info"]["run_id"], found["data"])
        for found in [answer.get("registered_model"), *(answer.get("registered_models") or ())]:
            if found:
                self._add_inside(found["name"], found)
        for point in answer.get("metrics") or ():
            self._add_inside(point.get("run_id") or run, {"metrics": [point]})
        for kind, where in _OBJECTS.items():
            one = [answer[kind]] if isinstance(answer.get(kind), dict) else []
            for item in (*one, *(answer.get(f"{kind}s") or ())):
                self._add(kind, item, where)
        if any(f"{kind}s" in answer for kind in _OBJECTS):
            answer.update(self.beside)
        return answer

    def _add_inside(self, owner: str, holder: dict[str, Any]) -> None:
        for kind, added in self.inside.items():
            for item in holder.get(kind) or ():
                for name, value in added.items():
                    item[name] = self.kept.get((kind, _which(owner, kind, item), name), value)

    def _add(self, kind: str, item: dict[str, Any], where: tuple[str, ...]) -> None:
        holder = item
        for step in where[:-1]:
            holder = holder[step]
        for name, value in self.adds.get(kind, {}).items():
            holder[name] = self.kept.get((kind, str(holder[where[-1]]), name), value)


def _which(owner: str, kind: str, item: dict[str, Any]) -> str:
    names = {"metrics": ("key", "step", "timestamp"), "aliases": ("alias",)}.get(kind, ("key",))
    return "/".join([owner, *(str(item.get(name, 0)) for name in names)])


@contextmanager
def newer_server(real: str, **more: Any) -> Iterator[NewerServer]:
    """Run it in front of a real server."""
    newer = NewerServer(real, **more)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.partition("?")[0]
            newer.asked.append(f"{self.command} {path}")
            newer.changed(path, body)
            if path == "/version":
                self._send(200, "text/plain", newer.version.encode())
            elif path == "/api/3.0/mlflow/things" and newer.things:
                self._send(200, "application/json", json.dumps({"things": newer.things}).encode())
            else:
                self._forward(body)

        def _forward(self, body: bytes) -> None:
            connection = http.client.HTTPConnection(urlsplit(newer.real).netloc, timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            headers["Accept-Encoding"] = "identity"
            connection.request(self.command, self.path, body, headers)
            found = connection.getresponse()
            data, kind = found.read(), found.getheader("Content-Type") or ""
            newer.made(self.path, body, data)
            if kind.startswith("application/json") and found.status == 200 and data:
                told = json.loads(data)
                run = parse_qs(urlsplit(self.path).query).get("run_id", [""])[0]
                more = newer.more(told, run) if isinstance(told, dict) else told
                data = json.dumps(more).encode()
            self._send(found.status, kind, data)
            connection.close()

        def _send(self, status: int, kind: str, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    newer.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield newer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
