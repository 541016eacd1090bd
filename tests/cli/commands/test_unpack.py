from pathlib import Path

import pytest


@pytest.mark.parametrize("options", [("--version", "2"), ("--run", "x", "--model", "m")])
def test_wrong_usage(mlporter, options):
    assert mlporter("unpack", "backup", "out", *options).code == 2


def test_one_version_of_a_real_model(mlporter, plain_sqlite):
    assert mlporter("export", plain_sqlite.tracking_uri, "backup").code == 0

    finished = mlporter(
        "unpack", "backup", "out", "--model", plain_sqlite.model_name, "--version", "@champion"
    )

    assert finished.code == 0, finished.err
    assert finished.err.startswith("Unpacked backup to out in ")
    assert list(Path("out").rglob("MLmodel"))
    unknown = mlporter("unpack", "backup", "more", "--model", "nothing")
    assert unknown.code == 2
    assert "nothing" in unknown.err
