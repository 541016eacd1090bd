"""Man pages: one for each command, and nothing in them that roff takes for its own."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from mlporter.cli.app import VERBS
from mlporter.cli.commands.man_pages import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("man") / "man1"
    main([str(made)])
    return made


def test_every_command_has_a_page_with_its_options(folder):
    assert {page.name for page in folder.iterdir()} == {
        "mlporter.1",
        *(f"mlporter-{verb}.1" for verb in VERBS),
    }
    copy = (folder / "mlporter-copy.1").read_text(encoding="ascii")
    assert "\\fB\\-\\-on\\-conflict" in copy
    assert all(f"mlporter {verb}" in (folder / "mlporter.1").read_text() for verb in VERBS)


def test_roff_has_nothing_to_complain_of(folder):
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    pages = sorted(folder.iterdir())
    command = [groff, "-man", "-Tutf8", "-ww", "-z", *pages]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, "")
