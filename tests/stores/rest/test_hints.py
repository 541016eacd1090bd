"""Where something else than MLflow answers, or MLflow somewhere else, the hint says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import mlporter
from mlporter.errors import AccessDeniedError, UnreachableError
from mlporter.stores.rest.client import Client
from tests.support.faulty_server import LOGIN, Answer
from tests.support.tls import tls_server

if TYPE_CHECKING:
    from tests.support.faulty_server import FaultyServer

PATH = "/api/2.0/mlflow/x"
SEARCH = "/api/2.0/mlflow/experiments/search"


def hint_of(address: str, kind: type[UnreachableError] = UnreachableError) -> str:
    with pytest.raises(kind) as caught:
        mlporter.inspect(address, retry_time=0)
    assert caught.value.exit_code == 6
    return str(caught.value.hint)


def test_no_endpoint_suggests_a_path_prefix(faulty: FaultyServer):
    assert f"{faulty.address}/mlflow" in hint_of(faulty.address)


def test_no_endpoint_below_a_prefix_suggests_none(faulty: FaultyServer):
    hint = hint_of(f"{faulty.address}/wrong")
    assert "/wrong" in hint
    assert f"{faulty.address} " in hint


def test_nobody_known_says_how_to_log_in(faulty: FaultyServer):
    faulty.says("/version", Answer(401, b"who?", kind="text/plain"))
    hint = hint_of(faulty.address, AccessDeniedError)
    for words in ("user:pass@", "MLFLOW_TRACKING_TOKEN", "--source-env", "--target-env"):
        assert words in hint


def test_a_log_in_that_is_refused_is_called_so(faulty: FaultyServer):
    faulty.says("/version", Answer(401, b"who?", kind="text/plain"))
    hint = hint_of(faulty.address.replace("//", "//me:wr0ng-pass@"), AccessDeniedError)
    assert "refused" in hint
    assert "wr0ng-pass" not in hint


def test_https_where_plain_http_is_spoken(faulty: FaultyServer):
    assert faulty.address in hint_of(faulty.address.replace("http:", "https:"))


def test_http_where_tls_is_spoken(tmp_path):
    with tls_server(tmp_path) as port:
        assert hint_of(f"http://localhost:{port}") == f"https://localhost:{port}"


def test_a_certificate_that_nobody_trusts(tmp_path):
    with tls_server(tmp_path) as port:
        assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in hint_of(f"https://localhost:{port}")


def test_a_proxy_that_says_it_wants_tls(faulty: FaultyServer):
    said = b"<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"
    faulty.says(PATH, Answer(400, said, kind="text/html"))
    client = Client(faulty.address)
    with pytest.raises(UnreachableError) as caught:
        client.get(PATH)
    assert "https://" in str(caught.value.hint)
    client.close()


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://127.0.0.1/api/2.0/mlflow/x", "begin the address with https://"),
        ("https://login.example/sso?token=s3cret-w", "https://login.example/sso"),
        ("/login", "/login"),
    ],
)
def test_a_redirect_says_where_to(faulty: FaultyServer, location: str, said: str):
    faulty.says(PATH, Answer(302, b"", {"Location": location}))
    client = Client(faulty.address)
    with pytest.raises(UnreachableError) as caught:
        client.post(PATH, {})
    assert said in str(caught.value.hint)
    assert "s3cret-w" not in f"{caught.value} {caught.value.hint}"
    client.close()


def test_a_log_in_page_behind_a_redirect(faulty: FaultyServer):
    faulty.says(PATH, Answer(302, b"", {"Location": "/login"}))
    faulty.says("/login", LOGIN)
    client = Client(faulty.address)
    with pytest.raises(UnreachableError, match="HTML page") as caught:
        client.get(PATH)
    assert "/login" in str(caught.value.hint)
    client.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(403, b"", {"Server": "AirTunes/700.1"}), "AirPlay"),
        (Answer(403, b"Invalid Host header - possible DNS rebinding attack detected"),
         "--allowed-hosts 127.0.0.1"),
    ],
    ids=["macOS", "host"],
)  # fmt: skip
def test_a_denial_that_is_about_everything(faulty: FaultyServer, answer: Answer, said: str):
    for path in ("/version", SEARCH):
        faulty.says(path, answer)
    assert said in hint_of(faulty.address, AccessDeniedError)


@pytest.mark.parametrize("password", ["pr0xy-w0rd", "pr0xy@w0rd", "pr0xy%2Fw0rd"])
def test_a_proxy_s_password_is_never_shown(cli, monkeypatch, tmp_path, password: str):
    monkeypatch.setenv("HTTP_PROXY", f"http://me:{password}@127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:{password}@127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for scheme in ("http", "https"):
        log = tmp_path / scheme
        done = cli("inspect", f"{scheme}://mlflow.example", "-vv", "--log-file", log)
        assert done.code == 6
        assert "HTTPS_PROXY" in done.err
        for text in (done.out, done.err, log.read_text()):
            assert "w0rd" not in text


def test_a_side_has_its_own_proxy(faulty: FaultyServer, monkeypatch, cli):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("DEV_HTTP_PROXY", faulty.address)
    done = cli("inspect", "http://mlflow.example", "--source-env", "DEV_", "--retry-time", "0")
    assert done.code == 6
    assert "404" in done.err
    assert faulty.came
    monkeypatch.setenv("DEV_NO_PROXY", "127.0.0.1")
    here = cli("inspect", faulty.address, "--source-env", "DEV_", "--retry-time", "0")
    assert "404" in here.err
