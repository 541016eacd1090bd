"""Stores with every kind of damage: never a crash, never a silent loss, never a change to them."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import mlporter
from tests.support.databases import tree
from tests.support.examples import examples
from tests.support.file_stores import FolderStore, put, write_yaml

#: What a file's name can be made of here: no slash, no NUL; short enough for any file system.
NAME = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=12
).filter(lambda name: name not in {".", ".."} and not is_junk(name))
JUNK = st.sampled_from([b"", b"\x00\x01\xff\xfe", b"\xff", b"- a\n- b\n", b"a: [\n", b"%PDF-1.4\n"])
GOOD_LINE = st.tuples(st.integers(0, 9), st.floats(width=32), st.integers(-3, 3)).map(
    lambda point: f"{point[0]} {point[1]} {point[2]}".encode()
)
OLD_LINE = st.integers(0, 10**9).map(lambda time: f"{time} 0.5".encode())
BAD_LINE = st.sampled_from([b"x", b"1", b"1 y 2", b"nan 1 1", b"\xff 1 1", b"1 1 1.5"])
LINES = st.lists(
    st.one_of(GOOD_LINE, GOOD_LINE, OLD_LINE, BAD_LINE, st.just(b"7 0.5 1")), max_size=6
)
VALUE = st.one_of(st.text(max_size=8).map(lambda text: text.encode(errors="replace")), JUNK)
END = st.sampled_from([b"\n", b"\r\n"])

RUN = st.fixed_dictionaries(
    {
        "meta": st.sampled_from(["new", "new", "old", "gone", "junk", "moved"]),
        "junk": JUNK,
        "params": st.dictionaries(NAME, VALUE, max_size=3),
        "tags": st.dictionaries(NAME, VALUE, max_size=3),
        "metrics": st.dictionaries(NAME, st.tuples(LINES, END), max_size=3),
        "link": st.sampled_from(["", "", "out", "loop", "up", "pipe"]),
        "empty_folders": st.booleans(),
    }
)
EXPERIMENT = st.fixed_dictionaries(
    {
        "number": st.sampled_from(["0", "1", "2", "123456789012345678"]),
        "name": st.sampled_from(["Default", "same", "other"]),
        "trash": st.booleans(),
        "meta": st.sampled_from(["good", "good", "good", "junk", "gone"]),
        "junk": JUNK,
        "runs": st.lists(RUN, max_size=3),
        "twin": st.booleans(),
    }
)


def is_junk(name):
    return name.startswith("._") or name in {".DS_Store", "Thumbs.db", "desktop.ini",
                                             ".gitkeep", ".gitignore"}  # fmt: skip


class Damaged:
    """Writes a store, and counts what is in it."""

    def __init__(self, root):
        self.store = FolderStore(root)
        self.written = Counter()
        self._twins = Counter()

    def experiment(self, given):
        folder = self.store.experiment(given["number"], given["name"], trash=given["trash"])
        if given["meta"] == "junk":
            put(folder / "meta.yaml", given["junk"])
        elif given["meta"] == "gone":
            (folder / "meta.yaml").unlink()
        for run in given["runs"]:
            self.run(folder, run, twin=given["twin"])

    def run(self, experiment, given, *, twin):
        name = f"{self._twins[experiment]:031x}f" if twin else ""
        self._twins[experiment] += 1
        folder = self.store.run(experiment, name)
        is_lost = given["meta"] in {"gone", "junk"}
        self.written["lost runs" if is_lost else "runs"] += 1
        count = Counter() if is_lost else self.written
        self.meta(folder, given)
        for table in ("params", "tags"):
            for key, value in given[table].items():
                put(folder / table / key, value)
                count[table] += 1
        for key, (lines, end) in given["metrics"].items():
            put(folder / "metrics" / key, b"".join(line + end for line in lines))
            count["metrics"] += len(lines)
        if given["link"]:
            link(folder, given["link"])
            count["links"] += 1
        if not given["empty_folders"]:
            for name in ("artifacts", "metrics", "params", "tags"):
                if not any((folder / name).iterdir()):
                    (folder / name).rmdir()

    def meta(self, folder, given):
        path = folder / "meta.yaml"
        if given["meta"] == "old":
            write_yaml(path, {"run_uuid": folder.name, "experiment_id": 0, "name": ""})
        elif given["meta"] == "gone":
            path.unlink()
        elif given["meta"] == "junk":
            put(path, given["junk"])
        elif given["meta"] == "moved":
            text = path.read_text()
            put(path, text.replace(folder.name, folder.name[::-1]))


def link(folder, kind):
    """Something among the parameters that is not to be followed."""
    place = folder / "params" / ".a link of ours"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to({"out": "/etc/hostname", "loop": place.name, "up": folder}[kind])


@settings(
    max_examples=examples(5),
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(EXPERIMENT, min_size=1, max_size=3, unique_by=lambda e: (e["number"], e["trash"])))
def test_what_is_not_carried_is_listed(experiments):
    with TemporaryDirectory() as folder:
        root = Path(folder, "store")
        damaged = Damaged(root)
        put(root / "7" / "meta.yaml", "experiment_id: '7'\nname: always there\n")
        for given_ in experiments:
            damaged.experiment(given_)
        before = tree(root)
        result = mlporter.export(str(root), str(Path(folder, "bundle")))
        assert tree(root) == before
        check(damaged.written, result, Path(folder, "bundle"))
        assert mlporter.verify(str(Path(folder, "bundle"))).exit_code == 0
        report = mlporter.diff(str(root), str(Path(folder, "bundle")))
        assert all(d.sigil == "!" for d in report.differences), report.differences


def check(written, result, bundle):
    """Carried and listed make up what was written."""
    carried = {table.table: table.copied for table in result.tables}
    with mlporter.open(str(bundle)) as registry:
        entries = registry.read("left_out").read_all().to_pylist()
        runs = set(registry.read("runs", ("run_uuid",)).read_all()["run_uuid"].to_pylist())
    lost = [entry for entry in entries if not entry["expected"]]
    whole = [entry for entry in lost if entry["kind"] == "runs" and entry["id"] not in runs]
    wrong = sum(lines_of(entry) for entry in lost if entry["kind"] == "metrics")
    links = sum(entry["path"].endswith(".a link of ours") for entry in lost)
    found = {
        "lost runs": len(whole),
        "links": links,
        "metrics": carried["metrics"] + wrong,
        **{table: carried[table] for table in ("runs", "params", "tags")},
    }
    assert found == {name: written[name] for name in found}, json.dumps(entries, indent=1)
    assert (result.exit_code == 3) == bool(lost)


def lines_of(entry):
    """How many lines of a metric file an entry names."""
    more = re.search(r"; and (\d+) more lines?$", entry["detail"])
    return entry["detail"].count(" is not a point") + (int(more[1]) if more else 0)
