import json
from pathlib import Path

import pytest

from tests.support.forks import run


def demo(*options, **environment):
    return run(["-m", "mlporter", "demo", *options], **environment)


def test_the_whole_job(tmp_path):
    finished = demo(
        "--directory",
        str(tmp_path / "demo"),
        MLFLOW_REGISTRY_URI=f"sqlite:///{tmp_path}/mine.db",
        COLUMNS="80",
    )

    assert (finished.returncode, finished.stderr) == (0, "")
    verbs = [line.split()[2] for line in finished.stdout.splitlines() if line.startswith("$ mlp")]
    assert verbs == ["export", "inspect", "verify", "import", "diff"]
    assert finished.stdout.count("  equal\n") == 5
    assert "Nothing was lost" in finished.stdout
    assert {"backup", "dev.db", "prod.db"} <= {p.name for p in (tmp_path / "demo").iterdir()}
    assert not Path(tmp_path / "mine.db").exists()


def test_json_and_another_target(tmp_path, empty_postgres_url):
    finished = demo("--json", "--to", empty_postgres_url, "--directory", str(tmp_path / "demo"))

    data = json.loads(finished.stdout)
    assert finished.returncode == data["exit_code"] == 0, finished.stderr
    assert data["equal"]
    assert data["source_predictions"] == data["target_predictions"]


@pytest.mark.parametrize("name", ["file", "used"])
def test_a_directory_that_cannot_be_used(tmp_path, mlporter, name):
    (tmp_path / "file").touch()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "something").touch()

    assert mlporter("demo", "--directory", tmp_path / name).code == 2
