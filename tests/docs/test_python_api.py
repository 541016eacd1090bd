"""The Python of docs/python-api.md runs as printed, and the page names the whole public API."""

import re
from pathlib import Path

import mlporter
from tests.support.forks import run
from tests.support.plain_registry import PlainRegistry

PAGE = Path(__file__).parents[2] / "docs" / "python-api.md"


def test_its_examples_run(plain_sqlite: PlainRegistry, tmp_path: Path) -> None:
    Path(plain_sqlite.tracking_uri.removeprefix("sqlite:///")).rename(tmp_path / "mlflow.db")
    code = "\n".join(
        re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    )
    done = run(["-c", code], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "exit code 0" in done.stdout


def test_it_names_everything_public() -> None:
    text = PAGE.read_text()
    assert [name for name in mlporter.__all__ if name not in text] == ["ExitCode", "LeftOut"]


def test_everything_public_is_there() -> None:
    assert [name for name in mlporter.__all__ if not hasattr(mlporter, name)] == []
