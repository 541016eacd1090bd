"""The sample bundle of format 1 stays readable for ever, and no changed byte of it goes unseen."""

import random
import shutil
import subprocess
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

import mlporter
from mlporter.bundle.checks.verify import verify_bundle
from tests.support.mlflow_session import mlflow_at

SAMPLE = Path(__file__).parents[2] / "samples" / "bundle-format-1"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SAMPLE, tmp_path / "bundle"))


def test_it_is_undamaged() -> None:
    report = verify_bundle(SAMPLE)
    assert report.problems == []
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=SAMPLE, check=True)


def test_what_is_in_it() -> None:
    inventory = mlporter.inspect(str(SAMPLE))
    rows = {table.name: table.rows for table in inventory.tables}
    assert len(rows) == 55
    assert min(rows.values()) > 0
    assert (rows["runs"], rows["metrics"], rows["spans"]) == (24, 34, 9)
    model = next(model for model in inventory.models if model.name == "rich-model")
    assert [(v.version, v.stage) for v in model.versions] == [
        (1, "Archived"),
        (2, "Deleted_Internal"),
        (3, "Production"),
        (4, "Staging"),
        (5, "Deleted_Internal"),
    ]
    assert model.aliases == {"champion": 3, "challenger": 4, "prod_2024-1": 3, "x1": 1}


def test_it_can_be_imported_and_its_models_predict(tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/new.db"
    result = mlporter.import_(str(SAMPLE), target, artifact_root=str(tmp_path / "artifacts"))
    assert result.exit_code == 0
    with mlflow_at(target):
        assert MlflowClient().get_model_version_by_alias("rich-model", "champion").version == 3
        for uri in ("models:/rich-model/Production", "models:/rich-model@champion"):
            model = mlflow.pyfunc.load_model(uri)
            assert len(model.predict([1.0, 2.0])) == 2
    assert list((tmp_path / "artifacts").rglob("registered_model_meta"))
    assert mlporter.diff(str(SAMPLE), target).identical  # also after MLflow has loaded from it


def positions(size: int, chance: random.Random) -> list[int]:
    return sorted({0, size // 2, size - 1, chance.randrange(size)})


def change(path: Path, position: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def test_any_single_changed_byte_is_found(copy: Path) -> None:
    """Of the manifest and its like one at a time. Each part and blob is named by what finds it, so
    one byte in each of many is changed at once."""
    chance = random.Random(20261121)
    files = sorted(path for path in copy.rglob("*") if path.is_file() and path.stat().st_size)
    documents = [[path] for path in files if path.parent == copy]
    assert len(documents) < len(files)
    unseen = []
    for group in (*documents, [path for path in files if path.parent != copy]):
        places = [positions(path.stat().st_size, chance) for path in group]
        for nth in range(4):
            changes = [
                (path, of_one[nth % len(of_one)], chance.randrange(8))
                for path, of_one in zip(group, places, strict=True)
            ]
            for changed in changes:
                change(*changed)
            named = {problem.path for problem in verify_bundle(copy).problems}
            for path, position, bit in changes:
                if not named or (group not in documents and named_as(path, copy) not in named):
                    unseen.append((path.name, position))
                change(path, position, bit)
    assert unseen == []
    assert verify_bundle(copy).problems == []


def named_as(path: Path, bundle: Path) -> str:
    return path.relative_to(bundle).as_posix()


def test_every_file_is_covered_by_a_sum() -> None:
    """What the test above tries at some places holds at all: nothing lies outside the hashes."""
    listed = {line[66:] for line in (SAMPLE / "SHA256SUMS").read_text().splitlines()}
    named = {f"blobs/{path.name[:2]}/{path.name}" for path in SAMPLE.glob("blobs/*/*")}
    there = {path.relative_to(SAMPLE).as_posix() for path in SAMPLE.rglob("*") if path.is_file()}
    assert there == listed | named | {"SHA256SUMS"}
