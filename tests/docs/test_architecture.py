"""docs/architecture.md names every module, in a line that says what the module says of itself.

After a change: MLPORTER_UPDATE_ARCHITECTURE=1 pytest tests/docs/test_architecture.py -n 0
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "mlporter"
PAGE = ROOT / "docs" / "architecture.md"
TREE = re.compile(r"(?s)(?<=<!-- tree -->\n```text\n).*?(?=```\n<!-- /tree -->)")
WIDTH = 26
LINES = 400
"""More than people read in one go."""
ENTRIES = range(3, 13)
ALONE = {"quickstart"}
"""Rooms that are as small as what is in them: scripts that people copy."""


def first_line(module: Path) -> str:
    """What it says of itself, read as text: to parse all takes a second."""
    found = re.match(r'(?:#.*\n|\n)*r?"""(.*?)(?:"""|\n)', module.read_text(encoding="utf-8"))
    return found[1].replace("``", "`") if found else ""


def entries(folder: Path, indent: str = "") -> Iterator[str]:
    """A line for each module, those of a folder before its folders."""
    for module in sorted(folder.glob("*.py")):
        if module.name not in {"__init__.py", "__main__.py"}:
            yield f"{indent + module.name:{WIDTH}} {first_line(module)}"
    for room in sorted(child for child in folder.iterdir() if (child / "__init__.py").exists()):
        yield ""
        yield f"{indent + room.name + '/':{WIDTH}} {first_line(room / '__init__.py')}"
        yield from entries(room, indent + "  ")


def test_the_tree_names_every_module_and_no_other():
    tree = "".join(f"{line}\n".rstrip(" ") for line in entries(PACKAGE))
    page = PAGE.read_text(encoding="utf-8")
    if os.environ.get("MLPORTER_UPDATE_ARCHITECTURE"):
        page = TREE.sub(lambda _: tree, page)
        PAGE.write_text(page, encoding="utf-8")
    found = TREE.search(page)
    assert found is not None
    assert found[0].splitlines() == tree.splitlines()


def test_paths_that_the_text_names_exist():
    text = TREE.sub("", PAGE.read_text(encoding="utf-8"))
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_]*(?:\.py)?)`", text)
    assert len(named) > 40
    bases = (PACKAGE, ROOT)
    assert [name for name in named if not any((base / name).exists() for base in bases)] == []


def test_no_module_is_too_long_to_be_read():
    lines = {
        str(module.relative_to(PACKAGE)): len(module.read_text(encoding="utf-8").splitlines())
        for module in PACKAGE.rglob("*.py")
    }
    assert {name for name, many in lines.items() if many > LINES} == set()


def test_rooms_have_as_many_doors_as_people_see_at_once():
    rooms = {
        str(room.parent.relative_to(PACKAGE)): [
            entry
            for entry in room.parent.iterdir()
            if entry.name != "__init__.py"
            and (entry.suffix == ".py" or (entry / "__init__.py").exists())
        ]
        for room in PACKAGE.rglob("*/__init__.py")
        if room.parent != PACKAGE
    }
    assert len(rooms) > 40
    odd = {name: len(doors) for name, doors in rooms.items() if len(doors) not in ENTRIES}
    assert odd.keys() == ALONE
