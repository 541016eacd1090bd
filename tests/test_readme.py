"""Every session of the README and of docs/ is typed, in its order, and prints what is shown.

A block `console` is a session; one of `sh` only shows how something is written. After a change of
output: MLPORTER_UPDATE_README=1 pytest -n 0 tests/test_readme.py
"""

import os
import re
from pathlib import Path

import pytest

from mlporter.cli.app import VERBS
from tests.support.page_sessions import Session, blocks, prepared, steady

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
UPDATE = "MLPORTER_UPDATE_README"
# What cli.md shows is held by tests/cli/test_docs.py.
PAGES = [README] + [
    page
    for page in sorted((ROOT / "docs").glob("*.md"))
    if "```console\n" in page.read_text(encoding="utf-8") and page.name != "cli.md"
]


@pytest.fixture
def session(request, page, tmp_path, shared_folder) -> Session:
    return prepared(page.read_text(encoding="utf-8"), tmp_path, shared_folder, request)


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
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_does_what_the_page_shows(session: Session, page: Path) -> None:
    new = typed(session, page.read_text(encoding="utf-8"))
    if UPDATE in os.environ:
        page.write_text(new, encoding="utf-8")


def test_no_session_is_left_out() -> None:
    assert {"README", "tutorial", "backups", "recipes"} <= {page.stem for page in PAGES}
    texts = {page.name: page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md")}
    assert [name for name, text in texts.items() if re.search(r"(?m)^ +```console", text)] == []


def test_together_the_pages_name_every_verb() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [verb for verb in VERBS if f"mlporter {verb}" not in text] == []


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 220


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as sites that show Markdown make them."""
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_there(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    place = page.parent / path if path else page
    return place.exists() and (not anchor or anchor in anchors(place))


@pytest.mark.parametrize(
    "page", [README, *(ROOT / "docs").glob("*.md")], ids=lambda page: page.stem
)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not is_there(page, link)] == []


def test_on_an_index_no_link_leads_to_a_file_that_is_not_there() -> None:
    hooks = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    settings = hooks["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = README.read_text(encoding="utf-8")
    for change in settings["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    assert [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link] == []
