"""`browse`: MLflow's own client, and its UI in a browser, over a bundle."""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from struct import pack

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import mlporter
from tests.conftest import forget_artifact_places
from tests.support.chromium import CHROMIUM, chromium
from tests.support.mlflow_session import mlflow_at
from tests.support.observed import Observation, differences, observe_as_clients
from tests.support.rich_registry import RichRegistry, copy_database, copy_with_artifacts
from tests.verbs.test_predictions import assert_predicts_the_same

POINTS = 60


def picture() -> bytes:
    """A PNG of 40 by 30 red pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\xff\0\0" * 40) * 30
    head = pack(">IIBBBBB", 40, 30, 8, 2, 0, 0, 0)
    parts = (b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in parts)


@dataclass(frozen=True)
class Shown:
    """What is browsed: the registry that was, what MLflow's client saw of it, and the UI."""

    registry: RichRegistry
    really: Observation
    ui: mlporter.Browsing
    run_id: str

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.ui.url, self.ui.url)


def log_a_run_to_look_at(rich: RichRegistry) -> str:
    with mlflow_at(rich.tracking_uri):
        client = MlflowClient()
        run_id = client.create_run(rich.runs.experiment_id, run_name="to look at").info.run_id
        for step in range(POINTS):
            client.log_metric(run_id, "accuracy", step / POINTS, step=step)
        folder = Path("plots").absolute()
        folder.mkdir()
        (folder / "red picture.png").write_bytes(picture())
        (folder / "small").mkdir()
        (folder / "small" / "red picture.png").write_bytes(picture())
        client.log_artifacts(run_id, str(folder), "plots")
        client.log_artifact(run_id, str(folder / "red picture.png"))
        client.set_terminated(run_id)
    return run_id


@pytest.fixture(scope="module")
def shown(rich_sqlite_template, tmp_path_factory, quick_uis):
    folder = tmp_path_factory.mktemp("browsed")
    rich = copy_with_artifacts(rich_sqlite_template, folder / "rich")
    run_id = log_a_run_to_look_at(rich)
    mlporter.export(rich.tracking_uri, folder / "bundle")
    really = observe_as_clients(copy_database(rich, folder / "observed").tracking_uri)
    forget_artifact_places()
    shutil.rmtree(folder / "rich")  # nothing but the bundle is left
    before = contents(folder / "bundle")
    with mlporter.browse(folder / "bundle") as ui:
        yield Shown(rich, really, ui, run_id)
    assert contents(folder / "bundle") == before


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


UNSEEN = {"deployment_job_state", "valid"}
"""What MLflow's REST API says of everything, or of nothing."""


def as_over_rest(seen):
    """What a database says as REST says it: None, "" and [] are one, and so are 1 and "1"."""
    if isinstance(seen, dict):
        made = {key: as_over_rest(value) for key, value in seen.items() if key not in UNSEEN}
        return {key: value for key, value in made.items() if value}
    return [as_over_rest(item) for item in seen] if isinstance(seen, list) else str(seen or "")


def test_mlflows_client_sees_all_that_is_in_the_registry(shown):
    told = observe_as_clients(shown.ui.url)
    assert not differences(as_over_rest(shown.really), as_over_rest(told))


def test_artifacts_are_listed_and_read(shown):
    client = shown.client
    folder, beside = client.list_artifacts(shown.run_id)
    assert (folder.path, folder.is_dir) == ("plots", True)
    assert (beside.path, beside.is_dir) == ("red picture.png", False)
    file, below = client.list_artifacts(shown.run_id, "plots")
    assert (file.path, file.file_size) == ("plots/red picture.png", len(picture()))
    assert (below.path, below.is_dir, below.file_size) == ("plots/small", True, None)
    assert Path(client.download_artifacts(shown.run_id, file.path)).read_bytes() == picture()
    got = requests.get(
        f"{shown.ui.url}/get-artifact", {"run_uuid": shown.run_id, "path": file.path}, timeout=30
    )
    assert got.content == picture()
    assert got.headers["Content-Type"] == "image/png"
    assert client.list_artifacts(shown.run_id, "nothing") == []
    whole = Path(client.download_artifacts(shown.run_id, ""))
    assert sum(path.is_file() for path in whole.rglob("*")) == 3


def test_what_is_no_file_is_not_found(shown):
    asked = {"run_uuid": shown.run_id, "path": "plots/none.png"}
    got = requests.get(f"{shown.ui.url}/get-artifact", asked, timeout=30)
    assert got.status_code == 404
    with pytest.raises(MlflowException):
        shown.client.download_artifacts(shown.run_id, "plots/none.png")


def test_models_load_by_every_uri(shown):
    assert_predicts_the_same(shown.ui.url, shown.registry.models)


@pytest.mark.parametrize(
    "write",
    [
        lambda client, _: client.create_experiment("new"),
        lambda client, run: client.log_metric(run, "more", 1.0),
        lambda client, run: client.set_tag(run, "more", "x"),
        lambda client, run: client.delete_run(run),
        lambda client, run: client.log_text(run, "text", "more.txt"),
        lambda client, _: client.create_registered_model("new"),
        lambda client, _: client.delete_experiment("0"),
    ],
)
def test_writing_is_refused(shown, write):
    with pytest.raises((MlflowException, requests.HTTPError), match="mlporter browse"):
        write(shown.client, shown.run_id)


def test_a_page_of_somebody_elses_gets_nothing(shown):
    got = requests.get(shown.ui.url, headers={"Host": "rebound.example:80"}, timeout=30)
    assert got.status_code == 403
    assert "rebound.example" in got.json()["message"]


# --- In a browser ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("there is no chromium here to look at pages with")
    with chromium(tmp_path_factory.mktemp("chromium")) as opened:
        yield opened


def page_of_run(shown):
    runs = f"{shown.ui.url}/#/experiments/{shown.registry.runs.experiment_id}/runs"
    return f"{runs}/{shown.run_id}"


def shows(text):
    return f"document.body.innerText.includes({json.dumps(text)})"


def test_the_page_of_experiments_is_shown(browser, shown):
    both = f"{shows('rich: prices / Zürich')} && {shows('rich (file URI)')}"
    assert not browser.missing(f"{shown.ui.url}/#/experiments", both, shot="experiments")


def test_the_metrics_of_a_run_are_drawn(browser, shown):
    curve = f"document.querySelector('svg .js-line').getAttribute('d') && {shows('accuracy')}"
    assert not browser.missing(f"{page_of_run(shown)}/model-metrics", curve, shot="charts")


def test_an_image_is_shown(browser, shown):
    wide = "[...document.images].some((i) => i.naturalWidth === 40 && i.naturalHeight === 30)"
    page = f"{page_of_run(shown)}/artifacts"
    assert not browser.missing(page, wide, click="red picture.png", shot="image")


def test_the_page_of_a_model_is_shown(browser, shown):
    name = shown.registry.models.name
    both = f"{shows(name)} && {shows('champion')} && {shows('Version 4')}"
    assert not browser.missing(f"{shown.ui.url}/#/models/{name}", both, shot="model")
