from __future__ import annotations

import pytest

from mlporter.artifacts.disk.scratch import Scratch
from mlporter.errors import UnreachableError


def test_rows_come_back_sorted_by_their_bytes():
    scratch = Scratch("CREATE TABLE t (c TEXT PRIMARY KEY) WITHOUT ROWID")
    names = ["b", "\U00010000", "a", "\uffff", "é"]
    scratch.run_many("INSERT INTO t VALUES (?)", ((name,) for name in names))
    assert [c for (c,) in scratch.rows("SELECT c FROM t ORDER BY c")] == sorted(
        names, key=str.encode
    )
    assert scratch.one("SELECT count(*) FROM t") == (5,)
    scratch.close()


def test_a_full_temporary_disk_says_so():
    scratch = Scratch("PRAGMA max_page_count=4", "CREATE TABLE t (c TEXT)")
    with pytest.raises(UnreachableError, match="cannot write temporary data: ") as caught:
        scratch.run_many("INSERT INTO t VALUES (?)", (("x" * 1000,) for _ in range(100)))
    assert "SQLITE_TMPDIR" in str(caught.value.hint)
    scratch.close()
