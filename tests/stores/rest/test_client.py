from __future__ import annotations

import base64
import io
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from mlflow.tracking.request_auth import registry as auths
from mlflow.tracking.request_header import registry as headers

from mlporter.artifacts.prefetch import prefetched
from mlporter.errors import AccessDeniedError, UnreachableError
from mlporter.stores.rest.answers import (
    ApiError,
    DeniedError,
    LostAnswerError,
    MissingEndpointError,
)
from mlporter.stores.rest.client import Client
from tests.support.faulty_server import HTML, LOGIN, Answer, as_json

if TYPE_CHECKING:
    from tests.support.faulty_server import FaultyServer

pytestmark = pytest.mark.usefixtures("hasty")

PATH = "/api/2.0/mlflow/x"


@pytest.mark.parametrize(
    "fault",
    [
        as_json({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "slow"}, 429, Retry_After="0"),
        as_json({"message": "oops"}, 500),
        HTML,
        Answer(503, b"busy", kind="text/plain"),
        Answer(hang_up=True),
        Answer(200, b'{"a": 1', length=100),
        Answer(200, b'{"a": [1, 2'),
    ],
    ids=["429", "500", "502 html", "503", "cut", "half a body", "half a document"],
)
def test_what_may_pass_is_tried_again(faulty: FaultyServer, client: Client, fault: Answer):
    faulty.says(PATH, fault, fault, as_json({"a": 1}))
    assert client.get(PATH) == {"a": 1}
    assert len(faulty.came) == 3


def test_retry_after_is_waited_for(faulty: FaultyServer, client: Client):
    faulty.says(PATH, as_json({}, 429, Retry_After="1"), as_json({"a": 1}))
    start = time.monotonic()
    assert client.get(PATH) == {"a": 1}
    assert time.monotonic() - start >= 1


def test_retrying_ends_and_says_what_the_server_said(faulty: FaultyServer):
    client = Client(faulty.address, retry_time=0.6)
    faulty.says(PATH, as_json({"message": "the disk is full"}, 500))
    with pytest.raises(UnreachableError, match="HTTP 500: the disk is full") as caught:
        client.get(PATH)
    assert "--retry-time" in (caught.value.hint or "")
    assert len(faulty.came) > 1
    client.close()


def test_a_server_that_asks_for_too_long_a_wait_is_given_up_at_once(faulty: FaultyServer):
    client = Client(faulty.address, retry_time=5)
    faulty.says(PATH, as_json({"message": "come tomorrow"}, 429, Retry_After="86400"))
    with pytest.raises(UnreachableError, match="come tomorrow"):
        client.get(PATH)
    assert len(faulty.came) == 1
    client.close()


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (as_json({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No run"}, 404), ApiError,
         "HTTP 404: No run"),
        (as_json({"error_code": "INVALID_PARAMETER_VALUE", "message": "bad"}, 400), ApiError,
         "HTTP 400: bad"),
        (Answer(404, b"<title>404 Not Found</title>", kind="text/html"), MissingEndpointError,
         "HTTP 404: 404 Not Found"),
        (Answer(401, b"You are not authenticated", kind="text/html"), AccessDeniedError, "401"),
        (as_json({"error_code": "PERMISSION_DENIED", "message": "no"}, 403), DeniedError,
         "HTTP 403: no"),
        (LOGIN, UnreachableError, "answered with an HTML page and not with JSON: Log in"),
        (Answer(200, b"[1]"), UnreachableError, "and not with JSON"),
    ],
    ids=["404", "400", "no such endpoint", "401", "403", "login page", "a list"],
)  # fmt: skip
def test_what_will_not_pass_fails_at_once(
    faulty: FaultyServer, client: Client, answer: Answer, kind: type[Exception], says: str
):
    faulty.says(PATH, answer)
    with pytest.raises(kind, match=says) as caught:
        client.get(PATH)
    assert type(caught.value) is kind
    assert len(faulty.came) == 1
    assert f"{faulty.address} {PATH}" in str(caught.value)


def test_a_post_that_must_not_be_repeated_is_not(faulty: FaultyServer, client: Client):
    faulty.says(PATH, Answer(hang_up=True))
    with pytest.raises(LostAnswerError):
        client.post(PATH, {"name": "x"}, again=False)
    assert len(faulty.came) == 1


def test_a_post_that_was_surely_not_done_is_repeated(faulty: FaultyServer, client: Client):
    faulty.says(PATH, as_json({}, 503), as_json({}, 429), as_json({"id": "1"}))
    assert client.post(PATH, {"name": "x"}, again=False) == {"id": "1"}
    assert [request.body for request in faulty.came] == [b'{"name": "x"}'] * 3


def test_nobody_there():
    client = Client("http://127.0.0.1:9")
    start = time.monotonic()
    with pytest.raises(UnreachableError, match="cannot be reached"):
        client.get(PATH)
    assert time.monotonic() - start < 5
    client.close()


def test_not_tls(faulty: FaultyServer):
    client = Client(faulty.address.replace("http:", "https:"))
    with pytest.raises(UnreachableError, match="TLS failed"):
        client.get(PATH)
    client.close()


def test_no_answer_in_time(faulty: FaultyServer, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    late = threading.Event()
    faulty.says(PATH, Answer(wait_for=late), as_json({"a": 1}))
    assert client.get(PATH) == {"a": 1}
    late.set()


def test_connections_stay_open(faulty: FaultyServer, client: Client):
    faulty.says(PATH, as_json({}))
    for _ in range(5):
        client.get(PATH)
    assert faulty.connections == 1


def test_closing_ends_a_wait(faulty: FaultyServer, client: Client):
    faulty.says(PATH, as_json({}, 503, Retry_After="15"))
    timer = threading.Timer(0.3, client.close)
    timer.start()
    start = time.monotonic()
    with pytest.raises(UnreachableError):
        client.get(PATH)
    assert time.monotonic() - start < 10
    timer.join()


def test_an_interrupt_ends_what_workers_wait_for(faulty: FaultyServer, client: Client):
    faulty.says(PATH, as_json({}, 503, Retry_After="15"))
    faulty.says("/ok", as_json({}))

    def ask(path: str) -> None:
        client.get(path)
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(prefetched(["/ok", PATH, PATH], ask, 3))
    assert time.monotonic() - start < 10


def test_pages(faulty: FaultyServer, client: Client):
    faulty.says(
        PATH,
        as_json({"runs": [{"n": 1}], "next_page_token": "a"}),
        as_json({"next_page_token": "b"}),
        as_json({"runs": [{"n": 2}]}),
    )
    assert list(client.pages(PATH, {"q": 1}, "runs")) == [[{"n": 1}], [{"n": 2}]]
    assert [request.body for request in faulty.came] == [
        b'{"q": 1}',
        b'{"q": 1, "page_token": "a"}',
        b'{"q": 1, "page_token": "b"}',
    ]


def test_pages_that_do_not_end(faulty: FaultyServer, client: Client):
    faulty.says(PATH, as_json({"runs": [{"n": 1}], "next_page_token": "a"}))
    with pytest.raises(UnreachableError, match="never end"):
        list(client.pages(PATH, {}, "runs"))


# --- who we are -----------------------------------------------------------------------------------


def sent(faulty: FaultyServer, address: str | None = None, workspace: str | None = None):
    faulty.says(PATH, as_json({}))
    client = Client(address or faulty.address)
    client.within(workspace).get(PATH)
    client.close()
    return faulty.came[-1].headers


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def test_user_and_password_of_the_environment(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    assert sent(faulty)["Authorization"] == basic("ann:s3cret")


def test_66_token_of_the_environment(faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    assert sent(faulty)["Authorization"] == "Bearer t0ken"


def test_user_and_password_of_the_url_are_never_shown(faulty: FaultyServer):
    address = faulty.address.replace("//", "//ann:s%40cret@")
    assert sent(faulty, address)["Authorization"] == basic("ann:s@cret")
    faulty.says("/bad", as_json({"error_code": "X", "message": "no"}, 400))
    client = Client(address)
    with pytest.raises(ApiError) as caught:
        client.get("/bad")
    assert "cret" not in str(caught.value)
    client.close()


def test_plugins_for_headers_and_authentication(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
):
    class Headers:
        def in_context(self):
            return True

        def request_headers(self):
            return {"X-Team": "ducks"}

    class Auth:
        def get_name(self):
            return "ours"

        def get_auth(self):
            def sign(request):
                request.headers["X-Signed"] = request.method
                return request

            return sign

    monkeypatch.setattr(headers._request_header_provider_registry, "_registry", [Headers()])
    monkeypatch.setattr(auths._request_auth_provider_registry, "_registry", [Auth()])
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "ours")
    found = sent(faulty)
    assert (found["X-Team"], found["X-Signed"]) == ("ducks", "GET")


def test_databricks_profile(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
):
    config = tmp_path_factory.mktemp("databricks") / "cfg"
    config.write_text(f"[mine]\nhost = {faulty.address}\ntoken = dapi-s3cret\n")
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(config))
    faulty.says("/.well-known/databricks-config", Answer(404))
    assert sent(faulty, "databricks://mine")["Authorization"] == "Bearer dapi-s3cret"


def test_databricks_without_a_profile(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABRICKS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(AccessDeniedError):
        Client("databricks://nobody")


def test_workspace(faulty: FaultyServer):
    assert sent(faulty, workspace="team-b")["X-MLFLOW-WORKSPACE"] == "team-b"
    assert "X-MLFLOW-WORKSPACE" not in sent(faulty)


# --- bytes ----------------------------------------------------------------------------------------


def test_a_download_goes_on_where_it_was_cut(faulty: FaultyServer, client: Client):
    content = bytes(range(256)) * 20_000
    faulty.says(
        PATH,
        as_json({}, 503),
        Answer(200, content[:3_000_000], length=len(content)),
        Answer(200, content[:100], length=len(content)),
        Answer(hang_up=True),
        Answer(200, content),
    )
    with client.download(PATH) as stream:
        assert stream.read(10) == content[:10]
        assert stream.read() == content[10:]


def test_a_download_of_nothing(faulty: FaultyServer, client: Client):
    faulty.says(PATH, as_json({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "gone"}, 404))
    with pytest.raises(ApiError, match="gone"), client.download(PATH):
        pass


@pytest.mark.parametrize("size", [0, 5, 3_000_000])
def test_an_upload_starts_again_from_its_start(faulty: FaultyServer, client: Client, size: int):
    content = b"x" * size

    @contextmanager
    def opened():
        yield io.BytesIO(content)

    faulty.says(PATH, as_json({}, 500), as_json({}))
    client.upload(PATH, size, opened)
    assert [request.body for request in faulty.came] == [content] * 2
    assert {request.method for request in faulty.came} == {"PUT"}
    assert faulty.came[0].headers["Content-Length"] == str(size)
