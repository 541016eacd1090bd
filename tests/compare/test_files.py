from __future__ import annotations

import hashlib

import pytest

from mlporter.compare.diff import diff_sources
from mlporter.compare.report import LEFT_OUT_KEPT, TableCounts
from mlporter.compare.scope import CompareOptions
from mlporter.errors import BundleDamagedError, LeftOut
from tests.compare.memory_source import MemorySource

FILE = ("run", "r1", "model/MLmodel")


def diff(left, right, **options):
    return diff_sources(left, right, CompareOptions(**options))


def test_files_are_compared_by_their_bytes():
    left = MemorySource(contents={FILE: b"abc"})
    right = MemorySource(contents={FILE: b"abd"})
    report = diff(left, right)
    assert report.tables["artifacts"] == TableCounts(differs=1)
    sums = (hashlib.sha256(b"abc").hexdigest(), hashlib.sha256(b"abd").hexdigest())
    assert report.differences[0].columns == {"sha256": sums}
    assert report.differences[0].key == {
        "owner_kind": "run",
        "owner_id": "r1",
        "path": "model/MLmodel",
    }
    assert diff(left, left).identical


def test_a_listing_compares_paths_and_sizes_and_reads_nothing():
    left = MemorySource(contents={FILE: b"abc", ("run", "r1", "z"): b"1"})
    right = MemorySource(contents={FILE: b"abd", ("run", "r1", "z"): b"22"})
    report = diff(left, right, artifacts="listing")
    assert report.tables["artifacts"] == TableCounts(same=1, differs=1)
    assert report.differences[0].columns == {"size": (1, 2)}
    assert left.opened + right.opened == []


def test_only_bytes_that_decide_are_read():
    both, only = ("run", "r1", "both"), ("run", "r1", "only")
    left = MemorySource(contents={both: b"abc", only: b"x", FILE: b"1"})
    right = MemorySource(contents={both: b"abc", FILE: b"22"})
    left.sums = {both: hashlib.sha256(b"abc").hexdigest()}
    assert diff(left, right).tables["artifacts"] == TableCounts(same=1, only_left=1, differs=1)
    assert (left.opened, right.opened) == ([], [both])


def test_many_files_come_in_order_with_any_number_of_workers():
    names = [f"f{i:03}" for i in range(200)] + ["\uffee", "\U0001f600"]
    contents = {("run", "r", name): name.encode() for name in names}
    left = MemorySource(contents=contents)
    changed = {**contents, ("run", "r", "f100"): b"F100", ("run", "r", "\uffee"): b"xyz"}
    del changed["run", "r", "f050"], changed["run", "r", "\U0001f600"]
    for workers in (1, 3):
        report = diff(left, MemorySource(contents=changed), workers=workers)
        assert [(d.sigil, d.key["path"]) for d in report.differences] == [
            ("+", "f050"),
            ("*", "f100"),
            ("*", "\uffee"),
            ("+", "\U0001f600"),
        ]


def test_a_file_that_cannot_be_read_is_a_difference():
    left = MemorySource(contents={FILE: PermissionError(13, "Permission denied")})
    right = MemorySource(contents={FILE: b"1234567"})
    report = diff(left, right)
    assert report.tables["artifacts"] == TableCounts(unreadable=1)
    assert report.differences[0].sigil == "!"
    assert report.differences[0].detail == "A: Permission denied"
    assert report.exit_code == 1


@pytest.mark.parametrize("kind", ["reference", "none"])
def test_a_place_without_files_of_its_own_is_not_compared_by_files(kind):
    left = MemorySource(contents={FILE: b"abc"})
    report = diff(left, MemorySource(artifacts=kind))
    assert report.identical
    assert "artifacts" not in report.tables
    assert any(sentence.startswith("Artifacts: B") for sentence in report.ignored)


def test_none_compares_no_files_and_says_so():
    report = diff(MemorySource(contents={FILE: b""}), MemorySource(), artifacts="none")
    assert report.identical
    assert "Artifacts: not asked for." in report.ignored


def left_out(reason, **others):
    return LeftOut("run", "r1", "model", reason, f"it is {reason}", **others)


def test_files_missing_on_both_sides_are_listed_and_no_difference():
    gone = left_out("missing")
    report = diff(MemorySource(left_out=[gone]), MemorySource(left_out=[gone]))
    assert report.identical
    assert report.left_out_left == report.left_out_right == [gone]


def test_files_that_may_be_there_but_cannot_be_seen_are_a_difference_once():
    hidden = left_out("unreachable")
    report = diff(MemorySource(left_out=[hidden]), MemorySource(left_out=[hidden]))
    assert report.tables["artifacts"] == TableCounts(unreadable=1)
    assert report.differences[0].detail == "A: it is unreachable"
    wished = left_out("unreachable", expected=True)
    assert diff(MemorySource(left_out=[wished]), MemorySource()).identical


def test_the_limit_of_differences_leaves_left_out_files_alone():
    gone = [LeftOut("run", f"r{i}", "", "missing", "gone") for i in range(5)]
    wished = [LeftOut("run", f"w{i}", "", "transient", "by rule", expected=True) for i in range(3)]
    report = diff(MemorySource(left_out=gone + wished), MemorySource(), limit=0)
    assert (len(report.left_out_left), report.left_out_truncated) == (8, 0)
    assert report.not_given == (5, 0)
    assert report.as_dict()["left_out"]["not_given"] == [5, 0]


def test_left_out_files_beyond_what_is_kept_are_counted_as_what_they_are():
    many = [LeftOut("run", f"r{i:04}", "", "missing", "gone") for i in range(LEFT_OUT_KEPT)]
    more = [LeftOut("run", f"w{i}", "", "transient", "by rule", expected=True) for i in range(3)]
    report = diff(MemorySource(left_out=many + more), MemorySource())
    assert (report.left_out_truncated, report.not_given) == (3, (LEFT_OUT_KEPT, 0))


def test_a_listing_out_of_order_is_refused():
    source = MemorySource(contents={("run", "r", name): b"" for name in "ab"})
    listed = list(source.files(lambda _: None))
    source.files = lambda _report: iter(listed[::-1])
    with pytest.raises(BundleDamagedError, match="in order"):
        diff(source, source)
