"""Verbs that only look, unpack or rewrite say their phases, too, and count in each."""

from __future__ import annotations

from pathlib import Path

import mlporter

BUNDLE = Path(__file__).parents[2] / "samples" / "bundle-format-1"


class Heard:
    def __init__(self):
        self.phases, self.counted = [], {}

    def __call__(self, step, done, total, unit="rows"):
        if unit == "phases":
            self.phases.append((done, total))
        else:
            self.counted[step] = (done, total)

    def check(self):
        many = self.phases[0][1]
        assert many > 1
        assert self.phases == [(at, many) for at in range(1, many + 1)]


def test_inspect_and_unpack_say_their_phases(tmp_path):
    heard = Heard()
    mlporter.inspect(BUNDLE, on_progress=heard)
    heard.check()
    done, total = heard.counted["counting rows"]
    assert done == total > 50

    heard = Heard()
    found = mlporter.unpack(BUNDLE, tmp_path / "plain", on_progress=heard)
    heard.check()
    assert heard.counted["unpacking files"] == (found.files.bytes, found.files.bytes)


def test_relocate_says_its_phases(plain_sqlite):
    root = plain_sqlite.artifact_root.removeprefix("file://")
    for options in ({"check": False}, {"dry_run": True}):
        heard = Heard()
        mlporter.relocate(
            plain_sqlite.tracking_uri, [f"{root}={root}/"], on_progress=heard, **options
        )
        assert heard.phases[0] == (1, 2)


def test_rebuild_says_its_phases(mlflow_sqlite, tmp_path):
    file = tmp_path / "files/1" / ("a" * 32) / "artifacts/x.txt"
    file.parent.mkdir(parents=True)
    file.write_text("x")
    heard = Heard()
    mlporter.rebuild(tmp_path / "files", f"sqlite:///{mlflow_sqlite}", on_progress=heard)
    heard.check()
