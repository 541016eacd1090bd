"""Signed models and bundles; the judge is the package's own command line."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from model_signing._cli import main as model_signing_cli

import mlporter
from tests.support.mlflow_session import mlflow_at, sqlite_url

CANDIDATE = "models:/plain-model@candidate"


def judged(folder: Path, signature: Path, public: str) -> bool:
    """Whether `model_signing verify key` takes a signature."""
    words = ["verify", "key", str(folder), "--signature", str(signature), "--public_key", public]
    return CliRunner().invoke(model_signing_cli, words).exit_code == 0


def promoted(dev: Any, folder: Path, keys: tuple[str, str]) -> tuple[str, Path]:
    """A target with a signed version, and the signature that it keeps."""
    target = sqlite_url(folder / "prod.db")
    done = mlporter.promote(
        CANDIDATE, dev.tracking_uri, target, artifact_root=folder / "root", sign=keys[0]
    )
    receipt = yaml.safe_load(Path(done.receipts[0]).read_text())
    (stored,) = (folder / "root").rglob(Path(receipt["signature"]).name)
    return target, stored


def test_the_signature_of_a_promoted_model_holds(dev, keys, tmp_path) -> None:
    target, signature = promoted(dev, tmp_path, keys)
    model = next((tmp_path / "root").rglob("MLmodel")).parent
    assert {path.name for path in (tmp_path / "root").rglob("*.sig")} == {signature.name}
    models = [path.parent for path in (tmp_path / "root").rglob("MLmodel")]
    assert sum(judged(folder, signature, keys[1]) for folder in models) == 1
    assert model
    # And the next promotion asks for it.
    last = sqlite_url(tmp_path / "last.db")
    asked: dict[str, Any] = {
        "artifact_root": tmp_path / "last",
        "require_signature": keys[1],
    }
    done = mlporter.promote("models:/plain-model/1", target, last, **asked)
    assert done.exit_code == 0


def test_what_was_changed_after_signing_is_refused(dev, keys, tmp_path) -> None:
    target, signature = promoted(dev, tmp_path, keys)
    models = [path.parent for path in (tmp_path / "root").rglob("MLmodel")]
    (model,) = [folder for folder in models if judged(folder, signature, keys[1])]
    with (model / "MLmodel").open("a") as file:
        file.write("# changed\n")
    last = sqlite_url(tmp_path / "last.db")
    with pytest.raises(mlporter.RefusedError) as refused:
        mlporter.promote(
            "models:/plain-model/1",
            target,
            last,
            artifact_root=tmp_path / "last",
            require_signature=keys[1],
        )
    assert "MLmodel" in str(refused.value)
    assert not (tmp_path / "last.db").exists()


def test_an_unsigned_model_is_refused(dev, keys, tmp_path) -> None:
    with pytest.raises(mlporter.RefusedError):
        mlporter.promote(
            CANDIDATE,
            dev.tracking_uri,
            sqlite_url(tmp_path / "prod.db"),
            artifact_root=tmp_path / "root",
            require_signature=keys[1],
        )
    assert not (tmp_path / "prod.db").exists()


def test_a_signed_bundle(dev, keys, tmp_path, cli) -> None:
    bundle, target = tmp_path / "bundle", sqlite_url(tmp_path / "there.db")
    cli("export", dev.tracking_uri, str(bundle), "--sign", keys[0])
    signature = bundle / "manifest.yaml.sig"
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copyfile(bundle / "manifest.yaml", alone / "manifest.yaml")
    assert judged(alone, signature, keys[1])
    assert mlporter.verify(bundle).exit_code == 0
    assert cli("verify", str(bundle), "--require-signature", keys[1]).code == 0
    into = [str(bundle), target, "--artifact-root", str(tmp_path / "root")]
    assert cli("import", *into, "--require-signature", keys[1]).code == 0


@pytest.mark.parametrize("fault", ["unsigned", "manifest", "signature", "other key"])
def test_a_bundle_whose_signature_does_not_hold(plain_sqlite, keys, tmp_path, cli, fault) -> None:
    bundle, public = tmp_path / "bundle", keys[1]
    options = {} if fault == "unsigned" else {"sign": keys[0]}
    mlporter.export(plain_sqlite.tracking_uri, bundle, artifacts="none", **options)
    if fault == "manifest":
        text = (bundle / "manifest.yaml").read_text()
        (bundle / "manifest.yaml").write_text(text + "note: changed\n")
    elif fault == "signature":
        found = json.loads((bundle / "manifest.yaml.sig").read_text())
        found["dsseEnvelope"]["signatures"][0]["sig"] = "AAAA"
        (bundle / "manifest.yaml.sig").write_text(json.dumps(found))
    elif fault == "other key":
        private, public = str(tmp_path / "k.pem"), str(tmp_path / "k.pub")
        make = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private]
        subprocess.run(make, check=True)
        show = ["openssl", "ec", "-in", private, "-pubout", "-out", public]
        subprocess.run(show, check=True, capture_output=True)
    target = tmp_path / "there.db"
    shown = cli("import", str(bundle), sqlite_url(target), "--artifacts", "none",
                "--require-signature", public)  # fmt: skip
    assert shown.code == 4
    assert not target.exists()
    checked = mlporter.verify(bundle, require_signature=public)
    assert checked.exit_code == 5
    assert "manifest.yaml.sig" in {problem.path for problem in checked.check.problems}


@pytest.mark.parametrize("key", ["nothing", "public"])
def test_a_key_that_cannot_sign_is_refused_before_anything_is_written(
    plain_sqlite, keys, tmp_path, key
) -> None:
    private = keys[1] if key == "public" else str(tmp_path / "none.pem")
    with pytest.raises(mlporter.UsageError):
        mlporter.export(plain_sqlite.tracking_uri, tmp_path / "bundle", sign=private)
    assert not (tmp_path / "bundle").exists()


def test_signatures_cover_all_files(dev, keys, tmp_path) -> None:
    """By the format's default git's own files are not signed: a model with any is refused."""
    with mlflow_at(dev.tracking_uri):
        version = dev.client().get_model_version("plain-model", "3")
        where = dev.client().get_model_version_download_uri("plain-model", version.version)
    folder = Path(where.removeprefix("file://"))
    (folder / ".gitignore").write_text("x")
    with pytest.raises(mlporter.RefusedError) as refused:
        mlporter.promote(
            CANDIDATE,
            dev.tracking_uri,
            sqlite_url(tmp_path / "prod.db"),
            artifact_root=tmp_path / "root",
            sign=keys[0],
        )
    assert ".gitignore" in str(refused.value)
