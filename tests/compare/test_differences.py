"""Differences are given back as they came, however many they are."""

from __future__ import annotations

import pytest

from mlporter.compare import differences
from mlporter.compare.differences import Differences
from mlporter.compare.report import DIFFER, Difference


@pytest.mark.parametrize("count", [0, 3, 4, 9])
def test_they_come_in_order_and_few_at_a_time(monkeypatch, count):
    monkeypatch.setattr(differences, "_AT_ONCE", 4)
    given = [
        Difference("tags", DIFFER, {"run_uuid": str(n), "key": "k"}, {"value": (n, None)})
        for n in range(count)
    ]
    with Differences() as found:
        for one in given:
            found.append(one)
        pieces = list(found.pieces())
        assert list(found.pieces()) == pieces
    assert [one for piece in pieces for one in piece] == given
    assert all(len(piece) <= 4 for piece in pieces)
