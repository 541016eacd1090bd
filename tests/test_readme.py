"""Every session of the README and of docs/ is typed, in its order, and prints what is shown.

A block `console` is a session; one of `sh` only shows how something is written. After a change of
output: MLPORTER_UPDATE_README=1 pytest -n 0 tests/test_readme.py
"""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from mlporter.cli.app import VERBS
from tests.support.page_sessions import Session, blocks, prepared, steady

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
UPDATE = "MLPORTER_UPDATE_README"
# tests/cli/test_docs.py has the sessions of cli.md, tests/docs/test_python_api.py python-api.md's.
PAGES = [README] + [
    page
    for page in sorted((ROOT / "docs").glob("*.md"))
    if "```console\n" in page.read_text(encoding="utf-8") and page.name != "cli.md"
]


@pytest.fixture
def session(request, tmp_path, shared_folder) -> Iterator[Session]:
    text = request.param.read_text(encoding="utf-8")
    with ExitStack() as stack:
        yield prepared(text, tmp_path, shared_folder, request, stack)


def typed(session: Session, text: str) -> str:
    """The text with what its commands really print; unless it is updated, that is the same."""
    new, end = [], 0
    for block in blocks(text):
        new.append(text[end : block.start])
        end = block.end
        if block.language == "python":
            session.python(block.text)
            new.append(block.text)
            continue
        for command, shown in block.commands():
            real = session.run(command)
            quiet = "mlflow db upgrade" in command  # its log is not ours
            if not quiet and UPDATE not in os.environ:
                assert steady(shown) == steady(real), command
            new.append(f"$ {command}\n{'' if quiet else real}")
    return "".join(new) + text[end:]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("session", "page"), [(page, page) for page in PAGES], indirect=["session"], ids=lambda page: page.stem
)
def test_every_command_does_what_the_page_shows(session: Session, page: Path) -> None:
    new = typed(session, page.read_text(encoding="utf-8"))
    if UPDATE in os.environ:
        page.write_text(new, encoding="utf-8")


def test_no_session_is_left_out() -> None:
    assert {"README", "tutorial", "backups", "recipes"} <= {page.stem for page in PAGES}
    samples = [*(ROOT / "docs").glob("*.md"), README]
    indented = [page.name for page in samples if re.search(r"^\s+```console", page.read_text(encoding="utf-8"), re.M)]
    assert indented == []


def test_together_the_pages_name_every_verb() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [verb for verb in VERBS if f"mlporter {verb}" not in text] == []


def test_the_readme_is_read_in_ten_minutes() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 220


def test_links_of_the_readme_work_on_an_index() -> None:
    """An index shows the README alone: what it points to must be a full address, and be there."""
    links = re.findall(r"\]\(([^)]+)\)", README.read_text(encoding="utf-8"))
    base = "https://github.com/"
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert links
    assert base
