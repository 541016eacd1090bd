"""The quickstart scripts, run as a person runs them; MLflow tells what came of it."""

from __future__ import annotations

import functools
import io
import logging
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from mlporter.quickstart import load_and_predict, train_and_register
from tests.support.forks import run

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples" / "quickstart"
SHIPPED = ROOT / "src" / "mlporter" / "quickstart"
SCRIPTS = ("train_and_register.py", "load_and_predict.py")
STAGES = {1: "Archived", 2: "Production", 3: "Staging"}


@dataclass(frozen=True)
class Registry:
    folder: Path
    output: list[str]

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def version(self, number):
        return self.client.get_model_version("rf_regressor", str(number))

    def run_of(self, number):
        return self.client.get_run(self.version(number).run_id)


@contextmanager
def as_it_was(folder):
    """Work in a folder (MLflow makes `mlruns` there), then undo what the scripts change."""
    tracking_uri = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        yield
    mlflow.set_tracking_uri(tracking_uri)
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quickstart")
    with as_it_was(folder), redirect_stdout(io.StringIO()) as output:
        train_and_register.main(
            [
                f"--tracking-uri=sqlite:///{folder / 'mlflow.db'}",
                f"--artifact-location={(folder / 'files').as_uri()}",
            ]
        )
    return Registry(folder, output.getvalue().splitlines())


@pytest.fixture(autouse=True)
def _clean_process(tmp_path):
    with as_it_was(tmp_path):
        yield


@pytest.fixture
def predict(registry):
    return functools.partial(load_and_predict.predict, registry.uri)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_shipped_script_is_the_sample(name):
    assert (SHIPPED / name).read_bytes() == (SAMPLES / name).read_bytes()


@pytest.mark.parametrize("script", [train_and_register, load_and_predict])
def test_without_a_tracking_uri_nothing_is_guessed(script, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SystemExit) as stopped:
        script.main([])
    assert stopped.value.code == 2
    assert "give --tracking-uri or set MLFLOW_TRACKING_URI" in capsys.readouterr().err


def test_every_version_is_announced(registry):
    assert registry.output == [
        "rf_regressor version 1: RandomForest_small, Archived",
        "rf_regressor version 2: RandomForest_baseline, Production",
        "rf_regressor version 3: RandomForest_deep, Staging",
    ]


@pytest.mark.parametrize(("number", "stage"), STAGES.items())
def test_each_version_has_its_stage_tag_and_description(registry, number, stage):
    version = registry.version(number)
    assert version.current_stage == stage
    assert version.tags == {"validated_by": "quickstart"}
    assert "trees of depth" in version.description


def test_the_model_has_tag_description_and_champion(registry):
    model = registry.client.get_registered_model("rf_regressor")
    assert model.tags == {"team": "quickstart"}
    assert model.description == "Disease progression after one year."
    assert {name: int(number) for name, number in model.aliases.items()} == {"champion": 2}


def test_the_baseline_run_has_parameters_metric_and_tag(registry):
    run = registry.run_of(2)
    assert run.info.run_name == "RandomForest_baseline"
    assert registry.client.get_experiment(run.info.experiment_id).name == "rf_quickstart"
    assert run.data.params == {"n_estimators": "50", "max_depth": "5"}
    assert 40 < run.data.metrics["rmse"] < 70
    assert run.data.tags["purpose"] == "quickstart"


def test_the_plot_is_a_png(registry, tmp_path):
    run_id = registry.version(2).run_id
    assert [file.path for file in registry.client.list_artifacts(run_id, "plots")] == [
        "plots/predicted_vs_true.png"
    ]
    plot = registry.client.download_artifacts(run_id, "plots/predicted_vs_true.png", str(tmp_path))
    assert Path(plot).read_bytes().startswith(b"\x89PNG")


def test_the_printed_predictions_are_those_of_production(registry, predict):
    script = f"import runpy; runpy.run_path({str(SAMPLES / SCRIPTS[1])!r}, run_name='__main__')"
    done = run(["-c", script], registry.folder, MLFLOW_TRACKING_URI=registry.uri)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    values = predict("models:/rf_regressor/Production")
    assert printed == [f"row {row}: {value:.6f}" for row, value in enumerate(values)]
    assert len(printed) == 5


def test_the_alias_predicts_as_production_does_and_staging_differs(predict):
    production = predict("models:/rf_regressor/Production")
    assert production == predict("models:/rf_regressor@champion")
    assert production != predict("models:/rf_regressor/Staging")
